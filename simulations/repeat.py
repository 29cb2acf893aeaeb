"""The command that starts a run with the same settings once more."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from common.methods import usual_of
from common.validation import flag
from simulations.config import Simulation
from simulations.toml import to_toml

FILE_ONLY = frozenset(
    (
        "motions", "actions", "heterogeneity", "site", "steps_per_round", "sampling_rate", "clip_norm",
        "options", "codec_file", "latent", "text_size",
        "public_people", "labels", "sensor_device", "precision", "loss_curve", "compression",
        "keep", "min_sites", "colluders", "shard_size",
    )
)  # fmt: skip
"""Keys without a flag: they are said in a TOML file."""
_ALWAYS = ("epsilon", "rounds", "seed")
_USUAL = ("sampling_rate", "clip_norm")
"""Keys whose default is the method's: what is ours may not be its."""
_FILE = "again.toml"


def repeat_command(config: Simulation) -> str:
    """Shell lines that give every setting of `config` which is not a default, and a few that are."""
    said = config.model_dump(exclude_defaults=True, exclude_none=True)
    said |= {key: getattr(config, key) for key in _ALWAYS}
    usual = usual_of(config.method)
    own = {key: getattr(config, key) for key in _USUAL}
    said |= {key: value for key, value in own.items() if value != getattr(usual, key)}
    filed = {key: value for key, value in said.items() if key in FILE_ONLY}
    words = ["fedmotion", "simulate", *([_FILE] if filed else [])]
    for key in Simulation.model_fields:
        if key in said and key not in FILE_ONLY:
            words += [flag(key), *_value(said[key])]
    command = shlex.join([*words, "--out", "runs/again"])
    if not filed:
        return command
    text = to_toml({key: _plain(value) for key, value in filed.items()})
    return f"cat > {_FILE} <<'END'\n{text}END\n{command}"


def _value(value: Any) -> list[str]:
    """The words after a flag: none after a switch; a path from here where it lies below."""
    if value is True:
        return []
    if isinstance(value, Path) and value.is_relative_to(Path.cwd()):
        value = value.relative_to(Path.cwd())
    return [str(value)]


def _plain(value: Any) -> Any:
    """Tables without the keys that say nothing, which TOML cannot."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value
