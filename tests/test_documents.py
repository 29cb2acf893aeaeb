"""The documents name what exists: every setting with its flag and default, and no flag that is not there."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

import fedmotion
import simulations.cli
import simulations.pretrain_cli
from common.generator.denoisers import KINDS
from common.generator.diffusion import PARAMETERISATIONS
from common.generator.noise_levels import NOISE_LEVELS
from common.generator.samplers import SAMPLERS
from common.methods.dp_sgd import DPSGD
from server import shell
from simulations.config import Simulation, SiteTable
from simulations.pretraining import Pretraining
from simulations.repeat import FILE_ONLY

ROOT = Path(__file__).resolve().parents[1]
FLAGS_ONLY = {"config", "out", "resume", "as_json"}


def table(heading: str, page: str = "configuration") -> dict[str, list[str]]:
    """The rows under a heading of a page of docs/, by the name in their first column."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*", section, re.M)
    ]
    return {row[0]: row[1:] for row in rows}


def default_of(field: object) -> object:
    return None if field in ((), None) else field


@pytest.mark.parametrize(
    ("heading", "model", "column", "page"),
    [
        ("Keys", Simulation, 1, "configuration"),
        ("Sites: `[[site]]`", SiteTable, 0, "configuration"),
        ("Settings", Pretraining, 1, "pretraining"),
    ],
)
def test_every_key_is_documented_with_its_default(
    heading: str, model: type[BaseModel], column: int, page: str
) -> None:
    rows = table(heading, page)
    assert list(rows) == list(model.model_fields)
    for name, field in model.model_fields.items():
        said = rows[name][column]
        default = None if field.is_required() else default_of(field.default)
        assert (None if said == "none" else tomllib.loads(f"x = {said}")["x"]) == default, name


def test_every_flag_is_documented_and_the_other_keys_are_for_files_only() -> None:
    flags = set(inspect.signature(simulations.cli.simulate).parameters) - FLAGS_ONLY
    assert flags == Simulation.model_fields.keys() - FILE_ONLY
    said = {name: row[0] for name, row in table("Keys").items()}
    assert said == {name: f"--{name.replace('_', '-')}" if name in flags else "" for name in said}


def test_every_flag_of_pretrain_is_documented() -> None:
    flags = set(inspect.signature(simulations.pretrain_cli.pretrain).parameters) - FLAGS_ONLY
    said = {name: row[0] for name, row in table("Settings", "pretraining").items()}
    assert flags < said.keys()
    assert said == {name: f"--{name.replace('_', '-')}" if name in flags else "" for name in said}


def test_every_option_of_the_method_is_documented_with_its_range() -> None:
    rows = table("Options of `dp_sgd`")
    options = {name: item for name, item in DPSGD.__dataclass_fields__.items() if item.metadata}
    assert {"total_rounds", *rows} == set(options), "total_rounds is the key rounds"
    for name, (default, reach, _) in rows.items():
        facts = options[name].metadata
        said = ", ".join(facts["choices"]) if "choices" in facts else f"{facts['low']} to {facts['high']}"
        assert (default, reach) == (str(options[name].default), said), name


def test_the_page_of_the_generator_lists_what_there_is() -> None:
    text = (ROOT / "docs" / "generator.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`.*\n(?!\|---)", text, re.M)
    assert set(rows) == {*KINDS, *PARAMETERISATIONS, *NOISE_LEVELS, *SAMPLERS}


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/choosing.md",
        "docs/configuration.md",
        "docs/formats.md",
        "docs/generator.md",
        "docs/images.md",
        "docs/pretraining.md",
        "docs/text.md",
        "docs/codecs.md",
        "docs/player.md",
        "docs/sweep.md",
        "simulations/benchmarks/results/demo.md",
    ],
)
def test_every_command_in_the_documents_has_the_flags_it_is_given(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = re.findall(r"^ {4}(?:\S*/)?fedmotion (.*)", text, re.M)
    assert lines
    for line in lines:
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= flags_of(line.split()), line


def flags_of(words: list[str]) -> set[str]:
    """The flags of the command that a line begins with; a command that there is not is a click.UsageError."""
    command: click.Command | None = shell._group(fedmotion.COMMANDS)
    while isinstance(command, click.Group) and words:
        _, command, words = command.resolve_command(click.Context(command), words)
    assert command is not None
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def test_what_the_readme_writes_stays_out_of_the_repository() -> None:
    """Every --out of its commands lies under runs/, which git ignores."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = re.findall(r"--out (\S+)", text)
    assert places and all(place.startswith("runs/") for place in places), places
    assert "runs/" in (ROOT / ".gitignore").read_text().split()
