"""`fedmotion client`: a site as its operator starts, asks and stops it, with what can go wrong on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import supervised
from common.process import Process
from tests.process_tree import child
from tests.started import StartedSite, wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedSite]:
    """A started site whose coordinator is away."""
    made = StartedSite.make(tmp_path_factory.mktemp("site"))
    with made.started():
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> StartedSite:
    return StartedSite.make(tmp_path)


def command(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and errors of `fedmotion client ...`; never a traceback."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fedmotion", "client", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def status(site: StartedSite) -> dict[str, Any]:
    code, said, _ = command("status", site.file, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(said)
    return found


def test_status_says_what_runs_and_what_is_left_and_that_nobody_answers(site: StartedSite) -> None:
    wait_for(lambda: site.child("supernode").sign == "no connection, trying again")
    code, said, errors = command("status", site.file)
    assert (code, errors) == (0, "")
    assert "gate running since" in said
    assert "no connection, trying again since" in said
    assert "left epsilon 100 at delta 0.001 for every user (add or remove one unit, PLD" in said
    assert "trust local" in said
    found = status(site)
    assert found["running"] and found["gate"]["site"] == "north"
    assert [each["state"] for each in found["processes"]] == ["running", "running"]


def test_the_messenger_gets_nothing_of_its_starters_environment(site: StartedSite) -> None:
    pid = site.child("supernode").pid
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0].decode() for line in environment if line}
    assert {"FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK", "FLWR_HOME"} <= names
    assert "OMP_NUM_THREADS" not in names and "PYTEST_CURRENT_TEST" not in names


def test_a_killed_courier_comes_back_with_its_supernode_which_would_not_miss_it(site: StartedSite) -> None:
    def courier() -> int | None:
        supernode = site.child("supernode").pid
        program = str(site.places.programs / "flower-superexec")
        shell = None if supernode is None else child(supernode, program)
        return None if shell is None else child(shell, "client.courier")

    wait_for(lambda: courier() is not None)
    first, supernode = courier(), site.child("supernode").pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: courier() not in (None, first))
    assert site.child("supernode").pid != supernode


def test_a_second_start_is_refused_in_one_line(site: StartedSite) -> None:
    for further in ((), ("--detach",)):
        code, _, errors = command("start", site.file, *further)
        assert code == 2 and len(errors.splitlines()) == 1
        assert "running already, as process" in errors
    assert site.state_is("running")


def test_logs_show_the_last_lines(site: StartedSite) -> None:
    code, said, _ = command("logs", site.file, "--lines", 2)
    assert code == 0
    assert "gate: " in said and "supernode: " in said


def test_a_killed_supervisor_takes_the_site_with_it_and_the_next_start_works(fresh: StartedSite) -> None:
    with fresh.started() as process:
        pids = [fresh.child(name).pid for name in ("gate", "supernode")]
        home = str(fresh.places.flower)
        process.kill()
        wait_for(lambda: not any(Process.of(pid) for pid in pids if pid))
        wait_for(lambda: not of_home(home))  # what the SuperNode started watches it
        code, said, _ = command("status", fresh.file)
        assert code == 1 and "north: crashed" in said
        assert command("stop", fresh.file)[0] == 1
    code, said, _ = command("start", fresh.file, "--detach")
    assert code == 0 and "north: running" in said
    assert command("stop", fresh.file) == (0, "north stopped\n", "")
    assert command("stop", fresh.file)[:2] == (1, "north does not run\n")
    assert not of_home(home)


def of_home(home: str) -> list[int]:
    """Every process that was started with this FLWR_HOME."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"FLWR_HOME={home}\0".encode() in environment:
                found.append(int(entry.name))
    return found


def test_a_gate_that_cannot_run_is_told_in_one_line_and_not_tried_again(fresh: StartedSite) -> None:
    fresh.outline.ledger.unlink()
    code, _, errors = command("start", fresh.file)
    assert code == 2 or code == 3
    assert len(errors.splitlines()) == 1 and "ledger" in errors and "missing" in errors
    assert fresh.child("gate").restarts == 0
    code, said, _ = command("status", fresh.file)
    assert code == 1 and "north: failed" in said and "missing" in said
    assert command("start", fresh.file, "--detach")[2] == errors


def no_federation(site: StartedSite) -> None:
    site.file.write_text(site.file.read_text().partition("[federation]")[0])


def no_card(site: StartedSite) -> None:
    site.places.coordinator.unlink()


def no_node_key(site: StartedSite) -> None:
    site.places.node_key.unlink()


def no_address(site: StartedSite) -> None:
    site.join("")


def unknown_key(site: StartedSite) -> None:
    site.file.write_text(f"{site.file.read_text()}\nwatch = 3\n")


def unknown_user(site: StartedSite) -> None:
    named = 'gate_user = "nobody-here"\nmessenger_user = "x"'
    site.file.write_text(site.file.read_text().replace("allow_root = true", named))


def wrong_toml(site: StartedSite) -> None:
    site.file.write_text("name = ")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_federation, "has no [federation]"),
        (no_card, "has not joined"),
        (no_node_key, "keys init"),
        (no_address, "names no address"),
        (unknown_key, "watch"),
        (unknown_user, "nobody-here"),
        (wrong_toml, "not valid TOML"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_starts(
    fresh: StartedSite, spoil: Any, said: str
) -> None:
    run = fresh.places.run
    spoil(fresh)
    code, _, errors = command("start", fresh.file)
    assert code == 2 and len(errors.splitlines()) == 1
    assert said in errors
    assert supervised.status(run) is None


def test_ctrl_c_ends_the_site(fresh: StartedSite) -> None:
    with fresh.started() as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == 0
    assert fresh.state_is("stopped")


def test_a_site_that_was_never_started_says_so(fresh: StartedSite) -> None:
    code, said, _ = command("status", fresh.file)
    assert (code, said) == (1, "north: never started\n")
    assert command("logs", fresh.file)[0] == 0
