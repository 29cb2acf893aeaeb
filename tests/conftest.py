"""What every test shares: where real data lie, and a quiet, repeatable environment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Read by Flower when it is first imported: a test neither reports usage nor looks for updates.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

# Matrices here are small: a second thread costs more than it gives, above all on a busy machine.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# A shell starts background jobs deaf to Ctrl-C, and every process that a test starts would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run, and no verdict that depends on the machine's speed.
settings.register_profile("fedmotion", deadline=None, derandomize=True, database=None)
settings.load_profile("fedmotion")


LANES = (
    ("secagg", "containers"),
    ("faults_site", "network"),
    ("faults_server", "methods"),
    ("clock", "guides"),
)
"""Words in the names of files of deployments, for each of the four workers in order: about as long each."""
LONG = 1200  # seconds: what a long form may take on a busy machine
ATTACKS = ("tests/attacks/", "tests/test_no_bypass.py", "tests/test_method_laws.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test-deployment` imports the files that hold deployments alone: each worker imports its own."""
    if config.option.markexpr != "deployment" or not collection_path.name.startswith("test_"):
        return None
    return "mark.deployment" not in collection_path.read_text() or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make attack` runs what is marked, wherever it lies, and the short form of every attack."""
    if config.option.markexpr == "attack":
        for item in items:
            if item.get_closest_marker("attack") and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LONG))
            if item.nodeid.startswith(ATTACKS) and item.get_closest_marker("nightly") is None:
                item.add_marker("attack")
    if config.option.markexpr == "deployment":
        items.sort(key=lambda item: _lane(item.path.name))


def _lane(path: str) -> tuple[int, int]:
    """Which lane a file of deployments is in, and where in it; the last one where none is said."""
    name = Path(path).name
    places = [(lane, i) for lane, words in enumerate(LANES) for i, word in enumerate(words) if word in name]
    return places[0] if places else (len(LANES) - 1, len(LANES[-1]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """A worker for each lane: set-ups are long, and a worker that is free early would begin another."""
    if config.option.markexpr != "deployment":
        return None
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: str(_lane(nodeid.partition("::")[0])[0])
    return scheduler


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last line of `make attack`, `attack-nightly` and `test-deployment`: what held."""
    name = config.option.markexpr
    if name == "deployment":
        return _tell_survived(terminalreporter)
    if name not in ("attack", "nightly"):
        return
    passed = terminalreporter.getreports("passed")
    noted = [(report, key, str(value)) for report in passed for key, value in report.user_properties]
    controls = [report for report in passed if "test_control_" in report.nodeid]
    caught = {value for _, key, value in noted if key == "sabotage"}
    broken = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    line = f"{name}: {len(passed) - len(controls)} held, {len(controls)} controls caught"
    line += f" ({len(caught)} sabotaged builds by name), {len(broken)} failed"
    audited = [value for _, key, value in noted if key == "audited"]
    if audited:
        line += f"; epsilon audited {', '.join(audited)} (delta 1e-5, unit user, add or remove one user,"
        line += " accountant PLD, trust local, confidence 95 %)"
    terminalreporter.write_line(line)


def _tell_survived(reporter: pytest.TerminalReporter) -> None:
    passed = reporter.getreports("passed")
    crashes = [value for report in passed for key, value in report.user_properties if key == "crash"]
    broken = [*reporter.getreports("failed"), *reporter.getreports("error")]
    line = f"deployment: {len(passed) - len(crashes)} held, {len(crashes)} crashes and faults survived"
    if skipped := reporter.getreports("skipped"):
        line += f", {len(skipped)} not possible here"
    reporter.write_line(f"{line}, {len(broken)} failed")


def _folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def motion_folder() -> Path:
    """Real BVH clips of six people, `PERSON_CLIP.bvh.gz`."""
    return _folder("cmu-mocap") / "bvh"


@pytest.fixture(scope="session")
def sensor_folder() -> Path:
    """Phone and watch recordings of seventeen people."""
    return _folder("sp-sw-har")
