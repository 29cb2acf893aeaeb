"""Sites that are slow and sites that lie, as real processes with real keys: neither spoils others' rounds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind
from tests.reckoning import (
    all_back,
    charges,
    checkpoint_of,
    latest,
    paused,
    require_consistent,
    transcript,
    under_way,
)

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
DEADLINE = 20
LIES = ("longer", "matrix", "not a number", "whole numbers", "another name", "replay")
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites, any two of which are enough; what the code of site west says is in the file `lie`."""
    folder = tmp_path_factory.mktemp("sites")
    (folder / "lie").write_text("")
    lying = ("env", f"PYTHONPATH={Path(__file__).parent / 'strange'}", f"LIE={folder / 'lie'}")
    federation = Federation(
        folder, trust="local", rounds=2000, min_sites=2, deadline=DEADLINE, around={"west": lying}
    )
    federation.prepare()
    with under_way(federation):
        yield federation


def _said_of(federation: Federation, site: str) -> list[str]:
    """What the server's log says of refusals of a site's answers."""
    log = federation.state / "logs" / "run.log"  # written from the first refusal on
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [line for line in said if f"{site}, round" in line]


@pytest.mark.parametrize("lie", LIES)
def test_the_release_of_a_site_that_lies_is_in_no_model(
    running: Federation, lie: str, record_property: Note
) -> None:
    """The others' rounds go on without it; the server counts what it refused."""
    paused(running)
    (running.folder / "lie").write_text(lie)
    first, before = running.rounds_done() + 1, len(_said_of(running, "west"))
    running.run("server", "resume", running.server)
    running.goes_on(1)
    done = paused(running)
    (running.folder / "lie").write_text("")
    found = transcript(running.folder_of_run)
    assert all(found[round] == ["east", "north"] for round in range(first, done + 1)), found
    assert len(_said_of(running, "west")) - before >= done + 1 - first
    record_property("crash", f"a lie: {lie}")


def test_control_a_site_whose_code_does_not_lie_is_in_the_model_again(running: Federation) -> None:
    running.run("server", "resume", running.server)
    all_back(running)


def test_a_site_that_is_late_is_left_out_and_its_late_answer_is_not_added(
    running: Federation, record_property: Note
) -> None:
    digest = checkpoint_of(running).plan.digest()
    done = paused(running)
    gate = running.process("north", "gate")
    os.kill(gate, signal.SIGSTOP)
    try:
        running.run("server", "resume", running.server)
        wait_for("a round without it", lambda: running.rounds_done() > done, 120)
    finally:
        os.kill(gate, signal.SIGCONT)
    assert "north" not in latest(running)
    all_back(running)
    wait_for("its late charge", lambda: charges(running, "north", digest)[done + 1] <= 1, 10)
    assert "north" not in transcript(running.folder_of_run)[done + 1]
    record_property("crash", "a gate that stood still beyond the deadline")


def test_the_books_agree_after_all_lies(running: Federation) -> None:
    running.run("server", "stop", running.server)
    require_consistent(running)
    running.stop()
    assert not left_behind(running.folder)
