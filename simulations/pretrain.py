"""Pre-training from settings to a file that private training starts from; interrupted, it goes on."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console

from client.site import resolve_device
from common.errors import InputError
from common.generator.assets import Assets
from common.generator.codecs import PublicMotions
from common.generator.sensor_codec import SensorCodec
from common.methods import build, design_of
from common.methods.dp_sgd import DPSGD
from common.motion.sensors import SENSOR
from common.pretrained import FILE, UNFINISHED, Pretrained, Provenance
from common.sealed import read_sealed, write_sealed
from common.storage import exclusive, read_json, write_json, writing
from simulations.codec import make_codec
from simulations.pretraining import Pretraining, check_same, read_pretraining
from simulations.public_sources import Sources, read_sources
from simulations.public_training import Latents, Progress, held_out_loss, step
from simulations.training_display import Display

SETTINGS: Final = UNFINISHED
REPORT: Final = "pretrain.json"
HALFWAY: Final = "progress.safetensors"
_LOCK: Final = ".pretraining.lock"
_UNFINISHED: Final = {_LOCK, f".{SETTINGS}.new"}
_POINTS: Final = 100  # of the loss curve


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for: settings with what was said explicitly, and where to."""

    source: Path | None
    flags: Mapping[str, Any]
    out: Path
    resume: bool


@dataclass(frozen=True, eq=False)
class _Work:
    """What does not change while it trains."""

    config: Pretraining
    method: DPSGD
    fitted: Latents
    held_out: Latents
    digest: str
    device: str
    folder: Path


@dataclass(frozen=True, eq=False)
class _Halfway:
    """Where the training stands: `curve` are rows of the loss, `since` the losses after the last row."""

    progress: Progress
    curve: list[dict[str, Any]]
    since: list[float]
    seconds: float


def pretrain(request: Request, console: Console) -> dict[str, Any]:
    """Train or go on; returns `pretrain.json`. InputError on bad input; KeyboardInterrupt is saved."""
    config = _resumed(request) if request.resume else _fresh(request)
    folder = request.out.absolute()
    if "OMP_NUM_THREADS" not in os.environ:  # on a busy machine a second thread costs more than it gives
        torch.set_num_threads(1)
    with exclusive(folder / _LOCK):
        if (folder / FILE).exists() and (folder / REPORT).exists():
            console.print(f"all {config.steps} steps were done before", soft_wrap=True)
            return read_json(folder / REPORT)
        try:
            device = resolve_device(config.device)
            with console.status("reading public motions"):
                sources = read_sources(config)
            for line in sources.skipped[:3]:
                console.print(f"not used: {line}", markup=False, soft_wrap=True)
            work, assets = _opened(config, sources, device, folder)
            halfway = _begun(work) or _first(work)
        except InputError:
            if not request.resume:
                shutil.rmtree(folder)
            raise
        done = _train(work, halfway, console)
        return _finish(work, sources, assets, done)


def _fresh(request: Request) -> Pretraining:
    config = read_pretraining(request.source, request.flags)
    build(config.method, config.options, Assets(SensorCodec(SENSOR, ())))  # wrong options, before any motion
    out = request.out
    if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - _UNFINISHED):
        raise InputError(f"{out} exists: add --resume to go on with it, or choose another --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(out / SETTINGS, json.loads(config.model_dump_json()))
    return config


def _resumed(request: Request) -> Pretraining:
    if not (request.out / SETTINGS).is_file():
        raise InputError(f"nothing to resume in {request.out}: leave --resume out to start there")
    stored = Pretraining.model_validate(read_json(request.out / SETTINGS))
    check_same(stored, request.source, request.flags)
    return stored


def _opened(config: Pretraining, sources: Sources, device: str, folder: Path) -> tuple[_Work, Assets]:
    public = sources.fitted
    motions = PublicMotions(public.windows, public.labels, sources.labels, sources.origin)
    codec = make_codec(config, sources.modality, sources.labels, motions)
    assets = Assets(codec, text=sources.text)
    method = build(config.method, config.options, assets)
    if not isinstance(method, DPSGD):
        raise InputError(f"method {config.method} has no loss to pre-train with: choose another --method")
    fitted, held_out = (Latents.encoded(codec, part) for part in (sources.fitted, sources.held_out))
    return _Work(config, method, fitted, held_out, sources.digest(), device, folder), assets


def _first(work: _Work) -> _Halfway:
    start = work.method.parameters(work.method.init(work.config.seed))
    return _Halfway(Progress.start(start, work.device), [], [], 0.0)


def _begun(work: _Work) -> _Halfway | None:
    """Where an interrupted training stood; InputError where the motions are others now."""
    path = work.folder / HALFWAY
    if not path.exists():
        return None
    arrays, header = read_sealed(path, "it is missing", "start again with another --out")
    if header["corpus"] != work.digest:
        raise InputError(f"the public motions are not those that {work.folder} began with: restore them")
    progress = Progress(header["step"], arrays).on(work.device)
    return _Halfway(progress, header["curve"], header["since"], header["seconds"])


def _save(work: _Work, state: _Halfway) -> None:
    header = {
        "step": state.progress.step, "curve": state.curve, "since": state.since,
        "seconds": state.seconds, "corpus": work.digest,
    }  # fmt: skip
    write_sealed(work.folder / HALFWAY, state.progress.arrays, header)


def _train(work: _Work, state: _Halfway, console: Console) -> _Halfway:
    """All steps that are left. States are values, so that what an interruption leaves is a whole one."""
    saved = time.monotonic()
    try:
        with Display(console, work.config.steps, state.progress.step) as display:
            while state.progress.step < work.config.steps:
                state = _stepped(work, state)
                display.show(state.progress.step, state.since, state.curve)
                if time.monotonic() - saved >= work.config.save_seconds:
                    _save(work, state)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        _save(work, state)
        raise
    return state


def _stepped(work: _Work, before: _Halfway) -> _Halfway:
    began = time.monotonic()
    progress, loss = step(work.method, work.fitted, before.progress, work.config, work.device)
    curve, since = before.curve, [*before.since, loss]
    steps = work.config.steps
    if progress.step * _POINTS // steps > before.progress.step * _POINTS // steps:
        row: dict[str, Any] = {"step": progress.step, "loss": sum(since) / len(since)}
        if len(work.held_out):
            row["held_out"] = held_out_loss(work.method, work.held_out, progress.averaged())
        curve, since = [*curve, row], []
    return _Halfway(progress, curve, since, before.seconds + time.monotonic() - began)


def _finish(work: _Work, sources: Sources, assets: Assets, done: _Halfway) -> dict[str, Any]:
    base = done.progress.averaged()
    public = Provenance(
        origin=sources.origin,
        sha256=work.digest,
        windows=len(work.fitted) + len(work.held_out),
        steps=work.config.steps,
        seed=work.config.seed,
        fedmotion=version("fedmotion"),
    )
    design = design_of(work.method)
    finished = Pretrained(work.config.method, design, replace(assets, base=base), public)
    finished.save(work.folder)
    told = {
        "fedmotion": version("fedmotion"),
        "method": work.config.method,
        "design": design,
        "codec": assets.codec.kind,
        "latent": assets.codec.latent,
        "labels": list(sources.labels),
        "parameters": sum(value.numel() for value in base.values()),
        "public": {**asdict(public), "held_out": len(work.held_out)},
        "device": work.device,
        "threads": torch.get_num_threads(),
        "torch": version("torch"),
        "seconds": round(done.seconds, 3),
        "loss": done.curve,
    }
    write_json(work.folder / REPORT, told)
    (work.folder / HALFWAY).unlink(missing_ok=True)
    return told
