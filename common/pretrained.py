"""A generator trained on public motions alone, in one file: where private training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.generator import Generator
from common.generator.trainable import Shapes, with_low_rank
from common.method import Method
from common.methods import build, option_of, options_of
from common.sealed import read_sealed, write_sealed

FILE: Final = "pretrained.safetensors"
UNFINISHED: Final = "pretraining.json"
"""The settings of a pre-training, which stand in its folder from the start."""
PUBLIC_ONLY: Final = "public motions only"
"""What such a generator promises: nothing about anybody private is in it."""
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the motions come from: `origin` says it in the words of whoever pre-trained.

    `sha256` is of all windows and labels, `windows` their number; `seed` and `steps` of the
    training; `fedmotion` the version that did it.
    """

    origin: str
    sha256: str
    windows: int
    steps: int
    seed: int
    fedmotion: str


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Codec and parameters of a denoiser, the options that they belong to, and where they are from."""

    method: str
    design: Mapping[str, int | float | str]
    assets: Assets
    public: Provenance

    @property
    def shapes(self) -> Shapes:
        return {name: tuple(value.shape) for name, value in self.assets.base.items()}

    def generator(self) -> Generator:
        """The generator as it is, without any private training."""
        method = build(self.method, self.design, self.assets)
        return method.generator(method.init(0))

    def private(self, train: str, rank: int, seed: int = 0) -> Method:
        """The method that trains the part `train` of it in private."""
        assets = self.low_rank(rank, seed) if train == "lora" else self.assets
        return build(self.method, {**self.design, "train": train, "rank": rank}, assets)

    def assets_for(self, method: str, options: Mapping[str, Any], seed: int) -> Assets:
        """What `method` with `options` starts from; InputError for an option that it does not take."""
        if option_of(method, options, "train") != "lora":
            return self.assets
        rank = options_of(build(method, {**options, "train": "all"}, self.assets))["rank"]
        return self.low_rank(int(rank), seed)

    def low_rank(self, rank: int, seed: int) -> Assets:
        """The assets with the frozen factors of LoRA, drawn once for all sites."""
        return replace(self.assets, base=with_low_rank(self.assets.base, rank, seed))

    def save(self, folder: Path) -> None:
        header = {
            "format": _FORMAT,
            "method": self.method,
            "design": dict(self.design),
            "codec": self.assets.codec.description(),
            "text": self.assets.text_description(),
            "labels": list(self.assets.codec.labels),
            "public": asdict(self.public),
        }
        write_sealed(folder / FILE, self.assets.arrays(), header)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` left in `folder`; InputError where it is missing, damaged or of another version."""
        path = folder / FILE
        missing = f"{folder} is no folder that fedmotion pretrain has finished"
        arrays, header = read_sealed(path, missing, "restore it, or pre-train again")
        if header.get("format") != _FORMAT:
            raise InputError(f"{path} is of another version of fedmotion: pre-train again with this one")
        try:
            assets = Assets.from_arrays(arrays, header["codec"], header["text"])
            found = cls(header["method"], header["design"], assets, Provenance(**header["public"]))
            if not assets.base:
                raise InputError("it holds no parameters")
            build(found.method, found.design, assets).dimension  # noqa: B018  checks the base
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"{path} does not load: {error}; pre-train again") from None
        return found
