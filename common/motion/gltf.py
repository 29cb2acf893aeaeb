"""Motions as glTF 2.0 binary files (.glb): a skinned stick figure that any viewer plays."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.motion.kinematics import CHILDREN, joint_rotations
from common.motion.skeleton import FRAME_RATE, JOINT_NAMES, JOINTS, PARENTS

Floats = NDArray[np.float64]

_FLOAT, _BYTE = 5126, 5121  # component types: float32, unsigned 8 bit
_VERTICES = 34962  # target of a buffer view: ARRAY_BUFFER
_WAIST: Final = 0.15  # where along a bone its octahedron is thickest
_WIDTH: Final = 0.13  # half its thickness, of the bone's length
_THICK: Final = (0.012, 0.035)  # and at least, at most, metres
_KNOB: Final = 0.018  # radius of a joint's octahedron, metres
_HEAD: Final = (0.075, 0.11, 0.09)  # half the width, height, depth of the head, metres
_BONE_COLOUR: Final = (0.27, 0.45, 0.70, 1.0)  # linear RGBA
_HEAD_JOINT: Final = JOINT_NAMES.index("head")


def write_gltf(path: Path, joints: ArrayLike, rate: float = FRAME_RATE, note: str | None = None) -> None:
    """Write positions `[frames, 22, 3]` (metres, Y up, +Z forward) at `rate` fps as a .glb file.

    22 nodes named as our joints, a skin of them, a mesh of one octahedron a bone and a
    joint, and one animation: the pelvis's translation and every joint's rotation, keyed at
    each frame, linear in between. Bone lengths are constant, so the joints play as
    `project_bones(joints)`. `note` is kept in the file's `asset.extras`. Raises InputError on
    non-finite positions.
    """
    positions = np.asarray(joints, np.float64)
    if not np.isfinite(positions).all():
        raise InputError(f"{path}: cannot write a motion with NaN or infinite positions")
    path.write_bytes(to_glb(positions, rate, name=path.stem, note=note))


def to_glb(joints: ArrayLike, rate: float, name: str = "motion", note: str | None = None) -> bytes:
    """The bytes of the file that `write_gltf` writes."""
    offsets, rotations, root = joint_rotations(joints)
    rest = _rest_positions(offsets)
    buffer = _Buffer()
    document = {
        "asset": {"version": "2.0", "generator": "fedmotion", **({"extras": {"note": note}} if note else {})},
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0, JOINTS]}],
        "nodes": [*_nodes(offsets, root[0]), {"name": "figure", "mesh": 0, "skin": 0}],
        "materials": [_material()],
        "meshes": [{"name": "figure", "primitives": [_primitive(buffer, rest)]}],
        "skins": [_skin(buffer, rest)],
        "animations": [_animation(buffer, rotations, root, rate, name)],
    }
    return _pack({**document, **buffer.description()}, bytes(buffer.data))


class _Buffer:
    """The binary part of the file, and the accessors and views into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """The accessor of `array` `[count, ...]`: float32, or unsigned bytes as they are."""
        stored = array if array.dtype == np.uint8 else array.astype("<f4")
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": stored.nbytes}
        self._views.append(view if target is None else {**view, "target": target})
        component = _BYTE if stored.dtype == np.uint8 else _FLOAT
        accessor: dict[str, Any] = {
            "bufferView": len(self._views) - 1,
            "componentType": component,
            "count": len(stored),
            "type": kind,
        }
        if bounds:
            rows = stored.reshape(len(stored), -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self._accessors.append(accessor)
        self.data += stored.tobytes()
        self.data += bytes(-len(self.data) % 4)  # every view starts at a multiple of four
        return len(self._accessors) - 1

    def description(self) -> dict[str, Any]:
        """What the document says of the binary part."""
        return {
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self.data)}],
        }


def _rest_positions(offsets: Floats) -> Floats:
    """Joints `[22, 3]` of the rest pose, the pelvis at the origin."""
    rest = np.zeros((JOINTS, 3))
    for joint in range(1, JOINTS):
        rest[joint] = rest[PARENTS[joint]] + offsets[joint]
    return rest


def _nodes(offsets: Floats, root: Floats) -> list[dict[str, Any]]:
    nodes = []
    for joint, name in enumerate(JOINT_NAMES):
        place = root if joint == 0 else offsets[joint]
        node: dict[str, Any] = {"name": name, "translation": place.tolist()}
        nodes.append({**node, "children": list(CHILDREN[joint])} if CHILDREN[joint] else node)
    return nodes


def _material() -> dict[str, Any]:
    colour = {"baseColorFactor": list(_BONE_COLOUR), "metallicFactor": 0.0, "roughnessFactor": 0.6}
    return {"name": "figure", "pbrMetallicRoughness": colour, "doubleSided": True}


def _primitive(buffer: _Buffer, rest: Floats) -> dict[str, Any]:
    """Triangles of all shapes, flat-shaded; each vertex belongs wholly to the joint that turns it."""
    shapes = [(PARENTS[joint], _bone(rest[PARENTS[joint]], rest[joint])) for joint in range(1, JOINTS)]
    knobs = [rest[joint] + _OCTAHEDRON * _KNOB for joint in range(JOINTS)]
    head = _rounder(_rounder(_OCTAHEDRON)) + np.array([0.0, 0.4, 0.0])
    knobs[_HEAD_JOINT] = rest[_HEAD_JOINT] + head * _HEAD
    shapes += list(enumerate(knobs))
    vertices = np.concatenate([_outward(shape) for _, shape in shapes])
    owners = np.repeat([joint for joint, _ in shapes], [shape.shape[0] * 3 for _, shape in shapes])
    normals = np.cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 1e-12, normals / np.maximum(lengths, 1e-12), [0.0, 1.0, 0.0])
    joints = np.zeros((len(owners), 4), np.uint8)
    joints[:, 0] = owners
    weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(owners), 1))
    attributes = {
        "POSITION": buffer.add(vertices.reshape(-1, 3), "VEC3", target=_VERTICES, bounds=True),
        "NORMAL": buffer.add(np.repeat(normals, 3, axis=0), "VEC3", target=_VERTICES),
        "JOINTS_0": buffer.add(joints, "VEC4", target=_VERTICES),
        "WEIGHTS_0": buffer.add(weights, "VEC4", target=_VERTICES),
    }
    return {"attributes": attributes, "material": 0, "mode": 4}


def _octahedron() -> Floats:
    """Eight triangles `[8, 3, 3]` about the origin, corners at distance 1 on the axes."""
    signs = [(x, y, z) for x in (1.0, -1.0) for y in (1.0, -1.0) for z in (1.0, -1.0)]
    return np.array([[(x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z)] for x, y, z in signs])


_OCTAHEDRON: Final[Floats] = _octahedron()


def _rounder(triangles: Floats) -> Floats:
    """Each triangle `[n, 3, 3]` of the unit sphere cut into four, the new corners out on the sphere."""
    middles = triangles + np.roll(triangles, -1, axis=1)  # of the edges 0-1, 1-2, 2-0
    middles /= np.linalg.norm(middles, axis=-1, keepdims=True)
    corners = [np.stack([triangles[:, k], middles[:, k], middles[:, k - 1]], axis=1) for k in range(3)]
    return np.concatenate([*corners, middles])


def _bone(start: Floats, end: Floats) -> Floats:
    """The octahedron `[8, 3, 3]` of a bone, thickest near its start."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])
    helper = np.array([0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    side = np.cross(helper, along)
    side /= np.linalg.norm(side)
    thick = float(np.clip(_WIDTH * length, *_THICK))
    waist = start + _WAIST * (end - start)
    plane = thick * (_OCTAHEDRON[..., :1] * side + _OCTAHEDRON[..., 2:] * np.cross(along, side))
    height = _OCTAHEDRON[..., 1:2]
    tips = np.where(height > 0, end - waist, start - waist)
    return np.asarray(waist + plane + np.abs(height) * tips, np.float64)


def _outward(triangles: Floats) -> Floats:
    """The same triangles `[n, 3, 3]` of a convex shape, counter-clockwise seen from outside."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    inside = (normals * (triangles.mean(axis=1) - triangles.mean(axis=(0, 1)))).sum(axis=1) < 0
    return np.where(inside[:, None, None], triangles[:, ::-1], triangles)


def _skin(buffer: _Buffer, rest: Floats) -> dict[str, Any]:
    """Inverse bind matrices, column by column: the rest pose has no rotations, so they only shift."""
    matrices = np.tile(np.eye(4), (JOINTS, 1, 1))
    matrices[:, 3, :3] = -rest
    inverse = buffer.add(matrices.reshape(JOINTS, 16), "MAT4")
    return {"name": "skeleton", "inverseBindMatrices": inverse, "joints": list(range(JOINTS)), "skeleton": 0}


def _animation(buffer: _Buffer, rotations: Floats, root: Floats, rate: float, name: str) -> dict[str, Any]:
    times = buffer.add(np.arange(len(root))[:, None] / rate, "SCALAR", bounds=True)
    outputs = [(0, "translation", buffer.add(root, "VEC3"))]
    for joint in range(JOINTS):
        if CHILDREN[joint]:
            turns = _continuous_quaternions(rotations[:, joint])
            outputs.append((joint, "rotation", buffer.add(turns, "VEC4")))
    samplers = [{"input": times, "output": output, "interpolation": "LINEAR"} for _, _, output in outputs]
    channels = [
        {"sampler": index, "target": {"node": node, "path": path}}
        for index, (node, path, _) in enumerate(outputs)
    ]
    return {"name": name, "samplers": samplers, "channels": channels}


def _continuous_quaternions(rotations: Floats) -> Floats:
    """Unit quaternions x, y, z, w `[frames, 4]`, each on the side of the one before."""
    turns = np.asarray(Rotation.from_matrix(rotations).as_quat(), np.float64)
    flips = np.where((turns[1:] * turns[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    turns[1:] *= np.cumprod(flips)[:, None]
    return turns


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    """Header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, size)
    return header + struct.pack("<I4s", len(text), b"JSON") + text + _chunk(binary)


def _chunk(binary: bytes) -> bytes:
    return struct.pack("<I4s", len(binary), b"BIN\0") + binary
