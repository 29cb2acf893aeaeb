"""How a noised vector crosses the network: as it is, in bfloat16, or its largest coordinates alone.

Post-processing of what is noised and stored already, so it costs no privacy: it reads nothing else, and
a function of a release promises all that the release does. That holds under the trust `local` only: under
`central` the noise comes after it, and which coordinates are largest would be a person's secret.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from common.vector import Vector

Compression = Literal["none", "bf16", "top_k"]

_NAMES = {"none": {"total"}, "bf16": {"total"}, "top_k": {"indices", "values"}}


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The form of one vector of `dimension` on the wire; its length is a public constant.

    `none`: float32. `bf16`: the upper half of each float32, rounded to nearest, as int16 words.
    `top_k`: the `count` coordinates largest in magnitude (of equals the first) as float32, and their
    indices; the others arrive as 0. That biases a mean: rounding does not, beyond 2^-9 of each value.
    """

    compression: Compression = "none"
    keep: float = 1.0
    dimension: int

    @property
    def count(self) -> int:
        """How many coordinates travel."""
        return math.ceil(self.keep * self.dimension) if self.compression == "top_k" else self.dimension

    def pack(self, vector: Vector) -> dict[str, Tensor]:
        """`vector` `[dimension]` as it travels: the same vector, the same bytes."""
        if self.compression == "bf16":
            return {"total": vector.to(torch.bfloat16).view(torch.int16)}
        if self.compression == "top_k":
            indices = self._largest(vector)
            return {"indices": indices.to(torch.int32), "values": vector[indices]}
        return {"total": vector}

    def unpack(self, arrays: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> Vector:
        """What `pack` made as a vector `[dimension]`; ValueError for anything that it does not make.

        `dtype` is that of an uncompressed vector.
        """
        if set(arrays) != _NAMES[self.compression]:
            raise ValueError(f"a vector under {self.compression} is {_NAMES[self.compression]}")
        if self.compression == "top_k":
            return self._spread(arrays["indices"], arrays["values"])
        total = arrays["total"]
        if self.compression == "bf16":
            self._require("total", total, torch.int16)
            return total.view(torch.bfloat16).to(torch.float32)
        self._require("total", total, dtype)
        return total

    def _largest(self, vector: Vector) -> Tensor:
        """Indices `[count]` in rising order."""
        size = vector.abs()
        least = size.kthvalue(self.dimension - self.count + 1).values
        chosen = size > least
        equal = (size == least).nonzero().flatten()[: self.count - int(chosen.sum())]
        chosen[equal] = True
        return chosen.nonzero().flatten()

    def _spread(self, indices: Tensor, values: Tensor) -> Vector:
        self._require("indices", indices, torch.int32)
        self._require("values", values, torch.float32)
        inside = int(indices[0]) >= 0 and int(indices[-1]) < self.dimension
        if not inside or not bool((indices[1:] > indices[:-1]).all()):
            raise ValueError(f"indices rise, from 0 to below {self.dimension}")
        total = torch.zeros(self.dimension)
        total[indices.long()] = values
        return total

    def _require(self, name: str, array: Tensor, dtype: torch.dtype) -> None:
        if array.dtype != dtype or array.shape != (self.count,):
            raise ValueError(f"{name} is {self.count} numbers, {dtype}")
