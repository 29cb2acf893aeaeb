"""`python -m simulations.train_vae`: train the committed VAE codec again, on public motion alone.

Five minutes of one idle CPU core. Other machines and versions of torch round otherwise, so that the
weights differ in their last digits; the corpus, by its hash, does not.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from client.datasets import DataOptions, open_data_set
from common.errors import InputError
from common.generator.codec_file import write_codec
from common.generator.conv_vae import ConvVae
from common.generator.corpus import digest
from common.generator.scale import Scale
from common.generator.vae_codec import CHANNELS, WIDTH, VaeCodec
from common.motion.features import FEATURES, to_features
from common.motion.population import ACTIONS, PUBLIC_ALL, synthesise
from common.motion.recording import SKELETON, Recording
from simulations.codec import PUBLIC_SEED, packaged, procedural_origin
from simulations.corpus import corpus
from simulations.variety import various

_PEOPLE: Final = 2000
_MOTIONS: Final = 4
_STEPS: Final = 7000
_BATCH: Final = 32
_RATE: Final = 1.5e-3
_LENGTHS: Final = (60, 60, 60, 44, 28, 12)  # frames of a batch: edges are seen at every phase
_KL: Final = 1e-4  # a coding noise of about 3 % of a unit
_DRIFT: Final = 10.0  # weight of errors in travel that add up, in rad^2 and m^2
_SMALLEST: Final = 0.1  # spread of a channel that says next to nothing, as a share of the largest


@dataclass(frozen=True)
class Training:
    steps: int = _STEPS
    seed: int = 0


def train(windows: Tensor, training: Training, *, sha256: str, origin: str) -> VaeCodec:
    """A VAE of PUBLIC joints `[n, 61, 22, 3]`: mean squares of features, of their change and of drift."""
    scale = Scale.fit(SKELETON, windows)
    features = to_features(windows)
    random = torch.Generator().manual_seed(training.seed)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        vae = ConvVae(FEATURES, WIDTH, CHANNELS)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=_RATE, weight_decay=1e-4)
    slow = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_pace, steps=training.steps))
    for step, batch in enumerate(_batches(features, random, training.steps), start=1):
        loss = _loss(vae, scale, batch, random)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        slow.step()
        if step % 500 == 0:
            print(f"step {step} of {training.steps}: loss {float(loss.detach()):.4f}", flush=True)
    return _standardised(vae, scale, windows, sha256, origin)


def _pace(step: int, steps: int) -> float:
    return min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / steps)) / 2


def _batches(features: Tensor, random: torch.Generator, steps: int) -> Iterator[Tensor]:
    """Random parts of random motions, made more various."""
    for step in range(steps):
        rows = torch.randint(len(features), (_BATCH,), generator=random)
        length = min(_LENGTHS[step % len(_LENGTHS)], features.shape[1])
        start = int(torch.randint(features.shape[1] - length + 1, (1,), generator=random))
        yield various(features[rows, start : start + length], random)


def _loss(vae: ConvVae, scale: Scale, features: Tensor, random: torch.Generator) -> Tensor:
    frames = (features - scale.mean) / scale.unit
    mean, log_variance = vae.encode(frames)
    noise = torch.randn(mean.shape, generator=random)
    back = vae.decode(mean + noise * (log_variance / 2).exp())[:, : frames.shape[1]]
    error = frames - back
    change = error[:, 1:] - error[:, :-1]
    drift = (error[..., :3] * scale.unit[:3]).cumsum(dim=1)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
    return error.square().mean() + change.square().mean() + _DRIFT * drift.square().mean() + _KL * kl


def _standardised(vae: ConvVae, scale: Scale, windows: Tensor, sha256: str, origin: str) -> VaeCodec:
    with torch.no_grad():
        parts = [vae.encode(scale.forward(SKELETON, part))[0] for part in windows.split(512)]
    means = torch.cat(parts).flatten(0, 1)
    spread = means.std(dim=0)
    return VaeCodec(
        labels=(),
        modality=SKELETON,
        scale=scale,
        width=WIDTH,
        network={name: weight.detach() for name, weight in vae.state_dict().items()},
        centre=means.mean(dim=0),
        spread=spread.clamp_min(_SMALLEST * float(spread.max())),
        public_sha256=sha256,
        public_origin=origin,
    )


def _public(people: int, folder: Path | None) -> tuple[Tensor, Tensor, str]:
    """Windows and labels of procedural public people, and of a folder's motions; and what they are."""
    recordings: list[Recording] = list(synthesise(PUBLIC_ALL, PUBLIC_SEED, range(people), motions=_MOTIONS))
    origin = procedural_origin("public-all", PUBLIC_SEED, people, _MOTIONS)
    if folder is not None:
        more = open_data_set(folder, DataOptions(skip_bad=True))
        if more.modality != SKELETON:
            raise InputError(f"--public {folder} is not a folder of skeleton motion")
        recordings += more.recordings(more.people())
        origin += f"; and the motions of {folder.name}"
    found = corpus(iter(recordings), SKELETON, ACTIONS)
    return found.windows, found.labels, origin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulations.train_vae", description=__doc__)
    parser.add_argument("--people", type=int, default=_PEOPLE, help="procedural public people")
    parser.add_argument("--public", type=Path, help="folder of public BVH motions, besides")
    parser.add_argument("--steps", type=int, default=_STEPS)
    parser.add_argument("--out", type=Path, default=packaged())
    given = parser.parse_args()
    torch.set_num_threads(1)
    windows, labels, origin = _public(given.people, given.public)
    codec = train(windows, Training(given.steps), sha256=digest(windows, labels, ACTIONS), origin=origin)
    write_codec(codec, given.out)
    print(f"{given.out}: {len(windows)} windows, corpus {codec.public_sha256}")


if __name__ == "__main__":
    main()
