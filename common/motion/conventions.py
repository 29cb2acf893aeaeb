"""Where other skeletons keep our 22 joints: one small table for each naming convention."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.motion.skeleton import JOINT_NAMES

_SIDES: Final = (("left", "l"), ("right", "r"))


@dataclass(frozen=True)
class Source:
    """A joint of ours: `start + share * (end - start)`, each the first name present of its alternatives."""

    start: tuple[str, ...]
    end: tuple[str, ...] = ()
    share: float = 0.0


def simple_name(name: str) -> str:
    """Lower-case letters and digits of a joint name, without name space or exporter's prefix."""
    bare = re.sub(r"^.*:", "", name)
    bare = re.sub(r"^(mixamorig\d*|[mf]_avg|bip0?1|character\d*)[ _]+", "", bare, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]", "", bare.lower())


def _table(middle: Mapping[str, str | Source], sided: Mapping[str, str | Source]) -> dict[str, Source]:
    """Sources by our joint name; `{side}` and `{s}` stand for left or right and their first letter."""
    table = {name: _source(value, "", "") for name, value in middle.items()}
    for side, letter in _SIDES:
        table |= {f"{side}_{name}": _source(value, side, letter) for name, value in sided.items()}
    return table


def _source(value: str | Source, side: str, letter: str) -> Source:
    source = Source(tuple(value.split("|"))) if isinstance(value, str) else value
    start, end = (tuple(n.format(side=side, s=letter) for n in names) for names in (source.start, source.end))
    return Source(start, end, source.share)


_LEG: Final = {
    "hip": "{side}upleg", "knee": "{side}leg", "ankle": "{side}foot",
    "foot": "{side}toebase|{side}toe|endsite{side}foot",
}  # fmt: skip
_ARM: Final = {"shoulder": "{side}arm", "elbow": "{side}forearm", "wrist": "{side}hand|endsite{side}forearm"}
_TRUNK: Final[dict[str, str | Source]] = {"pelvis": "hips", "neck": "neck|neck1", "head": "head|endsiteneck"}
_TWO_SPINES: Final[dict[str, str | Source]] = {
    "spine1": "spine",
    "spine2": Source(("spine",), ("spine1",), 0.5),
    "spine3": "spine1",
}
_DAZ_SIDE: Final = {
    "hip": "{s}thighbend|{s}thigh", "knee": "{s}shin", "ankle": "{s}foot",
    "foot": "{s}toe|{s}metatarsals|endsite{s}foot", "collar": "{s}collar",
    "shoulder": "{s}shldrbend|{s}shldr", "elbow": "{s}forearmbend|{s}forearm",
    "wrist": "{s}hand|endsite{s}forearm",
}  # fmt: skip

CONVENTIONS: Final[dict[str, dict[str, Source]]] = {
    "fedmotion": {name: Source((simple_name(name),)) for name in JOINT_NAMES},
    "SMPL": _table(
        {n: n for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")},
        {n: "{s}" + n for n in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")},
    ),
    "SMPL, as simulators name it": _table(
        {"pelvis": "pelvis", "spine1": "torso", "spine2": "spine", "spine3": "chest", "neck": "neck",
         "head": "head"},
        {"hip": "{s}hip", "knee": "{s}knee", "ankle": "{s}ankle", "foot": "{s}toe", "collar": "{s}thorax",
         "shoulder": "{s}shoulder", "elbow": "{s}elbow", "wrist": "{s}wrist"},
    ),
    "CMU": _table(
        {"pelvis": "hips", **_TWO_SPINES, "neck": "neck1", "head": "head"},
        {**_LEG, **_ARM, "collar": Source(("spine1",), ("{side}arm",), 0.4)},
    ),
    "Mixamo": _table(
        {**_TRUNK, "spine1": "spine", "spine2": "spine1", "spine3": "spine3|spine2"},
        {**_LEG, **_ARM, "collar": "{side}shoulder"},
    ),
    "MotionBuilder, two spine joints": _table(
        {**_TRUNK, **_TWO_SPINES}, {**_LEG, **_ARM, "collar": "{side}shoulder"}
    ),
    "Xsens": _table(
        {"pelvis": "hips", "spine1": "chest", "spine2": "chest2", "spine3": "chest4|chest3",
         "neck": "neck", "head": "head|endsiteneck"},
        {"hip": "{side}hip", "knee": "{side}knee", "ankle": "{side}ankle",
         "foot": "{side}toe|endsite{side}ankle", "collar": "{side}collar",
         "shoulder": "{side}shoulder", "elbow": "{side}elbow", "wrist": "{side}wrist|endsite{side}elbow"},
    ),
    "DAZ Genesis": _table(
        {"pelvis": "pelvis|hip", "spine1": "abdomenlower|abdomen", "spine2": "abdomenupper|abdomen2",
         "spine3": "chestlower|chest", "neck": "necklower|neck", "head": "head|endsiteneck"},
        _DAZ_SIDE,
    ),
    "DAZ and Poser": _table(
        {"pelvis": "hip", "spine1": "abdomen", "spine2": Source(("abdomen",), ("chest",), 0.5),
         "spine3": "chest", "neck": "neck", "head": "head|endsiteneck"},
        _DAZ_SIDE,
    ),
    "3ds Max Biped": _table(
        {"pelvis": "pelvis", "spine1": "spine", "spine2": Source(("spine",), ("spine2", "spine1"), 0.5),
         "spine3": "spine2|spine1", "neck": "neck", "head": "head|endsiteneck"},
        {"hip": "{s}thigh", "knee": "{s}calf", "ankle": "{s}foot", "foot": "{s}toe0|endsite{s}foot",
         "collar": "{s}clavicle", "shoulder": "{s}upperarm", "elbow": "{s}forearm",
         "wrist": "{s}hand|endsite{s}forearm"},
    ),
    "Unreal": _table(
        {"pelvis": "pelvis", "spine1": "spine01", "spine2": "spine02", "spine3": "spine05|spine03",
         "neck": "neck01", "head": "head"},
        {"hip": "thigh{s}", "knee": "calf{s}", "ankle": "foot{s}", "foot": "ball{s}|endsitefoot{s}",
         "collar": "clavicle{s}", "shoulder": "upperarm{s}", "elbow": "lowerarm{s}", "wrist": "hand{s}"},
    ),
    "Unity": _table(
        {"pelvis": "hips", "spine1": "spine", "spine2": Source(("spine",), ("chest",), 0.5),
         "spine3": "upperchest|chest", "neck": "neck", "head": "head|endsiteneck"},
        {name: f"{{side}}{bone}|{bone}{{s}}{extra}" for name, bone, extra in (
            ("hip", "upperleg", ""), ("knee", "lowerleg", ""), ("ankle", "foot", ""),
            ("foot", "toes", "|endsite{side}foot|endsitefoot{s}"), ("collar", "shoulder", ""),
            ("shoulder", "upperarm", ""), ("elbow", "lowerarm", ""), ("wrist", "hand", ""),
        )},
    ),
}  # fmt: skip
"""Convention -> our joint name -> where it lies; in this order, the first that is complete counts."""


def convention(names: Collection[str]) -> str | None:
    """The first convention that is complete among `names`; None where none is."""
    simple = {simple_name(name) for name in names}
    complete = (
        name
        for name, table in CONVENTIONS.items()
        if all(_present(source, simple) for source in table.values())
    )
    return next(complete, None)


def missing_joints(names: Collection[str]) -> list[str]:
    """Our joints that the nearest convention does not find among `names`; empty when one is complete."""
    simple = {simple_name(name) for name in names}
    gaps = [[ours for ours, s in table.items() if not _present(s, simple)] for table in CONVENTIONS.values()]
    return min(gaps, key=len)


def to_joints(names: Collection[str], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our 22 joints `[frames, 22, 3]` from `positions` `[frames, len(names), 3]`.

    Raises KeyError with our first unmapped joint when no convention is complete.
    """
    places: dict[str, int] = {}
    for index, name in enumerate(names):
        places.setdefault(simple_name(name), index)
    found = convention(names)
    if found is None:
        raise KeyError(missing_joints(names)[0])
    table = CONVENTIONS[found]
    return np.stack([_place(table[name], places, positions) for name in JOINT_NAMES], axis=1)


def _present(source: Source, names: Collection[str]) -> bool:
    return any(n in names for n in source.start) and (not source.end or any(n in names for n in source.end))


def _place(source: Source, places: Mapping[str, int], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    start = positions[:, next(places[n] for n in source.start if n in places)]
    if not source.end:
        return start
    end = positions[:, next(places[n] for n in source.end if n in places)]
    return start + source.share * (end - start)
