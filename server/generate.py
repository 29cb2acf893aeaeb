"""Motions from a run's checkpoint: drawn, post-processed, written, and shown on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import InputError
from common.generator.generator import UNLABELLED, Generator
from common.generator.text import TextEncoder, printable, sides
from common.motion.export import FORMATS, write_motions
from common.motion.postprocess import postprocess
from common.motion.recording import Modality, what_of
from common.motion.skeleton import JOINT_NAMES
from common.player import gallery
from common.player.clip import Clip
from common.player.gallery import PAGE, PAGE_ITEMS, REAL, Exhibit, exhibits
from common.player.picture import Picture
from common.player.window import Window
from common.pretrained import FILE as PRETRAINED
from common.pretrained import PUBLIC_ONLY, UNFINISHED, Pretrained
from common.storage import read_json, writing
from server.checkpoint import Checkpoint
from server.comparison import Recorded
from server.guarantee import no_guarantee

RUN: Final = "run.json"
NOTICE: Final = "NO_PRIVACY_GUARANTEE.txt"
"""Beside motions that nothing protects: most of their formats have no place for a word about it."""
PROMPT: Final = "prompt.txt"
"""Beside motions that a sentence asked for: what it was."""
_NAME_LENGTH: Final = 48
_AT_ONCE: Final = 32  # motions that are post-processed together: more of them leave the cache


class Drawing(TypedDict, total=False):
    """How motions are drawn: a row of `Sampler` and its steps, guidance, and frames of each motion.

    `raw` leaves post-processing out (`common.motion.postprocess`: constant bones, joint limits, foot
    lock).
    """

    sampler: str
    steps: int
    guidance: float
    frames: int | None
    raw: bool


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated motions: `motions[i]` is `[frames, 22, 3]` metres, `[frames, channels]` or `[rows, columns]`.

    `warning` (`Plan.warning`) goes wherever they are written or shown; so does `prompt`, the
    sentence that asked for them.
    """

    modality: Modality
    motions: Sequence[NDArray[np.float32]]
    labels: Sequence[str]
    warning: str | None
    prompt: str | None = None

    def names(self) -> list[str]:
        """File names without suffix, in order."""
        if self.prompt is not None:
            words = re.sub(r"[^a-z0-9]+", "-", self.prompt.lower())[:_NAME_LENGTH].strip("-") or "text"
            return [f"{number:04d}_{words}" for number in range(len(self.motions))]
        plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", label) for label in self.labels]
        return [f"{number:04d}_{label}" for number, label in enumerate(plain)]

    def captions(self) -> list[tuple[str, ...]]:
        """A sentence on each motion, in order: what asked for it, or else its label where it has one."""
        if self.prompt is not None:
            return [(self.prompt,)] * len(self.motions)
        plain = [" ".join(re.split(r"[\s_-]+", label)).strip() for label in self.labels]
        return [() if label == UNLABELLED else (label,) for label in plain]

    def shown(self, group: str, most: int | None = None) -> list[Clip] | list[Window] | list[Picture]:
        """The first `most` motions (by default as many as a page shows) as a page shows them."""
        count = PAGE_ITEMS[self.modality.kind] if most is None else most
        labels = self.labels[:count]
        said = [] if self.prompt is None else [self.prompt] * len(labels)
        return exhibits(self.motions[:count], self.modality, group, labels, labels, said)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained generator, as `fedmotion.load` returns it.

    `guarantee` and `warning` say what its run promises, as `run.json` does; `text` is the encoder of
    a run that learnt from sentences.
    """

    generator: Generator
    guarantee: str
    warning: str | None
    text: TextEncoder | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """What `sample` takes as a label."""
        return self.generator.codec.labels

    @property
    def rate(self) -> float:
        """Frames a second of what `sample` returns."""
        return self.generator.codec.modality.rate

    @property
    def columns(self) -> tuple[str, ...]:
        """Names along axis 2 of what `sample` returns: the 22 joints, or a sensor's channels."""
        modality = self.generator.codec.modality
        return JOINT_NAMES if modality.kind == "skeleton" else modality.channels

    def sample(
        self,
        n: int,
        label: str | None = None,
        seed: int = 0,
        *,
        text: str | None = None,
        **drawing: Unpack[Drawing],
    ) -> NDArray[np.float32]:
        """Draw `n` motions: joints `[n, frames, 22, 3]` in metres, sensor windows `[n, frames, channels]`, or
        images `[n, rows, columns]` in 0..1.

        Joints are Y up. `label` is one of `labels`; None draws labels too, in their public
        shares. `text` is a sentence such as "a person jogs in a circle"; without a label, it takes
        the one whose public sentence is nearest, and motions take turns at a side that it leaves open.
        `drawing` says how (`Drawing`). The same arguments
        give the same motions. Raises InputError for an unknown label, for a text that says nothing
        known or that the run did not learn to read, for `n` below 1, and for `raw` where nothing is
        post-processed.
        """
        return np.stack(self.draw(n, label, seed, text=text, **drawing).motions)

    def draw(
        self,
        n: int,
        label: str | None = None,
        seed: int = 0,
        *,
        text: str | None = None,
        **drawing: Unpack[Drawing],
    ) -> Samples:
        """What `sample` draws, with the label of each motion."""
        if drawing.get("raw") and self.generator.codec.modality.kind != "skeleton":
            what = "images" if self.generator.codec.modality.kind == "image" else "sensor windows"
            raise InputError(f"raw: {what} are never post-processed; leave it out")
        if text is None:
            return draw(self.generator, n, label, seed, self.warning, **drawing)
        encoder = self._encoder()
        vector = encoder.prompt(text)
        named = self.generator.nearest_label(vector) if label is None else label
        either = torch.stack([encoder.prompt(sentence) for sentence in sides(text)])
        vectors = either[torch.arange(max(n, 1)) % len(either)]
        samples = draw(self.generator, n, named, seed, self.warning, vectors, **drawing)
        return replace(samples, prompt=printable(text))

    def _encoder(self) -> TextEncoder:
        """The run's encoder; InputError that says the way out where it has none."""
        if self.text is None:
            known = f"give a label ({', '.join(self.labels)})" if self.labels else "leave the text out"
            raise InputError(
                f"this run learnt from no text: {known}, or train with --text-encoder template or minilm"
            )
        return self.text


def load(run: str | Path, signer: str | None = None) -> Model:
    """The generator of a run folder; InputError where it is missing, damaged or not rightly signed.

    A folder of `fedmotion pretrain` will do, too: it has learned from public motions only.
    `signer` is the public key that must have signed it, in hexadecimal; by default the one
    that `run.json` names, where there is one.
    """
    folder = Path(run)
    if (folder / PRETRAINED).exists():
        if signer is not None:
            raise InputError(
                f"{folder} is pre-trained on public motions and carries no signature: no --signer"
            )
        found = Pretrained.load(folder)
        return Model(found.generator(), PUBLIC_ONLY, None, found.assets.text)
    if (folder / UNFINISHED).exists():
        raise InputError(
            f"{folder} is a pre-training that has not finished: go on with fedmotion pretrain --resume --out"
            f" {folder}"
        )
    if signer is None and (folder / RUN).exists():
        signer = read_json(folder / RUN).get("signer")
    checkpoint = Checkpoint.load(folder, signer)
    plan, assets = checkpoint.plan, checkpoint.loaded_assets()
    return Model(checkpoint.generator(), plan.guarantee, plan.warning, assets.text)


def draw(
    generator: Generator,
    count: int,
    label: str | None,
    seed: int,
    warning: str | None = None,
    text: Tensor | None = None,
    **drawing: Unpack[Drawing],
) -> Samples:
    """Draw `count` motions; joints are post-processed unless `raw`."""
    own = generator.sampler
    sampler = replace(own, name=drawing.get("sampler", own.name), steps=drawing.get("steps", own.steps))
    guidance, frames = drawing.get("guidance", 0.0), drawing.get("frames")
    drawn, labels = generator.sample(
        count, label, seed, sampler=sampler, guidance=guidance, frames=frames, text=text
    )
    motions = drawn.numpy().astype(np.float32)
    modality = generator.codec.modality
    if modality.kind == "skeleton" and not drawing.get("raw"):
        parts = [motions[start : start + _AT_ONCE] for start in range(0, count, _AT_ONCE)]
        motions = np.concatenate([postprocess(part, modality.rate) for part in parts])
    return Samples(modality, list(motions), labels, warning)


def write(samples: Samples, format: str, out: Path, title: str, real: Sequence[Recorded] = ()) -> list[Path]:
    """Write `samples` under `out` as `write_motions` does, or for `html` one page of the first ones.

    `real` are recordings to show beside them on the page.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if format == "html":
            return [write_page(samples, out, title, real)]
        if samples.prompt is not None:
            (out / PROMPT).write_text(f"{samples.prompt}\n", encoding="utf-8")
        if samples.warning is not None:
            (out / NOTICE).write_text(f"{samples.warning}\n", encoding="utf-8")
        return write_motions(
            samples.motions,
            out,
            format,
            samples.names(),
            samples.modality,
            captions=samples.captions(),
            note=samples.warning,
        )


def write_page(samples: Samples, out: Path, title: str, real: Sequence[Recorded] = ()) -> Path:
    """A self-contained page that plays, charts or shows `samples`, and `real` beside them."""
    modality = samples.modality
    alarm = ""
    if samples.warning is not None:
        title, alarm = f"{title} ({samples.warning})", no_guarantee(samples.warning)
    items: list[Exhibit] = [*samples.shown("generated", page_items(modality, bool(real)))]
    items += exhibits([r.samples for r in real], modality, REAL, [r.title for r in real])
    return gallery.write_page(items, out / PAGE, title, rate=modality.rate, alarm=alarm)


def page_items(modality: Modality, compared: bool) -> int:
    """How many generated motions a page shows, and as many recordings where they are `compared`."""
    return PAGE_ITEMS[modality.kind] // (2 if compared else 1)


def check_new(out: Path) -> None:
    """InputError unless `out` is missing or an empty folder: motions of two calls never mix."""
    with writing(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} exists: choose another --out")


def check_format(format: str | None, modality: Modality) -> str:
    """`format`, by default the usual one of the modality; InputError where it does not fit."""
    known = FORMATS[modality.kind]
    if format is None:
        return known[0]
    if format not in known:
        raise InputError(f"--format {format}: {what_of(modality)} are written as {' or '.join(known)}")
    return format
