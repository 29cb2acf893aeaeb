"""The decoders and seals under Atheris (libFuzzer): breaks are chosen by what code they reach.

`python -m tests.attacks.guided -runs=100000`; it ends with an error at the first exception but a Refusal.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["common"]):
    import common.seal
    import common.secagg.wire
    import common.wire  # noqa: F401

from tests.attacks.test_fuzz import conversation, decoders, reasked, try_server


class Led(random.Random):
    """Draws that a fuzzer's bytes decide; when they are used up, always the first choice."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._led = atheris.FuzzedDataProvider(data)

    def getrandbits(self, k: int) -> int:
        return int(self._led.ConsumeUInt((k + 7) // 8)) % (1 << k)

    def random(self) -> float:
        return self.getrandbits(53) / (1 << 53)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, conversation(Path(folder)) as talk:
        read: dict[str, Any] = decoders(talk)
        asked = reasked(talk)
        kept = dict(talk.answers)

        def one(data: bytes) -> None:
            talk.answers.update(kept)
            try_server(talk, read, asked, Led(data))

        atheris.Setup(sys.argv, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
