"""The live table: what is spent and left from the start, and a time that is left worth believing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from common.accounting import epsilon
from server.journal import append_row, metrics_row
from server.progress import Progress, readable
from server.rounds import METRICS
from server.status import Status
from tests.small_site import make_plan

PLAN = make_plan(rounds=10)
CLAIM = epsilon([PLAN.reserved()], PLAN.delta)


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def done(folder: Path, round: int) -> None:
    append_row(folder / METRICS, metrics_row(PLAN, round, 2, CLAIM))


def test_the_whole_budget_is_left_before_the_first_round(tmp_path: Path) -> None:
    _, cells = Progress(tmp_path, PLAN).cells()
    assert (cells["round"], cells["epsilon spent"], cells["time left"]) == ("0 / 10", "0.000", "")
    assert cells["epsilon left"] == f"{CLAIM:.3f}"


@pytest.mark.parametrize("before", [0, 3])
def test_the_time_left_is_measured_after_the_first_finished_round(tmp_path: Path, before: int) -> None:
    """The first round also reads people and compiles: it would make ten rounds of a second look like 100."""
    clock = Clock()
    for round in range(1, before + 1):
        done(tmp_path, round)
    progress = Progress(tmp_path, PLAN, clock)
    shown = []
    for passed in (0.0, 91.0, 1.0, 1.0):
        clock.now += passed
        if passed:
            before += 1
            done(tmp_path, before)
        shown.append(progress.cells()[1]["time left"])
    assert shown == ["", "", f"{10 - before + 1} s", f"{10 - before} s"]


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    progress = Progress(tmp_path, PLAN)
    done(tmp_path, 10)
    cells = progress.cells()[1]
    assert (cells["epsilon left"], cells["time left"]) == ("0.000", "0 s")


def test_work_on_a_release_is_shown_until_something_else_is_said(tmp_path: Path) -> None:
    status, progress = Status(tmp_path, PLAN, 0, lambda: False), Progress(tmp_path, PLAN)
    status.say("round 1")
    assert "now" not in progress.cells()[1]
    status.work("fitting the generator", 1200, 3000)
    status.work("fitting the generator", 1201, 3000)  # at once: not worth a file
    assert progress.cells()[1]["now"] == "fitting the generator 1,200 / 3,000"
    assert progress.line().endswith("now fitting the generator 1,200 / 3,000")
    status.say("round 1")
    assert "now" not in progress.cells()[1]


def test_the_terms_are_whole_and_the_last_line_is_free(tmp_path: Path) -> None:
    """A terminal writes ^C where the cursor stands: in a full line it would push the table down."""
    console = Console(file=io.StringIO(), width=90, force_terminal=True, color_system=None)
    console.print(Progress(tmp_path, PLAN).table())
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().split("\n")
    assert lines[-2:] == ["", ""] and lines[-3] == Progress(tmp_path, PLAN).terms()


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (7.9998, "8.000"), (0.0123, "0.012"), (0.00004321, "4.3e-05")]
)
def test_a_small_number_is_not_all_zeros(value: float, text: str) -> None:
    assert readable(value) == text
