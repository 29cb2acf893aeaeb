"""What a simulation is told: a TOML file or preset, then flags over it; unknown keys are refused by name."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from client.datasets import Format
from client.speed import Engine, Precision
from common.accounting import LARGEST_EPSILON
from common.compression import Compression
from common.errors import InputError
from common.event import MOST_SITES_PER_PERSON, Trust, Unit
from common.generator.text import SIZES
from common.methods import AUTO, DEFAULT, NAMES
from common.motion.heterogeneity import STRONGEST
from common.validation import flag, one_line
from simulations.preset import preset, presets
from simulations.toml import read_toml

LONGEST_WINDOW = 196
"""Frames of the longest sequence: 9.8 seconds, as HumanML3D has it."""
_REAL_DATA_ONLY = ("person_pattern", "manifest", "labels", "data_format", "joints", "split", "rate")


class SiteTable(BaseModel):
    """One `[[site]]`: its share of the people (or its value of `site_column`) and its own budget."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    share: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    value: str | None = None
    budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Simulation(BaseModel):
    """Every setting of a simulation; None means: derived from the data, as the field says.

    `pretrained`: a folder of `fedmotion pretrain`, whose codec, design and parameters the run starts
    from. `people`: how many procedural people (`actions` and `heterogeneity` say what they do and how
    much their sites differ), or the declared number of units of real data (default:
    as counted, which then is a public fact). `rounds`, `sampling_rate`, `clip_norm`: by default as `method`
    usually takes them, and no more rounds than it needs; `auto` is the method that public facts recommend
    (docs/choosing.md). `sites`: equal shares, by a hash of the person; or
    `[[site]]` tables; or one site for each value of `site_column`, which `[[site]]` tables may name
    and give a budget. `delta`: by default
    min(1e-5, 1 / (10 units)). `site_budget`: a person's lifetime epsilon at each site, by default
    the run's. `sites_per_person`: the declared bound on how many sites hold one person; every epsilon
    is that person's. `min_sites`: fewer releases make no round (default: 1; under `secagg` all of up to
    nine sites, of more nine in ten); `colluders`: how many sites may tell the server their shares of noise,
    under `secagg`. `holdout`: share of people kept out of training, to evaluate with. `options`: of
    the method. `codec`: structured for skeletons and sensor for sensors where it is None; `codec_file`:
    weights of a VAE other than the packaged ones; `window`: frames of a skeleton sequence.
    `compression`: how noised vectors travel, `keep` the share of coordinates under top_k.
    `shard_size`: people who share a critic under `gs_wgan`; 0: each has one. `text_encoder` turns
    captions into conditions of `text_size` numbers. `clipping` is the engine of per-person gradients;
    `loss_curve` adds the loss to what is clipped, noised and charged, and so to
    `metrics.jsonl`. `test_mode` seeds sampling and noise and carries no guarantee.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data: Path | None = Field(default=None, strict=False)
    public: Path | None = Field(default=None, strict=False)
    pretrained: Path | None = Field(default=None, strict=False)
    people: int | None = Field(default=None, ge=1)
    motions: int = Field(default=4, ge=1, le=64)
    actions: Literal["basic", "all"] = "basic"
    heterogeneity: float = Field(default=0.0, ge=0, le=STRONGEST)
    sites: int | None = Field(default=None, ge=1, le=10_000)
    site: tuple[SiteTable, ...] = Field(default=(), strict=False)
    site_column: str | None = None
    rounds: int = Field(default=200, ge=1, le=1_000_000)
    steps_per_round: int = Field(default=1, ge=1, le=1000)
    epsilon: float = Field(default=8.0, gt=0)
    delta: float | None = Field(default=None, gt=0, lt=1)
    site_budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sites_per_person: int = Field(default=1, ge=1, le=MOST_SITES_PER_PERSON)
    sampling_rate: float = Field(default=0.5, gt=0, le=1)
    clip_norm: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    method: str = DEFAULT
    options: dict[str, int | float | str] = {}
    codec: Literal["structured", "pca", "identity", "vae", "sensor", "image"] | None = None
    codec_file: Path | None = Field(default=None, strict=False)
    latent: int = Field(default=32, ge=2, le=512)
    window: int | None = Field(default=None, ge=20, le=LONGEST_WINDOW)
    text_encoder: Literal["none", "template", "minilm"] = "none"
    text_size: int = Field(default=32, ge=SIZES[0], le=SIZES[1])
    trust: Trust = "local"
    min_sites: int | None = Field(default=None, ge=1, le=1000)
    colluders: int = Field(default=1, ge=1, le=1000)
    compression: Compression = "none"
    keep: float | None = Field(default=None, gt=0, le=1)
    shard_size: int = Field(default=0, ge=0, le=10**9)
    unit: Unit = "user"
    engine: Literal["inprocess", "flower"] = "inprocess"
    holdout: float = Field(default=0.2, ge=0, lt=1)
    public_people: int = Field(default=500, ge=100, le=100_000)
    person_pattern: str | None = None
    manifest: str | None = None
    labels: tuple[str, ...] | None = Field(default=None, strict=False)
    data_format: Format | None = None
    joints: str | None = None
    split: str | None = None
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sensor_device: Literal["sw", "sp"] = "sw"
    skip_bad: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    clipping: Engine = "auto"
    precision: Precision = "float32"
    loss_curve: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)
    test_mode: bool = False

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, said: Any) -> Any:
        """What the method usually takes, where nothing else is said; and no more rounds than it needs."""
        method = said.get("method", DEFAULT) if isinstance(said, dict) else None
        if not isinstance(method, str) or method not in NAMES:
            return said
        usual = NAMES[method].usual
        facts = ((name, getattr(usual, name)) for name in ("rounds", "sampling_rate", "clip_norm"))
        given = {name: value for name, value in facts if value != cls.model_fields[name].default} | said
        rounds = given.get("rounds", usual.rounds)
        needed = usual.needed(rounds) if isinstance(rounds, int) and rounds > 0 else rounds
        return given if needed == rounds else {**given, "rounds": needed}

    @field_validator("data", "public", "pretrained", "codec_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.resolve()

    @field_validator("manifest", "joints")
    @classmethod
    def _found(cls, file: str | None) -> str | None:
        """A file seen from here gets its full path; another name is looked for in the data folder."""
        return str(Path(file).resolve()) if file and Path(file).is_file() else file

    @field_validator("epsilon")
    @classmethod
    def _promising(cls, epsilon: float) -> float:
        if LARGEST_EPSILON < epsilon < math.inf:
            raise ValueError(f"it must be at most {LARGEST_EPSILON:g}, or inf for no privacy")
        return epsilon

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sites is not None and (self.site or self.site_column is not None):
            raise ValueError("give one of sites, [[site]] and site_column, not several: leave sites out")
        if len({site.name for site in self.site}) != len(self.site):
            raise ValueError("two [[site]] tables have the same name: rename one")
        if any((site.value is None) != (self.site_column is None) for site in self.site):
            raise ValueError("value in [[site]] goes with site_column: give both, or neither")
        if len({site.value for site in self.site}) != len(self.site) and self.site_column is not None:
            raise ValueError("two [[site]] tables have the same value: remove one")
        if self.steps_per_round > 1 and self.trust != "local":
            raise ValueError("steps_per_round above 1 needs trust = local; set steps_per_round = 1")
        if self.trust != "secagg" and self.colluders > 1:
            raise ValueError("colluders is of trust = secagg: leave it out, or set trust = secagg")
        if (self.compression == "top_k") != (self.keep is not None):
            raise ValueError("keep is the share of coordinates that compression = top_k sends: give both")
        if self.shard_size > 0 and self.sampling_rate != 1:
            raise ValueError("shard_size needs sampling_rate = 1: every shard answers every round")
        if self.codec_file is not None and self.codec != "vae":
            raise ValueError("codec_file holds the weights of a VAE: set codec = vae, or leave it out")
        if self.method == AUTO and self.options:
            raise ValueError("options are of one method: name it instead of method = auto, or leave them out")
        if "total_rounds" in self.options:
            raise ValueError("options.total_rounds is the number of rounds: set rounds instead")
        if self.data is None and (idle := [key for key in _REAL_DATA_ONLY if getattr(self, key) is not None]):
            raise ValueError(f"{idle[0]} says how to read data: give data as well, or leave it out")
        if self.data is not None and (self.actions != "basic" or self.heterogeneity > 0):
            raise ValueError("actions and heterogeneity are of procedural people: leave them out, or data")
        return self


def read_config(source: str | None, flags: Mapping[str, Any]) -> Simulation:
    """`source` (a TOML file, a preset's name, or nothing) with `flags` over it; InputError names the key."""
    return _checked({**read_source(source), **flags}, source, flags)


def read_values(values: Mapping[str, Any]) -> Simulation:
    """What stands in somebody's file; InputError names the key."""
    return _checked(values, None, {})


def read_again(
    stored: Simulation, source: str | None, flags: Mapping[str, Any], *, chosen: bool = False
) -> None:
    """What is said when a run is resumed must be what it was started with; InputError names what is not.

    `chosen`: the run was started with the method `auto`, which found the one that it has.
    """
    kept = stored.model_dump()
    for key, value in {**read_source(source), **flags}.items():
        if chosen and (key, value) == ("method", AUTO):
            continue
        name = flag(key) if key in flags else key
        try:
            said = getattr(Simulation.model_validate({**kept, key: value}), key)
        except ValidationError as error:
            if any(problem["loc"] for problem in error.errors()):
                _checked({key: value}, source, flags)
            said = value  # right by itself, and a contradiction to the rest: so it is another value
        own = getattr(stored, key)
        if said != own:
            whose = f"differs from the run's {own}" if own is not None else "is none of the run's settings"
            raise InputError(
                f"{name} {said} {whose}: a run is resumed with its own settings; leave it out, or choose"
                " another --out"
            )


def _checked(values: Mapping[str, Any], source: str | None, flags: Mapping[str, Any]) -> Simulation:
    try:
        return Simulation.model_validate(values)
    except ValidationError as error:
        flagged = {problem["loc"][:1] for problem in error.errors()} <= {(key,) for key in flags}
        whose = "simulate" if flagged or not source else source
        raise InputError(f"{whose}: {one_line(error, Simulation, flags)}") from None


def read_source(source: str | None) -> dict[str, Any]:
    """The settings in `source`, with paths from its folder on; InputError where it cannot be read."""
    if source is None:
        return {}
    path = Path(source)
    if path.suffix != ".toml":
        if source not in presets():
            raise InputError(
                f"no preset {source!r}: choose from {', '.join(presets())}, or give a .toml file"
            )
        return tomllib.loads(preset(source))
    return beside(read_toml(path), path.parent)


def beside(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`values` of a file in `folder`, with their paths from there on."""
    found = dict(values)
    for key in ("data", "public", "pretrained", "codec_file"):
        if isinstance(found.get(key), str):
            found[key] = folder / found[key]
    for key in ("manifest", "joints"):
        if isinstance(found.get(key), str) and (folder / found[key]).is_file():
            found[key] = str(folder / found[key])
    return found
