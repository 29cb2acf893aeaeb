"""C3D marker recordings as our joints, through a built-in marker set or a user's `joints.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.c3d_points import Points, read_points
from common.motion.conventions import simple_name
from common.motion.intake import Motion, settle
from common.motion.joint_map import WAY_OUT, JointMap, Mix, find, mixed

Floats = NDArray[np.float64]

SUFFIX: Final = ".c3d"
LONGEST_GAP: Final = 0.25
"""Seconds for which a marker may be out of sight within a recording: it then moves in a straight line."""

_UNITS: Final = {"m": "m", "meters": "m", "metres": "m", "cm": "cm", "mm": "mm", "millimeters": "mm"}


def _average(*names: str) -> Mix:
    return {name: 1 / len(names) for name in names}


def _blend(start: Mix, end: Mix, share: float) -> Mix:
    """`start + share * (end - start)`."""
    names = dict.fromkeys((*start, *end))
    return {name: (1 - share) * start.get(name, 0.0) + share * end.get(name, 0.0) for name in names}


def _plug_in_gait(back: Mix) -> dict[str, Mix]:
    """Joint centres as mixes of the Plug-in Gait markers; `back` is the middle of the posterior iliac spines.

    Hip centres after Bell et al. (1990): 14 % of the width of the pelvis inside the anterior
    spine, and about 22 % behind and 30 % below it, which are taken as 35 % of the way to `back`
    and 17 % of the way to the knee. Knees, ankles and elbows are their lateral markers:
    off their centres by half the joint's width.
    """
    pelvis = _blend(_average("LASI", "RASI"), back, 0.5)
    neck, chest = _average("C7", "CLAV"), _average("T10", "STRN")
    table: dict[str, Mix] = {"pelvis": pelvis, "neck": neck, "spine3": _blend(chest, neck, 0.35)}
    table["spine1"] = _blend(pelvis, table["spine3"], 0.38)
    table["spine2"] = _blend(pelvis, table["spine3"], 0.8)
    table["head"] = _average("LFHD", "RFHD", "LBHD", "RBHD")
    for side, near, far in (("left", "L", "R"), ("right", "R", "L")):
        inside = {f"{near}ASI": 0.86 + 0.19, f"{far}ASI": 0.14 - 0.19}  # as wide once mixed with `back`
        hip = _blend(_blend(inside, back, 0.35), {f"{near}KNE": 1.0}, 0.17)
        shoulder = _blend({f"{near}SHO": 1.0}, {f"{near}ELB": 1.0}, 0.15)
        table |= {f"{side}_hip": hip, f"{side}_knee": {f"{near}KNE": 1.0}}
        table |= {f"{side}_ankle": {f"{near}ANK": 1.0}, f"{side}_foot": {f"{near}TOE": 1.0}}
        table |= {f"{side}_shoulder": shoulder, f"{side}_collar": _blend(neck, shoulder, 0.4)}
        table |= {f"{side}_elbow": {f"{near}ELB": 1.0}}
        table |= {f"{side}_wrist": _average(f"{near}WRA", f"{near}WRB")}
    return table


MARKER_SETS: Final[Mapping[str, Mapping[str, Mix]]] = {
    "Plug-in Gait": _plug_in_gait(_average("LPSI", "RPSI")),
    "Plug-in Gait, sacrum": _plug_in_gait({"SACR": 1.0}),
}
"""Marker set -> our joint -> markers and weights; approximations from markers alone."""


def read_c3d(path: Path, joint_map: JointMap | None = None) -> Motion:
    """Read `path` as our 22 joints, through `joint_map` or the first complete set of `MARKER_SETS`.

    Z is up where nobody stands. Frames at either end in which a marker that is needed is not
    seen are left out; a gap of up to 0.25 s in between is bridged. Raises InputError on a
    damaged file, missing markers, longer gaps and the markers of several people.
    """
    points = read_points(path)
    mixes, name = _mixes(path, points, joint_map)
    places = find(points.names)
    used = sorted({_place(places, marker) for mix in mixes.values() for marker in mix})
    first, positions = _seen(path, points, used)
    filled = points.positions[first : first + len(positions)].copy()
    filled[:, used] = positions
    joints = mixed(mixes, places, np.nan_to_num(filled))  # NaN is left only where no joint looks
    stated = _UNITS.get(points.unit.lower())
    return settle(path, joints, points.rate, up=(0, 0, 1), skeleton=name, names=points.names, unit=stated)


def _mixes(path: Path, points: Points, joint_map: JointMap | None) -> tuple[Mapping[str, Mix], str]:
    simple = [simple_name(name) for name in points.names]
    subjects = {name.rpartition(":")[0] for name in points.names if ":" in name}
    if len(subjects) > 1 and len(set(simple)) < len(simple):
        raise InputError(
            f"{path}: the same markers of {len(subjects)} subjects; save each person as a file of their own"
        )
    if joint_map is not None:
        joint_map.place(path, points.names, points.positions[:1])
        return joint_map.mixes, joint_map.path.name
    gaps = {
        name: sorted({m for mix in table.values() for m in mix if simple_name(m) not in simple})
        for name, table in MARKER_SETS.items()
    }
    nearest = min(gaps, key=lambda name: len(gaps[name]))
    if gaps[nearest]:
        raise InputError(
            f"{path}: no marker {', '.join(gaps[nearest][:3])} of {nearest} among"
            f" {', '.join(points.names[:6])}; {WAY_OUT}"
        )
    return MARKER_SETS[nearest], nearest


def _place(places: Mapping[str, int], marker: str) -> int:
    return places[marker] if marker in places else places[simple_name(marker)]


def _seen(path: Path, points: Points, used: list[int]) -> tuple[int, Floats]:
    """The first frame in which all `used` markers are seen, and their gapless positions from there on."""
    positions = points.positions[:, used]
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(positions).all(axis=2))
    whole = np.flatnonzero(seen.all(axis=1))
    if not len(whole):
        worst = int(seen.sum(axis=0).argmin())
        raise InputError(
            f"{path}: no frame shows all markers; {points.names[used[worst]]} is seen in"
            f" {seen[:, worst].sum()} of {len(seen)}"
        )
    first, last = int(whole[0]), int(whole[-1]) + 1
    positions, seen = positions[first:last].copy(), seen[first:last]
    frames = np.arange(len(positions))
    for index, marker in enumerate(used):
        there = np.flatnonzero(seen[:, index])
        gap = int(np.diff(there).max(initial=1)) - 1
        if gap > LONGEST_GAP * points.rate:
            raise InputError(
                f"{path}: marker {points.names[marker]} is out of sight for {gap / points.rate:.2f} s;"
                f" fill gaps of over {LONGEST_GAP:g} s before the export"
            )
        for axis in range(3):
            positions[:, index, axis] = np.interp(frames, there, positions[there, index, axis])
    return first, positions
