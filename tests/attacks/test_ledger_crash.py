"""T10: kill -9 at every write, fsync and rename, at random moments, in torn writes and on a full disk.

After each restart the ledger reads, at least what was sent is spent, the run goes on to
its end, and no charge covers two different releases.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from client.ledger import Budget, Charge, Ledger
from common.errors import Refusal
from common.event import PrivacyEvent
from common.query import Query
from tests.attacks.traced import live, require_tracing, tell
from tests.small_site import make_plan

ROUNDS = 3
PLAN = make_plan(rounds=ROUNDS)
ARRAYS = bytes(9000)
BIG = 9000  # a release of three pages

Say = Callable[[str], None]


@pytest.fixture(autouse=True)
def cheap_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is what is tested here; an accountant at each of a thousand restarts is not."""
    monkeypatch.setattr("client.ledger.epsilon", lambda events, delta: 1.0)


def query_of(round: int) -> tuple[Query, str]:
    query = Query(run_id=PLAN.run_id, plan_digest=PLAN.digest(), round=round, state_digest=f"{round:064}")
    return query, query.digest(PLAN.trust)


def answer_rounds(folder: Path, told: list[str], say: Say) -> None:
    """A site: makes its ledger, accepts, answers every round twice, withdraws Ann.

    The coordinator goes on with the round after the one it heard last, once it has asked for that again.
    """
    path = folder / "north.sqlite"
    if not path.exists():
        Ledger.create(path, "north", "user", Budget(epsilon=10.0, delta=1e-3)).close()
    heard = max((int(round) for round, *_ in sent(told)), default=0)
    with Ledger.open(path) as ledger:
        ledger.reserve(PLAN, ARRAYS)
        say("accepted")
        if heard:
            with suppress(Refusal):  # STALE where a later round was charged already
                answer(ledger, heard, say)
        for round in range(heard + 1, ROUNDS + 1):
            answer(ledger, round, say)
            answer(ledger, round, say)
            if round == 2:
                ledger.withdraw("Ann")
                say("withdrawn")


def answer(ledger: Ledger, round: int, say: Say) -> None:
    charge = ledger.charge(*query_of(round), PLAN.event())
    payload = charge.payload
    if payload is None:
        payload = os.urandom(BIG)
        ledger.store(charge, payload)
    say(f"sent {round} {charge.id} {hashlib.sha256(payload).hexdigest()}")


def sent(told: list[str]) -> list[tuple[str, ...]]:
    return [tuple(line.split()[1:]) for line in told if line.startswith("sent")]


def check(folder: Path, told: list[str]) -> None:
    """What must hold after a crash of the site that `told` the world this much."""
    path = folder / "north.sqlite"
    if path.exists() or told:
        with Ledger.read(path) as ledger:
            assert sum(event.count for event in ledger.events()) >= len({round for round, *_ in sent(told)})
            assert ("accepted" not in told) or ledger.accounts.plans
            assert ("withdrawn" not in told) or ledger.accounts.withdrawals
    answer_rounds(folder, told, told.append)
    with Ledger.read(path) as ledger:
        assert ledger.events() == [PLAN.reserved()], "a charge was paid twice, or not at all"
    with Ledger.beside(path) as ledger:
        ledger.withdraw("Ann")  # where the kill came between round 2 and her withdrawal
        assert len(ledger.accounts.withdrawals) == 1
    releases = {(charge, content) for _, charge, content in sent(told)}
    assert len(releases) == len({charge for charge, _ in releases}) == ROUNDS
    assert sorted(file.name for file in folder.iterdir()) == ["north.sqlite", "north.sqlite.key"]


def fresh(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def kill_everywhere(tmp_path: Path, points: range, torn: bool) -> None:
    for point in points:
        folder = fresh(tmp_path)
        _, told = live(lambda say, folder=folder: answer_rounds(folder, [], say), point, torn)  # type: ignore[misc]
        check(folder, told)


def count_points(tmp_path: Path) -> int:
    folder = fresh(tmp_path)
    calls, told = live(lambda say: answer_rounds(folder, [], say))
    assert len(sent(told)) == 2 * ROUNDS
    assert {"pwrite64", "fdatasync", "rename"} <= {call.name for call in calls}
    return len(calls)


@pytest.mark.parametrize("torn", [False, True], ids=["before the call", "half of the write done"])
def test_a_site_killed_at_its_writes_fsyncs_and_renames_goes_on(tmp_path: Path, torn: bool) -> None:
    require_tracing()
    kill_everywhere(tmp_path, range(int(torn) * 5, count_points(tmp_path), 10), torn)


@pytest.mark.attack
@pytest.mark.parametrize("torn", [False, True], ids=["before the call", "half of the write done"])
def test_a_site_killed_at_every_write_fsync_and_rename_goes_on(tmp_path: Path, torn: bool) -> None:
    require_tracing()
    kill_everywhere(tmp_path, range(count_points(tmp_path)), torn)


def unsynced_when_told(tmp_path: Path) -> list[str]:
    """Files with writes not yet synced at a moment when the child told the world something."""
    folder = fresh(tmp_path)
    calls, _ = live(lambda say: answer_rounds(folder, [], say))
    dirty: set[str] = set()
    found: list[str] = []
    for call in calls:
        if call.name == "pwrite64":
            dirty.add(call.path)
        elif call.name in ("fsync", "fdatasync"):
            dirty.discard(call.path)
        elif call.name == "write" and call.path.startswith("pipe:"):
            found += [path for path in dirty if path.endswith("-wal")]
    return found


def test_nothing_is_said_before_it_is_synced(tmp_path: Path) -> None:
    require_tracing()
    assert unsynced_when_told(tmp_path) == []


def test_control_a_ledger_that_does_not_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tracing()
    monkeypatch.setattr(
        "client.ledger_file.harden",
        lambda connection: connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"),
    )
    assert unsynced_when_told(tmp_path)


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "store", lambda self, charge, payload: None)


def unpaid(monkeypatch: pytest.MonkeyPatch) -> None:
    def charge(self: Ledger, query: Query, digest: str, event: PrivacyEvent) -> Charge:
        return Charge(id=query.round, plan=query.plan_digest, round=query.round, payload=None)

    monkeypatch.setattr(Ledger, "charge", charge)
    forgetful(monkeypatch)


@pytest.mark.parametrize("sabotage", [forgetful, unpaid])
def test_control_a_ledger_that_forgets_fails_the_same_check(
    tmp_path: Path, sabotage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    folder = fresh(tmp_path)
    told: list[str] = []
    answer_rounds(folder, told, told.append)  # lives to its end, and is asked for its last round once more
    with pytest.raises(AssertionError):
        check(folder, told)


def killed_after(folder: Path, seconds: float) -> list[str]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer_rounds(folder, [], lambda line: tell(writer, line))
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(writer)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as told:
        return told.read().decode().splitlines()


def kill_at_random(tmp_path: Path, times: int) -> None:
    moments = random.Random(0)
    for _ in range(times):
        folder = fresh(tmp_path)
        check(folder, killed_after(folder, moments.uniform(0, 0.06)))


def test_a_site_killed_at_random_moments_goes_on(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 25)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_site_killed_at_a_thousand_random_moments_goes_on(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 1000)


def limited(folder: Path, bytes_: int) -> list[str]:
    """The site on a disk where no file grows past `bytes_`; what it told the world before it stopped."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, resource.RLIM_INFINITY))
        try:
            answer_rounds(folder, [], lambda line: tell(writer, line))
        except Refusal:
            os._exit(3)
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 3), "one line, and nothing worse"
    with os.fdopen(reader, "rb") as told:
        return told.read().decode().splitlines()


def test_a_site_on_a_full_disk_refuses_in_words_and_goes_on_later(tmp_path: Path) -> None:
    ends = set()
    for kilobytes in range(24, 200, 12):
        folder = fresh(tmp_path)
        Ledger.create(folder / "north.sqlite", "north", "user", Budget(epsilon=10.0, delta=1e-3)).close()
        told = limited(folder, kilobytes * 1024)
        ends.add(len(sent(told)))
        check(folder, told)
    assert ends >= {0, 2 * ROUNDS}
