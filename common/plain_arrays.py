"""Tensors as plain NumPy bytes beside a message: no pickle, and nothing read that was not sent."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict
from google.protobuf.message import Message
from numpy.typing import NDArray
from torch import Tensor

from common.parcel import arrays_of, pack

_NPY = re.compile(
    rb"\x93NUMPY\x01\x00.." rb"\{'descr': '(<f4|<f8|<i2|<i4|<i8)', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), \} *\n", re.DOTALL,
)  # fmt: skip


def packed(header: Message, arrays: Mapping[str, Tensor]) -> RecordDict:
    """A message with tensors beside it."""
    return pack(header, {name: _npy(tensor) for name, tensor in arrays.items()})


def _npy(tensor: Tensor) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, as_numpy(tensor), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """`tensor` as an array in row order."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


def read_arrays(content: RecordDict) -> dict[str, Tensor]:
    """The tensors beside a message; raises ValueError for what is no plain array."""
    return {name: _tensor(data) for name, data in arrays_of(content).items()}


def _tensor(content: memoryview) -> Tensor:
    """A plain NumPy file as a tensor: five types in row order, and no more allocated than was sent.

    NumPy's own reader evaluates the header as Python and reserves what it claims.
    """
    end = 10 + int.from_bytes(content[8:10], "little")
    header = _NPY.fullmatch(bytes(content[:end]))
    if header is None or len(header[0]) != end:
        raise ValueError("not a plain NumPy array of float32, float64, int16, int32 or int64")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError(f"an array of shape {shape} has {len(content) - end} bytes")
    return torch.from_numpy(np.frombuffer(content, dtype, offset=end).reshape(shape).copy())
