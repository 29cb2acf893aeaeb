"""The command `pretrain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from server.shell import InterruptionError
from simulations.cli import Codec, TextEncoder, Window


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for what the pre-training leaves.")],
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file with any of these settings and more: docs/pretraining.md."),
    ] = None,
    public: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of public motions; may be given again. Needs --origin."),
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Where the motions of --public come from, and under which licence.")
    ] = None,
    people: Annotated[
        int | None, typer.Option(help="Procedural public people (default 500; with --public none).")
    ] = None,
    codec: Codec = None,
    window: Window = None,
    text_encoder: TextEncoder = None,
    steps: Annotated[int | None, typer.Option(help="Steps of AdamW (default 5000).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unreadable files out, and say which.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same file.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print pretrain.json and nothing else.")] = False,
) -> None:
    """Train a generator on public motions alone: where private training may start from, at no privacy cost.

    Nothing private may enter: whatever stands in --public can be read out of what comes of it.
    """
    from simulations.pretrain import SETTINGS, Request
    from simulations.pretrain import pretrain as run_pretraining

    given: dict[str, Any] = {
        "public": public or None, "origin": origin, "people": people, "codec": codec, "window": window,
        "text_encoder": text_encoder, "steps": steps, "device": device, "skip_bad": skip_bad or None,
        "seed": seed,
    }  # fmt: skip
    flags = {key: value for key, value in given.items() if value is not None}
    console = Console(quiet=as_json, highlight=False)
    try:
        told = run_pretraining(Request(source=config, flags=flags, out=out, resume=resume), console)
    except KeyboardInterrupt:
        if (out / SETTINGS).exists():
            raise InterruptionError(
                f"interrupted; go on with: fedmotion pretrain --resume --out {out}"
            ) from None
        raise
    if as_json:
        print(json.dumps(told, indent=2, allow_nan=False))
        return
    _summary(told, out, console)


def _summary(told: dict[str, Any], out: Path, console: Console) -> None:
    last = told["loss"][-1]
    held_out = f", {last['held_out']:.4f} on held-out public people" if "held_out" in last else ""
    for line in (
        f"{told['parameters']:,} parameters from public motions only: loss {last['loss']:.4f}{held_out}",
        f"from {told['public']['windows']:,} windows: {told['public']['origin']}",
        f"use it: fedmotion simulate --pretrained {out}",
        f"look at it: fedmotion generate {out} --count 8 --out {out}-motions",
    ):
        console.print(line, soft_wrap=True, markup=False)
