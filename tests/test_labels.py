"""A run without a guarantee says so, and why, wherever its output is seen; one with a guarantee nowhere."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import fedmotion
from server.checkpoint import Checkpoint
from server.generate import NOTICE
from server.progress import Progress
from server.shell import run

SMALL = """
people = 30
motions = 1
sites = 2
rounds = 2
public_people = 100
latent = 4
options = { width = 4, replicas = 1, motions = 1 }
"""
NOISELESS = "no privacy guarantee: trained without noise"
SEEDED = "no privacy guarantee: trained in test mode"
MODES = {NOISELESS: ("--epsilon", "inf"), SEEDED: ("--test-mode",)}


@dataclass(frozen=True)
class Seen:
    """What a run and everything made from it showed, by place."""

    out: Path
    places: dict[str, str]


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    assert run(fedmotion.COMMANDS, [str(argument) for argument in arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def live_table(out: Path) -> str:
    """The table as a terminal of 120 columns shows it at the end of the run."""
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(Progress(out, Checkpoint.load(out).plan).table())
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def python_warning(out: Path) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fedmotion.load(out)
    return f"{model.guarantee}: {' '.join(str(item.message) for item in caught)}"


@pytest.fixture
def look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Seen]:
    def attempt(*flags: str) -> Seen:
        settings, out = tmp_path / "small.toml", tmp_path / "run"
        settings.write_text(SMALL)
        printed, errors = command(capsys, "simulate", settings, *flags, "--out", out)
        assert errors == ""
        files, pages = tmp_path / "files", tmp_path / "pages"
        _, said = command(capsys, "generate", out, "--count", 2, "--out", files)
        told, _ = command(capsys, "generate", out, "--count", 2, "--format", "html", "--out", pages, "--json")
        row = (out / "metrics.jsonl").read_text().splitlines()[0]
        noted = [folder / NOTICE for folder in (out / "samples", files)]
        before, _, after = re.split(r"^(round .*\n)+", printed, flags=re.MULTILINE)
        return Seen(
            out,
            {
                "before the rounds": before,
                "closing line": after,
                "live table": live_table(out),
                "metrics.jsonl": f"{json.loads(row)['guarantee']}",
                "run.json": (out / "run.json").read_text(),
                "report.html": (out / "report.html").read_text(encoding="utf-8"),
                "samples/index.html": (out / "samples" / "index.html").read_text(encoding="utf-8"),
                "generate, stderr": said,
                "generate, page": (pages / "index.html").read_text(encoding="utf-8"),
                "generate, json": json.loads(told)["guarantee"],
                "beside the files": "".join(p.read_text() for p in noted if p.exists()),
                "fedmotion.load": python_warning(out),
            },
        )

    return attempt


def unlabelled(seen: Seen, warning: str) -> list[str]:
    """Places that do not say `warning`; rows and JSON say "none"."""
    said = {name: warning.lower() in text.lower() for name, text in seen.places.items()}
    said |= {name: seen.places[name] == "none" for name in ("metrics.jsonl", "generate, json")}
    for name in ("report.html", "samples/index.html", "generate, page"):
        text = seen.places[name]
        title = re.search(r"<title>(.*?)</title>", text)
        said[name] &= title is not None and "no privacy guarantee" in title[1]
        said[name] &= f'role="alert"><strong>N{warning[1:]}</strong>' in text
    return [name for name, labelled in said.items() if not labelled]


@pytest.mark.parametrize("warning", MODES)
def test_no_guarantee_is_said_everywhere(warning: str, look: Callable[..., Seen]) -> None:
    seen = look(*MODES[warning])
    assert unlabelled(seen, warning) == []
    assert seen.places["generate, stderr"].count("\n") == 1
    assert "delta" not in seen.places["live table"] and "epsilon" not in seen.places["live table"]
    run_json: dict[str, Any] = json.loads(seen.places["run.json"])
    rows = [json.loads(line) for line in (seen.out / "metrics.jsonl").read_text().splitlines()]
    assert {row["guarantee"] for row in rows} == {run_json["guarantee"]} == {"none"}
    if warning != SEEDED:
        numbers = [run_json["privacy"][key] for key in ("epsilon_spent", "epsilon_target")]
        numbers += [row[key] for row in rows for key in ("epsilon", "epsilon_left")]
        assert set(numbers) == {None}, "JSON has no infinity, and nothing is left of it"
        assert run(fedmotion.COMMANDS, ["simulate", "--resume", "--out", str(seen.out)]) == 0


def test_a_guarantee_is_not_denied_anywhere(look: Callable[..., Seen]) -> None:
    """The control: on a run that promises something, the check above fails at every place."""
    seen = look()
    for warning in MODES:
        assert unlabelled(seen, warning) == list(seen.places)
    assert not [name for name, text in seen.places.items() if "no privacy guarantee" in text.lower()]
    assert "delta 1e-05" in seen.places["live table"] and "epsilon left" in seen.places["live table"]
    assert seen.places["generate, json"] == "differential privacy"
