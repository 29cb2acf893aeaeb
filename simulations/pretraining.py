"""What pre-training is told: a TOML file, then flags over it; unknown keys are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import InputError
from common.generator.text import SIZES
from common.validation import flag, one_line
from simulations.config import LONGEST_WINDOW
from simulations.toml import read_toml

PEOPLE = 500


class Pretraining(BaseModel):
    """Every setting of a pre-training.

    `public`: folders of public motions, `origin` where they come from and under which licence;
    `people`: procedural public people (default: 500 where there is no folder, else none), of
    `motions` each, who do the six basic `actions` or all. `labels`: the vocabulary (default: all labels
    of the motions). `codec`, `codec_file`, `latent`, `window`, `text_encoder`, `text_size`, `method`,
    `options`: the design, which private training takes over. `steps` of AdamW, each on
    `batch` windows, at `learning_rate` falling to zero as half a cosine, with `weight_decay`;
    `ema`: decay of the averaged parameters that are kept. `holdout`: share of the public people whose
    loss is only looked at. `save_seconds`: between two files to resume from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    public: tuple[Path, ...] = Field(default=(), strict=False)
    origin: str | None = Field(default=None, min_length=1, max_length=2000)
    people: int | None = Field(default=None, ge=0, le=1_000_000)
    motions: int = Field(default=4, ge=1, le=64)
    actions: Literal["basic", "all"] = "basic"
    labels: tuple[str, ...] | None = Field(default=None, strict=False)
    sensor_device: Literal["sw", "sp"] = "sw"
    skip_bad: bool = False
    codec: Literal["structured", "pca", "identity", "vae", "sensor", "image"] | None = None
    codec_file: Path | None = Field(default=None, strict=False)
    latent: int = Field(default=32, ge=2, le=512)
    window: int | None = Field(default=None, ge=20, le=LONGEST_WINDOW)
    text_encoder: Literal["none", "template", "minilm"] = "none"
    text_size: int = Field(default=32, ge=SIZES[0], le=SIZES[1])
    method: str = "dp_sgd"
    options: dict[str, int | float | str] = {}
    steps: int = Field(default=5000, ge=1, le=100_000_000)
    batch: int = Field(default=256, ge=1, le=65_536)
    learning_rate: float = Field(default=5e-3, ge=1e-7, le=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    ema: float = Field(default=0.999, ge=0.0, le=0.99999)
    holdout: float = Field(default=0.1, ge=0.0, le=0.5)
    save_seconds: float = Field(default=30.0, ge=0.0, le=86_400.0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**62)

    @field_validator("public")
    @classmethod
    def _absolute(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.resolve() for path in paths)

    @field_validator("codec_file")
    @classmethod
    def _absolute_file(cls, path: Path | None) -> Path | None:
        return path and path.resolve()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.public and self.origin is None:
            raise ValueError(
                "origin is missing: say where the motions of public come from, and their licence"
            )
        if self.origin is not None and not self.public:
            raise ValueError("origin goes with public: procedural people need none, leave it out")
        if not self.public and self.people == 0:
            raise ValueError("people is 0 and there is no public: give one of the two")
        if idle := sorted({"train", "rank", "total_rounds"} & self.options.keys()):
            raise ValueError(f"options.{idle[0]} is of private training: give it to fedmotion simulate")
        return self

    @property
    def procedural(self) -> int:
        """How many procedural people."""
        return (0 if self.public else PEOPLE) if self.people is None else self.people


def read_pretraining(source: Path | None, flags: Mapping[str, Any]) -> Pretraining:
    """`source` (a TOML file or nothing) with `flags` over it; InputError names the key."""
    return _checked({**_read(source), **flags}, source, flags)


def check_same(stored: Pretraining, source: Path | None, flags: Mapping[str, Any]) -> None:
    """What is said when a pre-training is resumed must be what it was started with; else InputError."""
    said = {**_read(source), **flags}
    given = _checked({**stored.model_dump(), **said}, source, flags)
    for key in said:
        if getattr(given, key) != getattr(stored, key):
            raise InputError(
                f"{flag(key) if key in flags else key} {said[key]} differs from {getattr(stored, key)}, with"
                " which this began: leave it out, or choose another --out"
            )


def _checked(values: Mapping[str, Any], source: Path | None, flags: Mapping[str, Any]) -> Pretraining:
    try:
        return Pretraining.model_validate(values)
    except ValidationError as error:
        flagged = {problem["loc"][:1] for problem in error.errors()} <= {(key,) for key in flags}
        whose = "pretrain" if flagged or source is None else source
        raise InputError(f"{whose}: {one_line(error, Pretraining, flags)}") from None


def _read(source: Path | None) -> dict[str, Any]:
    if source is None:
        return {}
    values = read_toml(source)
    if isinstance(values.get("codec_file"), str):
        values["codec_file"] = source.parent / values["codec_file"]
    if isinstance(values.get("public"), str):
        values["public"] = [values["public"]]
    if isinstance(values.get("public"), list):
        values["public"] = [
            source.parent / path if isinstance(path, str) else path for path in values["public"]
        ]
    return values
