"""The command `simulate`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from common.errors import FedmotionError, Refusal, RefusalCode
from server.shell import InterruptionError
from simulations.preset import presets

Out = Annotated[Path, typer.Option("--out", help="Folder for everything the run leaves.")]
Codec = Annotated[
    str | None,
    typer.Option(
        help="structured (default), pca, identity or vae; for sensors sensor (default), pca or identity;"
        " for images image (default), pca or identity."
    ),
]
Window = Annotated[
    int | None, typer.Option(help="Frames of a skeleton sequence at 20 a second, 20 to 196 (default 60).")
]
TextEncoder = Annotated[
    str | None,
    typer.Option(help="Learn from captions: none, template, or minilm (extra text); docs/text.md."),
]


def simulate(
    config: Annotated[
        str | None,
        typer.Argument(
            help=f"A preset ({', '.join(presets())}), or a TOML file with any of these settings and more:"
            " docs/configuration.md. Flags override it.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of motions (BVH, HumanML3D, AMASS, npy, C3D), of sensor tables or of idx images, or"
            " a sensors.toml; default: procedural people."
        ),
    ] = None,
    public: Annotated[
        Path | None, typer.Option(help="Folder of public motions; default: a shifted procedural population.")
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Folder of fedmotion pretrain, to start from.")
    ] = None,
    people: Annotated[
        int | None,
        typer.Option(help="Procedural people, or the declared number of people or records of --data."),
    ] = None,
    sites: Annotated[
        int | None, typer.Option(help="Number of simulated sites (default 8; 2 with --data).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of training (default 200).")] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Privacy budget of the run (default 8); inf trains without noise, and promises nothing."
        ),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Default: min(1e-5, 1/(10 x units)).")] = None,
    site_budget: Annotated[
        float | None, typer.Option(help="Each site's own epsilon for a person's lifetime.")
    ] = None,
    sites_per_person: Annotated[
        int | None, typer.Option(help="How many sites may hold one person (default 1).")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How the generator is trained (default dp_sgd); auto: as docs/choosing.md recommends."
        ),
    ] = None,
    codec: Codec = None,
    window: Window = None,
    text_encoder: TextEncoder = None,
    trust: Annotated[
        str | None,
        typer.Option(
            help="local, secagg (the server sees only the sum), or central (reference: a trusted server)."
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="user (a person), or record (one motion, window or image).")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="inprocess, or flower (Flower's Ray engine).")] = None,
    holdout: Annotated[
        float | None, typer.Option(help="Share of people kept out of training, to evaluate with.")
    ] = None,
    site_column: Annotated[
        str | None, typer.Option(help="Manifest column that says which site a person is at.")
    ] = None,
    person_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with (?P<person>...), searched in each file's path inside --data without"
            " its suffix, such as clips/anna_walk2."
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="CSV with columns file (or clip), person (subject) and label (action_class)."),
    ] = None,
    data_format: Annotated[
        str | None,
        typer.Option(
            help="Which of its formats --data means: bvh, humanml3d, amass, npy, c3d, sensors or idx."
        ),
    ] = None,
    joints: Annotated[
        Path | None, typer.Option(help="TOML from our 22 joints to those of the BVH or C3D files.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="List of motions of a HumanML3D folder, as train.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Frames or samples a second of files that do not say it.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    clipping: Annotated[
        str | None,
        typer.Option(help="Per-person gradients by auto, keep, ghost, vmap, loop or opacus."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave unreadable files out, and say which.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Fixes public things only: first weights, public people, partition.")
    ] = None,
    test_mode: Annotated[
        bool,
        typer.Option(
            "--test-mode", help="Seed sampling and noise as well: repeatable, and no guarantee at all."
        ),
    ] = False,
    out: Out = Path("runs/simulation"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json and nothing else.")] = False,
) -> None:
    """Train one generator over many simulated sites, with differential privacy for every person."""
    from client.app import LOG
    from simulations.run import Request
    from simulations.run import simulate as run_simulation

    given: dict[str, Any] = {
        "data": data, "public": public, "pretrained": pretrained, "people": people, "sites": sites,
        "rounds": rounds, "epsilon": epsilon, "delta": delta, "site_budget": site_budget,
        "sites_per_person": sites_per_person, "method": method, "codec": codec, "window": window,
        "text_encoder": text_encoder, "trust": trust, "unit": unit,
        "engine": engine, "holdout": holdout, "site_column": site_column,
        "person_pattern": person_pattern, "manifest": manifest and str(manifest),
        "data_format": data_format, "joints": joints and str(joints), "split": split, "rate": rate,
        "device": device,
        "clipping": clipping, "skip_bad": skip_bad or None, "seed": seed, "test_mode": test_mode or None,
    }  # fmt: skip
    flags = {key: value for key, value in given.items() if value is not None}
    console = Console(quiet=as_json, highlight=False)
    logging.getLogger("fedmotion").addHandler(logging.NullHandler())
    logging.getLogger("fedmotion").propagate = False
    try:
        run = run_simulation(Request(source=config, flags=flags, out=out, resume=resume), console)
    except KeyboardInterrupt:
        if (out / "simulation.json").exists():
            raise InterruptionError(
                f"interrupted; go on with: fedmotion simulate --resume --out {out}"
            ) from None
        raise
    if as_json:
        print(json.dumps(run, indent=2, allow_nan=False))
    else:
        _summary(run, out, console)
    if run["stopped"] is not None:
        raise _stopped(run, out / LOG, out)


def _stopped(run: Mapping[str, Any], log: Path, out: Path) -> FedmotionError:
    """Why a run ended early: a refusal where a site's rules or budget forbade it, else a failure."""
    line = (
        f"stopped after {run['rounds']} of {run['rounds_planned']} rounds: {run['stopped']}{_refusals(run)};"
        f" see {log}, then go on with: fedmotion simulate --resume --out {out}"
    )
    rules = sorted(set(run["refusals"]) - {RefusalCode.UNAVAILABLE.value})
    return Refusal(RefusalCode(rules[0]), line) if rules else FedmotionError(line)


def _refusals(run: Mapping[str, Any]) -> str:
    """How often sites refused, by code, in brackets; nothing where none did."""
    codes = ", ".join(f"{count} x {code}" for code, count in run["refusals"].items())
    return f" ({codes})" if codes else ""


def _summary(run: dict[str, Any], out: Path, console: Console) -> None:
    from server.progress import readable

    privacy, quality = run["privacy"], run["quality"]
    if run["refusals"] and run["stopped"] is None:
        console.print(
            f"note: not every site answered every round{_refusals(run)}; why stands in {out / 'sites.log'}",
            soft_wrap=True,
        )
    if run["warning"] is not None:
        console.print(run["warning"], style="bold red", soft_wrap=True)
    else:
        console.print(
            f"epsilon {readable(privacy['epsilon_spent'])} at delta {privacy['delta']:.3g}"
            f" for every {privacy['unit']} ({privacy['neighbouring']}, {privacy['accountant']},"
            f" trust {privacy['trust']})",
            soft_wrap=True,
        )
    if run["refusals"]:
        console.print(f"refusals: {run['refusals']}", soft_wrap=True)
    distances = {name: value for name, value in quality["frechet"].items() if value is not None}
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in distances.items())
    if shown:
        shown = f"Fréchet distance to held-out people (lower is better; not released): {shown}"
    console.print("; ".join(filter(None, (shown, *quality["missing"]))), soft_wrap=True)
    console.print("open:")
    for name in ("report.html", "samples/index.html", "run.json", "metrics.jsonl"):
        console.print(f"  {out / name}", soft_wrap=True)
