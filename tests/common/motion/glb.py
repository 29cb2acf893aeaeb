"""A reader of .glb files written from the glTF 2.0 specification: it checks the rules and poses the skin."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TYPES: dict[int, np.dtype[Any]] = {5121: np.dtype("u1"), 5126: np.dtype("<f4")}


class Glb:
    """The document and the arrays of a file; AssertionError where it breaks a rule."""

    def __init__(self, data: bytes) -> None:
        magic, version, size = struct.unpack_from("<4sII", data)
        assert magic == b"glTF" and version == 2 and size == len(data)
        length, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and length % 4 == 0
        self.document: dict[str, Any] = json.loads(data[20 : 20 + length])
        extent, kind = struct.unpack_from("<I4s", data, 20 + length)
        assert kind == b"BIN\0" and extent % 4 == 0 and 28 + length + extent == size
        self.binary = data[28 + length :]
        assert self.document["asset"]["version"] == "2.0"
        assert 0 <= extent - self.document["buffers"][0]["byteLength"] < 4
        self.arrays = [self._array(accessor) for accessor in self.document["accessors"]]
        self._check_nodes()
        self._check_mesh()
        self._check_animation()

    def _array(self, accessor: dict[str, Any]) -> NDArray[Any]:
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind, width = TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        start, count = view["byteOffset"], accessor["count"]
        assert start % 4 == 0 and (kind.itemsize * width) % 4 == 0
        assert view["byteLength"] == kind.itemsize * width * count
        assert start + view["byteLength"] <= self.document["buffers"][0]["byteLength"]
        array: NDArray[Any] = np.frombuffer(self.binary, kind, width * count, start).reshape(count, width)
        assert np.isfinite(array).all()
        for name, bound in (("min", array.min(axis=0)), ("max", array.max(axis=0))):
            assert name not in accessor or accessor[name] == bound.tolist()
        return array

    def _check_nodes(self) -> None:
        nodes = self.document["nodes"]
        children = [child for node in nodes for child in node.get("children", [])]
        assert len(children) == len(set(children))  # one parent each
        roots = set(range(len(nodes))) - set(children)
        assert roots == set(self.document["scenes"][self.document["scene"]]["nodes"])
        self.parents = {child: n for n, node in enumerate(nodes) for child in node.get("children", [])}

    def _check_mesh(self) -> None:
        skin, (mesh,) = self.document["skins"][0], self.document["meshes"]
        attributes = mesh["primitives"][0]["attributes"]
        assert {"min", "max"} <= set(self.document["accessors"][attributes["POSITION"]])
        for accessor in attributes.values():
            view = self.document["bufferViews"][self.document["accessors"][accessor]["bufferView"]]
            assert view["target"] == 34962
        names = ("POSITION", "NORMAL", "JOINTS_0", "WEIGHTS_0")
        self.points, normals, self.owners, self.weights = (self.arrays[attributes[n]] for n in names)
        assert len(self.points) == len(normals) == len(self.owners) == len(self.weights)
        assert len(self.points) % 3 == 0 and self.owners.max() < len(skin["joints"])
        assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        assert (
            np.allclose(self.weights.sum(axis=1), 1, atol=1e-6) and not self.owners[self.weights == 0].any()
        )
        corners = self.points.reshape(-1, 3, 3)
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert ((faces * normals[::3]).sum(axis=1) >= 0).all()  # counter-clockwise from outside
        self.inverse = self.arrays[skin["inverseBindMatrices"]].reshape(-1, 4, 4).transpose(0, 2, 1)
        assert len(self.inverse) == len(skin["joints"]) and (self.inverse[:, 3] == [0, 0, 0, 1]).all()

    def _check_animation(self) -> None:
        (animation,) = self.document["animations"]
        targets = [(c["target"]["node"], c["target"]["path"]) for c in animation["channels"]]
        assert len(targets) == len(set(targets))
        self.keys: dict[tuple[int, str], NDArray[Any]] = {}
        for channel, target in zip(animation["channels"], targets, strict=True):
            sampler = animation["samplers"][channel["sampler"]]
            assert {"min", "max"} <= set(self.document["accessors"][sampler["input"]])
            self.times = self.arrays[sampler["input"]][:, 0]
            keys = self.keys[target] = self.arrays[sampler["output"]]
            assert self.times[0] >= 0 and (np.diff(self.times) > 0).all() and len(keys) == len(self.times)
            if target[1] == "rotation":
                assert np.allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-6)
                assert ((keys[1:] * keys[:-1]).sum(axis=1) >= 0).all()  # the short way round

    def joints(self, frame: int) -> Floats:
        """World matrices `[nodes of the skin, 4, 4]` at a key frame."""
        nodes = self.document["nodes"]
        world: dict[int, Floats] = {}
        for node in self.document["skins"][0]["joints"]:
            local = np.eye(4)
            given = nodes[node]["translation"]
            local[:3, 3] = (
                self.keys[node, "translation"][frame] if (node, "translation") in self.keys else given
            )
            if (node, "rotation") in self.keys:
                local[:3, :3] = Rotation.from_quat(self.keys[node, "rotation"][frame]).as_matrix()
            world[node] = world[self.parents[node]] @ local if node in self.parents else local
        return np.stack(list(world.values()))

    def skinned(self, frame: int) -> Floats:
        """All vertices `[n, 3]` at a key frame."""
        turns = self.joints(frame) @ self.inverse
        points = np.concatenate([self.points, np.ones((len(self.points), 1))], axis=1)
        each = np.einsum("nkij,nj->nki", turns[self.owners], points)
        return np.asarray((each * self.weights[..., None]).sum(axis=1)[:, :3], np.float64)
