"""Named tensors with a JSON header in one safetensors file that shows its own damage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from common.errors import InputError
from common.method import digest_arrays
from common.storage import write_atomically

_HEADER: Final = "fedmotion"


def write_sealed(path: Path, arrays: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Replace `path`, with a SHA-256 over all that it says; it shows damage, and nothing against forgery."""
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in arrays.items()}
    write_atomically(path, save(own, {_HEADER: json.dumps([digest_arrays(own, text), text])}))


def read_sealed(path: Path, missing: str, way_out: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arrays and header; InputError saying `missing` or the `way_out` of damage."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: {missing}") from None
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        digest, text = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_HEADER])
        header: dict[str, Any] = json.loads(text)
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(f"{path} is damaged: {way_out}") from None
    if digest_arrays(arrays, text) != digest:
        raise InputError(f"{path} does not match its own digest: {way_out}")
    return arrays, header
