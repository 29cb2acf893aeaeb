"""How much crosses the network: bytes of messages as they are handed to Flower and come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import RecordDict


@dataclass
class Traffic:
    """Bytes to sites (`down`) and from them (`up`) so far."""

    down: int = 0
    up: int = 0

    def since(self, before: Traffic, sites: int) -> dict[str, int]:
        """What went to one of `sites` since, and came from it, on average: sizes are public constants."""
        each = max(sites, 1)
        return {
            "bytes_down": round((self.down - before.down) / each),
            "bytes_up": round((self.up - before.up) / each),
        }


def size(content: RecordDict) -> int:
    """Bytes of a message: its arrays, its headers and its seal, without Flower's own envelope."""
    arrays = sum(
        len(name) + len(array.data)
        for record in content.array_records.values()
        for name, array in record.items()
    )
    return arrays + sum(_bytes(record) for record in content.config_records.values())


def _bytes(record: Mapping[str, object]) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, str | bytes))
