"""The commands `plan` and `generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from common.errors import InputError
from common.query import Trust
from server.budget import ROUNDS, Question, answer
from server.generate import PAGE_MOTIONS, check_format, draw, write
from server.generate import load as load_model


def plan(
    users: Annotated[int, typer.Option(help="People in training, at all sites together.")],
    epsilon: Annotated[float | None, typer.Option(help="The budget: gives the noise.")] = None,
    noise_multiplier: Annotated[
        float | None, typer.Option(help="Noise over sensitivity: gives epsilon; with --epsilon, the rounds.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Default: min(1e-5, 1/(10 x users)).")] = None,
    rounds: Annotated[
        int | None, typer.Option(help=f"Noised steps (default {ROUNDS}).", show_default=False)
    ] = None,
    sampling_rate: Annotated[float, typer.Option(help="Chance of each person to enter a round.")] = 0.5,
    sites: Annotated[int, typer.Option(help="Sites that each add noise (trust local).")] = 8,
    sites_per_person: Annotated[int, typer.Option(help="How many sites may hold one person.")] = 1,
    trust: Annotated[str, typer.Option(help="local or central.")] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """What a budget buys, before any data are read: noise or rounds, usable dimension, method."""
    question = Question(
        users=users,
        epsilon=epsilon,
        noise_multiplier=noise_multiplier,
        delta=delta,
        rounds=rounds,
        sampling_rate=sampling_rate,
        sites=sites,
        sites_per_person=sites_per_person,
        trust=cast(Trust, trust),
    )
    found = answer(question)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"{users:,} people, epsilon {found['epsilon']:.4g} at delta {found['delta']:.3g} for every user"
        f" ({found['neighbouring']}, {found['accountant']}, trust {trust}, {sites} sites,"
        f" at most {sites_per_person} a person):",
        soft_wrap=True,
    )
    console.print(f"  {found['rounds']} rounds at sampling rate {sampling_rate}")
    console.print(f"  noise multiplier {found['noise_multiplier']:.4f}")
    console.print(f"  usable dimension {found['dimension_usable']:,}, coarse {found['dimension_coarse']:,}")
    console.print(f"  {found['advice']}")


def generate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    count: Annotated[int, typer.Option(help="How many motions.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    label: Annotated[str | None, typer.Option(help="One of the run's labels; default: any.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same motions.")] = 0,
    format: Annotated[
        str | None, typer.Option(help="bvh, npy or html; for sensors csv, npy or html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Draw motions from a run's generator: one file a motion, or one page that plays them."""
    if not 1 <= count <= 1_000_000:
        raise InputError(f"--count is {count}: it must be from 1 to 1,000,000")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed is {seed}: it must be from 0 to 2^63 - 1")
    generator = load_model(run).generator
    chosen = check_format(format, generator.codec.modality)
    samples = draw(generator, count, label, seed)
    paths = write(samples, chosen, out, f"fedmotion: {count} generated motions")
    if as_json:
        print(
            json.dumps({"format": chosen, "labels": list(samples.labels), "files": [str(p) for p in paths]})
        )
        return
    console = Console(highlight=False)
    console.print(f"{len(paths)} files in {out}" if len(paths) > 1 else str(paths[0]), soft_wrap=True)
    if chosen == "html" and count > PAGE_MOTIONS:
        console.print(f"the page shows the first {PAGE_MOTIONS}; write bvh or npy for all")
