"""Supervised processes are restarted, ended together, and never left behind: real ones, with kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from common import supervised
from common.errors import FedmotionError, InputError
from common.process import Process
from common.rotating import RotatingFile, last_lines
from common.storage import exclusive
from common.supervised import LOCK, Status, Watched
from common.supervision import Supervisor
from tests.started import wait_for

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys
from pathlib import Path
from common.supervision import Backoff, Child, Supervisor
folder, scripts = Path(sys.argv[1]), json.loads(sys.argv[2])
children = [
    Child(name=name, command=("sh", "-c", text), environment=dict(os.environ), folder=folder,
          log=folder / f"{name}.log", final=(7,), patience=1.0, hung=("hangs",),
          signs={"hello": "greets", "bye": "leaves", "lost": "hangs"})
    for name, text in scripts.items()
]
sys.exit(Supervisor(children, folder, backoff=Backoff(first=0.05, most=0.2)).run())
"""
SLEEPING = {"one": "exec sleep 600", "two": "sleep 600 & sleep 600; wait"}


@contextmanager
def supervising(folder: Path, scripts: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor in a process of its own, in `folder`, over shell scripts by name."""
    command = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(scripts)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        if not supervised.stop(folder):
            process.kill()  # it has not come as far as to say who it is
        process.wait(30)


def now(folder: Path) -> Status:
    found = supervised.status(folder)
    assert found is not None
    return found


def child(folder: Path, name: str) -> Watched:
    found = now(folder).child(name)
    assert found is not None
    return found


def up(folder: Path) -> bool:
    found = supervised.status(folder)
    return found is not None and found.state == "running"


def session(pid: int) -> list[int]:
    """Every living process of the session that `pid` leads."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(pid) and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def sessions(folder: Path) -> list[int]:
    return [number for each in now(folder).children if each.pid for number in session(each.pid)]


def test_a_child_that_crashes_is_started_again_and_its_last_words_are_kept(tmp_path: Path) -> None:
    with supervising(tmp_path, {"frail": "echo hello; echo I fall; exit 5", "firm": "exec sleep 600"}):
        wait_for(lambda: supervised.status(tmp_path) and now(tmp_path).children)
        wait_for(lambda: child(tmp_path, "frail").restarts >= 2)
        frail = child(tmp_path, "frail")
        assert (frail.exit, frail.words) == (5, "I fall")
        assert child(tmp_path, "firm").restarts == 0
        assert (tmp_path / "frail.log").read_text().count("I fall\n") >= 2


def test_a_childs_output_says_how_it_is(tmp_path: Path) -> None:
    with supervising(tmp_path, {"one": "echo hello; sleep 0.3; echo bye; echo later; exec sleep 600"}):
        wait_for(lambda: up(tmp_path) and child(tmp_path, "one").sign == "leaves")
        assert child(tmp_path, "one").restarts == 0


def test_a_child_that_says_it_works_no_more_is_started_again_though_it_stays(tmp_path: Path) -> None:
    with supervising(tmp_path, {"stuck": "echo lost; exec sleep 600", "firm": "exec sleep 600"}):
        wait_for(lambda: up(tmp_path) and child(tmp_path, "stuck").restarts >= 2)
        assert child(tmp_path, "stuck").exit == -9
        assert child(tmp_path, "firm").restarts == 0


def test_a_kill_of_the_supervisor_leaves_no_child_and_the_next_start_works(tmp_path: Path) -> None:
    with supervising(tmp_path, SLEEPING) as process:
        wait_for(lambda: up(tmp_path))
        leaders = [each.pid for each in now(tmp_path).children]
        process.kill()
        process.wait()
        wait_for(lambda: not any(Process.of(pid) for pid in leaders if pid))
    assert now(tmp_path).state == "crashed"
    for leader in leaders:
        assert leader is not None
        for number in session(leader):  # what a child starts is its own affair: Flower's watch their parent
            os.kill(number, signal.SIGKILL)
    with supervising(tmp_path, SLEEPING):
        wait_for(lambda: up(tmp_path))


def test_control_without_the_kernels_signal_children_outlive_their_supervisor(tmp_path: Path) -> None:
    unbound = PROGRAM.replace(
        "import json", "import common.supervision as s\ns.die_with_parent = id\nimport json"
    )
    command = [sys.executable, "-c", unbound, str(tmp_path), json.dumps({"one": "exec sleep 600"})]
    process = subprocess.Popen(command, cwd=ROOT)
    wait_for(lambda: up(tmp_path))
    pid = child(tmp_path, "one").pid
    process.kill()
    process.wait()
    assert pid is not None and session(pid) == [pid]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_all_and_whatever_they_started(tmp_path: Path, number: int) -> None:
    stubborn = "trap '' TERM; sleep 600 & sleep 600; sleep 600"
    with supervising(tmp_path, {**SLEEPING, "stubborn": stubborn}) as process:
        wait_for(lambda: up(tmp_path) and len(sessions(tmp_path)) >= 6)
        before = sessions(tmp_path)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not [pid for pid in before if Process.of(pid)]
    assert [each.state for each in now(tmp_path).children] == ["stopped"] * 3
    assert not supervised.stop(tmp_path)


def test_an_exit_code_about_settings_ends_all_at_once(tmp_path: Path) -> None:
    with supervising(
        tmp_path, {"one": "exec sleep 600", "wrong": "echo the key is wrong; exit 7"}
    ) as process:
        assert process.wait(30) == 7
    found = now(tmp_path)
    assert (found.state, found.code, child(tmp_path, "wrong").words) == ("failed", 7, "the key is wrong")
    assert child(tmp_path, "wrong").restarts == 0


def test_a_second_supervisor_is_refused_by_name_and_the_first_goes_on(tmp_path: Path) -> None:
    with supervising(tmp_path, SLEEPING) as process:
        wait_for(lambda: up(tmp_path))
        with pytest.raises(InputError, match=f"running already, as process {process.pid}"):
            Supervisor([], tmp_path).run()
        assert up(tmp_path)


def test_a_number_that_now_means_another_process_is_left_alone(tmp_path: Path) -> None:
    """After a crash of the machine the file names a number that somebody else may have."""
    innocent = subprocess.Popen(["sleep", "600"])
    found = Process.of(innocent.pid)
    assert found is not None
    for stranger in (replace(found, started=found.started + 1), replace(found, boot="another boot")):
        words = Status(process=stranger, since=0.0, state="running", code=0, children=())
        supervised.write_status(tmp_path, words)
        assert now(tmp_path).state == "crashed"
        with exclusive(tmp_path / LOCK):
            assert not supervised.stop(tmp_path)
            stranger.signal(signal.SIGKILL)
    assert innocent.poll() is None
    found.signal(signal.SIGKILL)
    assert innocent.wait(30) == -signal.SIGKILL


def test_half_a_state_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / supervised.STATE).write_text('{"process": {"pid": 1')
    assert supervised.status(tmp_path) is None
    assert not supervised.stop(tmp_path)


def test_detached_it_runs_on_and_a_failure_is_told(tmp_path: Path) -> None:
    def command(scripts: Mapping[str, str]) -> list[str]:
        text = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"
        return [sys.executable, "-c", text, str(tmp_path), json.dumps(scripts)]

    failed = supervised.detach(command({"wrong": "echo no; exit 7"}), tmp_path, tmp_path / "said.log")
    assert (failed.state, failed.code) == ("failed", 7)
    with pytest.raises(FedmotionError, match="out of luck"):
        supervised.detach(
            [sys.executable, "-c", "import sys; sys.exit('fedmotion: out of luck')"],
            tmp_path,
            tmp_path / "x.log",
        )
    found = supervised.detach(command(SLEEPING), tmp_path, tmp_path / "said.log")
    assert found.state == "running" and found.process.alive()
    assert supervised.stop(tmp_path)
    os.waitpid(found.process.pid, 0)


def test_a_log_stays_within_its_bounds(tmp_path: Path) -> None:
    log = RotatingFile(tmp_path / "a.log", most=1000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.close()
    assert (tmp_path / "a.log").stat().st_size <= 1000 >= (tmp_path / "a.log.1").stat().st_size
    assert last_lines(tmp_path / "a.log", 2) == ["line 498", "line 499"]
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        RotatingFile(tmp_path / "link.log")


def test_a_process_ends_with_its_parent() -> None:
    """`die_with_parent` as `simulations.engine` uses it."""
    text = (
        "import os, subprocess, signal\nfrom common.process import die_with_parent\n"
        "p = subprocess.Popen(['sleep', '600'], preexec_fn=die_with_parent)\n"
        "print(p.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: Process.of(int(done.stdout)) is None)
