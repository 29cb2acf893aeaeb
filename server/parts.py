"""How many parameters of a pre-trained generator each way of training it would train in private."""

from __future__ import annotations

from pathlib import Path

from common.errors import InputError
from common.generator.trainable import CHOICES, supported
from common.pretrained import Pretrained


def private_parameters(
    folder: Path | None, train: str | None, rank: int, parameters: int | None
) -> dict[str, int]:
    """By choice: that which is asked for, else all that `folder` has; none without a folder."""
    if folder is None:
        if train is not None:
            raise InputError("--train is a part of a pre-trained generator: give --pretrained as well")
        return {}
    if parameters is not None:
        raise InputError("--parameters is a number and --pretrained counts them: give one of the two")
    if train is not None and train not in CHOICES:
        raise InputError(f"--train is {train}: it must be one of {', '.join(CHOICES)}")
    found = Pretrained.load(folder)
    chosen = supported(found.shapes) if train is None else (train,)
    return {choice: found.private(choice, rank).dimension for choice in chosen}
