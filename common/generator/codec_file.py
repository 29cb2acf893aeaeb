"""A fitted codec as one file: tensors and a JSON description in safetensors, no code in it."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from common.errors import InputError
from common.generator.codec import Codec
from common.generator.codecs import load_codec
from common.storage import write_atomically

_KEY = "codec"


def write_codec(codec: Codec, path: Path) -> None:
    arrays = {name: tensor.contiguous() for name, tensor in codec.arrays().items()}
    write_atomically(path, save(arrays, {_KEY: json.dumps(codec.description(), sort_keys=True)}))


def read_codec(path: Path) -> Codec:
    """The codec in `path`; InputError where it holds none."""
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no codec ({error}): make one with simulations.train_vae") from None
    return load_codec(arrays, description)
