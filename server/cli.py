"""The commands `plan` and `generate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from common.errors import InputError

if TYPE_CHECKING:
    from common.motion.recording import Modality
    from server.budget import Question
    from server.recommendation import Recommendation


def plan(
    users: Annotated[int, typer.Option(help="People in training, at all sites together.")],
    epsilon: Annotated[float | None, typer.Option(help="The budget: gives the noise.")] = None,
    noise_multiplier: Annotated[
        float | None, typer.Option(help="Noise over sensitivity: gives epsilon; with --epsilon, the rounds.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Default: min(1e-5, 1/(10 x users)).")] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Noised steps (default 200).", show_default=False)
    ] = None,
    sampling_rate: Annotated[float, typer.Option(help="Chance of each person to enter a round.")] = 0.5,
    sites: Annotated[
        int, typer.Option(help="Sites that each add noise: all of it under local, a share under secagg.")
    ] = 8,
    sites_per_person: Annotated[int, typer.Option(help="How many sites may hold one person.")] = 1,
    trust: Annotated[str, typer.Option(help="local, secagg or central.")] = "local",
    min_sites: Annotated[
        int | None, typer.Option(help="Fewer make no round (secagg; default: nine in ten, up to nine all).")
    ] = None,
    colluders: Annotated[
        int, typer.Option(help="Sites that may tell the server their shares of noise (secagg).")
    ] = 1,
    parameters: Annotated[
        int | None, typer.Option(help="How many are trained in private (default: the demo's).")
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Folder of fedmotion pretrain: ask about every part of it.")
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="With --pretrained, about one: all, attention, lora, bias_norm, condition."),
    ] = None,
    rank: Annotated[int, typer.Option(help="With --pretrained, the rank of lora.")] = 4,
    modality: Annotated[str, typer.Option(help="skeleton or sensor (without --pretrained).")] = "skeleton",
    labels: Annotated[int, typer.Option(help="How many actions are declared (without --pretrained).")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """What a budget buys, before any data are read: noise or rounds, usable dimension, method.

    The noise that is left after all rounds is compared with the strongest signal that people can give: up to
    5 % of it a model of so many parameters trains well, up to 30 % it finds the rough shape of motions.
    Public-only is what the same generator gives without any of the people. With --pretrained, each part of
    it that may be trained in private is called usable (noise up to 10 %), coarse (up to 100 %) or drowned.
    Methods are ranked by what is expected of each at its usual size; simulate --method auto takes the first.
    """
    from common.event import Trust
    from server.budget import Question, answer, with_parameters
    from server.parts import private_parameters

    parts = private_parameters(pretrained, train, rank, parameters)
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
        parameters=parts.get(train or "all", parameters),
        min_sites=min_sites,
        colluders=colluders,
    )
    found = answer(question)
    found["parts"] = {name: with_parameters(found, size) for name, size in parts.items()}
    advised = _recommended(question, found, pretrained, modality, labels)
    if as_json:
        print(json.dumps({**found, "recommendation": advised.json()}, indent=2))
        return
    for line in (*_plan_lines(found), *(f"  {line}" for line in advised.lines())):
        print(line)


def _recommended(
    question: Question, found: Mapping[str, Any], pretrained: Path | None, modality: str, labels: int
) -> Recommendation:
    """All methods under the budget that was found."""
    from common.pretrained import Pretrained
    from server.recommendation import Facts, recommend, stated_assets

    facts = Facts(
        units=question.users,
        epsilon=found["epsilon_target"] or found["epsilon"],
        delta=found["delta"],
        sites=question.sites,
        trust=question.trust,
        sites_per_person=question.sites_per_person,
        min_sites=question.min_sites,
        colluders=question.colluders,
    )
    if pretrained is None:
        return recommend(facts, stated_assets(modality, labels))
    base = Pretrained.load(pretrained)
    return recommend(facts, base.assets, base.design)


def _plan_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What `answer` found, in words."""
    from server.budget import percent

    yield (
        f"{found['users']:,} people, epsilon {found['epsilon']:.4g} at delta {found['delta']:.3g} for every"
        f" {found['unit']} ({found['neighbouring']}, {found['accountant']}, trust {found['trust']},"
        f" {found['sites']} sites, at most {found['sites_per_person']} a person):"
    )
    if found["trust"] == "secagg":
        yield (
            f"  every round needs {found['min_sites']} of them, and {found['colluders']} may share what they"
            " know with the server"
        )
    yield f"  {found['rounds']} rounds at sampling rate {found['sampling_rate']}"
    yield f"  noise multiplier {found['noise_multiplier']:.4g}"
    yield f"  usable up to {found['dimension_usable']:,} parameters (noise 5 % of the signal)"
    yield f"  coarse up to {found['dimension_coarse']:,} (noise 30 %: the rough shape of motions)"
    for name, part in found["parts"].items():
        size, noise = part["parameters"], percent(part["noise"])
        yield f"  {name}: {size:,} private parameters, noise {noise} of the signal: {part['verdict']}"
    yield f"  {found['advice']}"


def generate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    count: Annotated[int, typer.Option(help="How many motions.")],
    out: Annotated[Path, typer.Option(help="A new folder to write to.")],
    label: Annotated[str | None, typer.Option(help="One of the run's labels; default: any.")] = None,
    text: Annotated[
        str | None,
        typer.Option(help='What the person does, such as "a person jogs"; for runs that learnt from text.'),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same motions.")] = 0,
    frames: Annotated[
        int | None,
        typer.Option(help="Length of each motion, where the run's codec has frames; default: its window."),
    ] = None,
    guidance: Annotated[
        float, typer.Option(help="How far beyond what the label asks for, 0 to 20; 1 or 2 is usual.")
    ] = 0.0,
    sampler: Annotated[
        str, typer.Option(help="churn, heun, ddim, dpm (for few steps), ddpm or sde.")
    ] = "churn",
    steps: Annotated[int, typer.Option(help="Steps of the sampler, 2 to 1000.")] = 24,
    format: Annotated[
        str | None,
        typer.Option(help="bvh, gltf, npy, humanml3d or html; for sensors csv, npy or html."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The generator's own output: bones, joints and feet as drawn.")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(help="With html: a file or folder of recordings to show beside them, marked real."),
    ] = None,
    signer: Annotated[
        str | None, typer.Option(help="Public key that must have signed the model; default: run.json's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Draw motions from a run's generator: one file a motion, or one page that plays them.

    Skeletons are post-processed unless --raw is given: constant bones, knees and elbows within their range,
    standing feet kept from slipping. gltf writes .glb; humanml3d a folder in that data set's layout.
    """
    _check_numbers(count, seed)
    from common.pretrained import PUBLIC_ONLY
    from server.comparison import read_recorded
    from server.generate import check_format, check_new, load, page_items, write

    model = load(run, signer)
    modality = model.generator.codec.modality
    chosen = check_format(format, modality)
    if compare is not None and chosen != "html":
        raise InputError("--compare shows recordings on a page: add --format html")
    check_new(out)
    most = page_items(modality, compare is not None)
    real, left = ([], 0) if compare is None else read_recorded(compare, modality, most)
    samples = model.draw(
        count, label, seed, text=text, sampler=sampler, steps=steps, guidance=guidance, frames=frames, raw=raw
    )
    what = f"generated {_SHOWN[modality.kind][0]}" if samples.prompt is None else f"x {samples.prompt}"
    paths = write(samples, chosen, out, f"fedmotion: {count} {what}", real)
    if model.warning is not None:
        print(f"fedmotion: {model.warning}: do not share these motions as private", file=sys.stderr)
    if compare is not None:
        print(f"fedmotion: {paths[0]} shows {_SHOWN[modality.kind][1]}: it is not a release", file=sys.stderr)
    if as_json:
        told = {"format": chosen, "guarantee": model.guarantee, "labels": list(samples.labels)}
        told |= {"real": [motion.title for motion in real]} if compare is not None else {}
        told |= {"text": samples.prompt} if samples.prompt is not None else {}
        print(json.dumps({**told, "files": [str(path) for path in paths]}))
        return
    print(f"{len(paths)} files in {out}" if len(paths) > 1 else paths[0])
    if samples.prompt is not None and label is None and model.labels:
        print(f"the text was read as the label {samples.labels[0]}; --label says otherwise")
    if model.guarantee == PUBLIC_ONLY:
        print(f"generated from {PUBLIC_ONLY}: nobody's private recordings are in it")
    for line in _left_out(modality, count - most if chosen == "html" else 0, most, left, compare):
        print(line)


_PEOPLE = ("motions", "recordings of people")
_SHOWN = {"skeleton": _PEOPLE, "sensor": _PEOPLE, "image": ("images", "real images")}
"""What is generated, and what stands beside it on a page of --compare."""


def _check_numbers(count: int, seed: int) -> None:
    if not 1 <= count <= 1_000_000:
        raise InputError(f"--count is {count}: it must be from 1 to 1,000,000")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed is {seed}: it must be from 0 to 2^63 - 1")


def _left_out(
    modality: Modality, motions: int, most: int, recordings: int, source: Path | None
) -> Iterator[str]:
    """What a page has no place for: so many generated motions and recordings of `source`."""
    from common.motion.export import FORMATS

    if motions > 0:
        yield f"the page shows the first {most}; write {FORMATS[modality.kind][0]} for all"
    if recordings > 0:
        yield f"{recordings} recordings of {source} are not on the page, which holds {most} of each"
