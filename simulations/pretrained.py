"""A simulated run that starts from a generator pre-trained on public motions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.datasets import DataSet
from common.errors import InputError
from common.generator.assets import Assets
from common.pretrained import Pretrained
from simulations.config import Simulation


@dataclass(frozen=True, eq=False)
class Start:
    """What a run starts from: its options with the design filled in, public assets, and their origin.

    `public` is None where training starts from scratch.
    """

    options: Mapping[str, int | float | str]
    assets: Assets
    public: Mapping[str, Any] | None


def start_from(folder: Path, config: Simulation, data: DataSet) -> Start:
    """Codec, design and parameters in `folder`; InputError where config or data are of another kind."""
    found = Pretrained.load(folder)
    codec = found.assets.codec
    if codec.modality.kind == data.modality.kind and codec.modality.window != data.modality.window:
        raise InputError(
            f"pretrained {folder} is of windows of {codec.modality.window} frames, and the data are cut into"
            f" {data.modality.window}: leave window out, or pre-train with it"
        )
    if codec.modality != data.modality:
        raise InputError(
            f"pretrained {folder} is of {codec.modality.kind} motions, and the data are of another modality:"
            " pre-train on such motions"
        )
    if unknown := sorted(set(data.labels) - set(codec.labels)):
        raise InputError(
            f"the data have the label {unknown[0]!r}, and pretrained {folder} knows"
            f" {', '.join(codec.labels) or 'none'}: pre-train with that label, or declare labels without it"
        )
    _agree(config, found, folder)
    options = {**found.design, **config.options}
    return Start(options, found.assets_for(config.method, options, config.seed), vars(found.public))


def _agree(config: Simulation, found: Pretrained, folder: Path) -> None:
    """What is said twice must be the same; what is the default was not said."""
    codec, text = found.assets.codec, found.assets.text
    made = {
        "codec": codec.kind, "latent": codec.latent, "text_encoder": "none" if text is None else text.kind,
        "text_size": found.assets.text_size,
    }  # fmt: skip
    said = {name: getattr(config, name) for name in made}
    given = {
        **config.options,
        **{n: value for n, value in said.items() if value != Simulation.model_fields[n].default},
    }
    for name, value in {**found.design, **made}.items():
        if given.get(name, value) != value:
            raise InputError(
                f"{name} is {given[name]}, and pretrained {folder} was made with {value}: leave it out"
            )
