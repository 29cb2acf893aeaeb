"""A user's own table from our 22 joints to those of a file: `joints.toml`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.conventions import simple_name
from common.motion.skeleton import JOINT_NAMES

Floats = NDArray[np.float64]
Mix = Mapping[str, float]
"""Names of a file with weights that add up to 1."""

USUAL_NAME: Final = "joints.toml"
HOW: Final = 'one line a joint, left_knee = "LeftLeg" or spine2 = { Spine = 0.5, Spine1 = 0.5 }'
WAY_OUT: Final = f"map them yourself in a {USUAL_NAME} ({HOW}) and give it with --joints: docs/formats.md"


@dataclass(frozen=True)
class JointMap:
    """Where each of our joints lies: a weighted mix of the file's joints or markers."""

    path: Path
    mixes: Mapping[str, Mix]

    def place(self, path: Path, names: Sequence[str], positions: Floats) -> Floats:
        """Our joints `[frames, 22, 3]` from `positions` `[frames, len(names), 3]`; InputError naming `path`.

        A name counts as it is written, or else without case, signs and name space.
        """
        places = find(names)
        wanted = {theirs for mix in self.mixes.values() for theirs in mix}
        if missing := sorted(w for w in wanted if w not in places and simple_name(w) not in places):
            raise InputError(
                f"{path}: {self.path.name} names {', '.join(missing[:3])}, which the file has not; it has "
                f"{', '.join(dict.fromkeys(names[:12]))}"
            )
        return mixed(self.mixes, places, positions)


def find(names: Sequence[str]) -> dict[str, int]:
    """Index of each name, by its spelling and by its simple form; the first of equals counts."""
    places: dict[str, int] = {}
    for index, name in enumerate(names):
        places.setdefault(name, index)
    for index, name in enumerate(names):
        places.setdefault(simple_name(name), index)
    return places


def mixed(mixes: Mapping[str, Mix], places: Mapping[str, int], positions: Floats) -> Floats:
    """Our joints `[frames, 22, 3]`: each the weighted sum of `positions` `[frames, n, 3]` at `places`."""
    joints = np.zeros((len(positions), len(JOINT_NAMES), 3))
    for joint, ours in enumerate(JOINT_NAMES):
        for name, weight in mixes[ours].items():
            place = places[name] if name in places else places[simple_name(name)]
            joints[:, joint] += weight * positions[:, place]
    return joints


def read_joint_map(path: Path) -> JointMap:
    """The table in `path`; InputError says which joints are missing and how to write them."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write it with {HOW}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a readable TOML file ({error}); it holds {HOW}") from None
    if unknown := sorted(table.keys() - set(JOINT_NAMES)):
        raise InputError(f"{path}: {unknown[0]} is none of our joints, {', '.join(JOINT_NAMES)}")
    if missing := [name for name in JOINT_NAMES if name not in table]:
        raise InputError(f"{path}: nothing for {', '.join(missing)}; write {HOW}")
    return JointMap(path, {name: _mix(path, name, table[name]) for name in JOINT_NAMES})


def _mix(path: Path, name: str, value: object) -> Mix:
    if isinstance(value, str) and value.strip():
        return {value.strip(): 1.0}
    if isinstance(value, dict) and value:
        weights = {key: _weight(weight) for key, weight in value.items()}
        if abs(sum(weights.values()) - 1.0) < 1e-6:
            return weights
    raise InputError(
        f"{path}: {name}: a joint is a name, or a table of names with finite weights that add up to 1;"
        f" write {HOW}"
    )


def _weight(value: object) -> float:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else math.nan
