"""The gate service of a started site: it answers, survives, tells nothing and opens no connection."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch

from client.ledger import Ledger
from client.remote import RemoteSite, standing_of
from client.service import locate, open_site
from common import supervised
from common.errors import FedmotionError, Refusal, RefusalCode
from common.parcel import CHANNEL, from_parcel, raise_refused
from common.query import Seen
from common.wire import encode_plan
from protos import gate_pb2, gate_pb2_grpc
from tests.started import StartedSite, wait_for

ROOT = Path(__file__).resolve().parents[2]
_TGKILL = {"x86_64": 234, "aarch64": 131}.get(platform.machine())
SLOW = {"steps_per_round": 60, "rounds": 1, "noise_multiplier": 40.0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedSite]:
    """A started site whose coordinator is away."""
    made = StartedSite.make(tmp_path_factory.mktemp("site"))
    with made.started():
        yield made


@pytest.fixture
def stopped(tmp_path: Path) -> StartedSite:
    return StartedSite.make(tmp_path)


def charged(site: StartedSite, plan_digest: str) -> int:
    with Ledger.read(site.outline.ledger) as ledger:
        account = ledger.accounts.plans.get(plan_digest)
        return 0 if account is None else len(account.paid)


def _sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def network_sockets(pid: int) -> set[str]:
    """What of a process's open sockets is not a Unix socket.

    A connection may come or go while the system's table is read: what counts is open before it and after.
    """
    held = _sockets(pid)
    with open("/proc/net/unix") as lines:
        local = {line.split()[6] for line in lines if len(line.split()) > 6}
    return (held - local) & _sockets(pid)


def gate_pid(site: StartedSite) -> int:
    pid = site.child("gate").pid
    assert pid is not None
    return pid


def test_a_plan_and_a_round_are_answered_and_a_repeat_is_the_same_to_the_bit(site: StartedSite) -> None:
    answer, plan = RemoteSite(site.places.socket, 60.0).answer, site.plan(run_id="plain")
    site.accept(answer, plan)
    first = site.release(answer, plan, site.state(plan)).total
    assert float(first.std()) == pytest.approx(plan.noise_std, rel=0.2)
    assert torch.equal(first, site.release(answer, plan, site.state(plan)).total)
    assert charged(site, plan.digest()) == 1


def test_the_gate_opens_no_network_socket_under_traffic(site: StartedSite) -> None:
    answer, plan = RemoteSite(site.places.socket, 60.0).answer, site.plan(run_id="traffic", rounds=20)
    site.accept(answer, plan)
    opened: set[str] = set()
    seen: tuple[Seen, ...] = ()
    over, pid = threading.Event(), gate_pid(site)

    def watch() -> None:
        while not over.wait(0.01):
            opened.update(network_sockets(pid))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            for round in range(1, 5):
                found = site.release(answer, plan, site.state(plan, round), seen)
                seen = () if found.seen is None else (found.seen,)
        finally:
            over.set()
        watching.result()
    assert not opened


def test_control_a_network_socket_is_seen() -> None:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        assert network_sockets(os.getpid())


def test_the_socket_is_for_its_owner_and_the_messengers_group_alone(site: StartedSite) -> None:
    assert site.places.socket.stat().st_mode & 0o777 == 0o660
    assert site.places.gate.stat().st_mode & 0o777 == 0o750


def test_garbage_on_the_socket_changes_nothing(site: StartedSite) -> None:
    before = gate_pid(site)
    for garbage in (b"\x00" * 4096, b"GET / HTTP/1.1\r\n\r\n", os.urandom(1 << 16)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(site.places.socket))
            client.sendall(garbage)
    with grpc.insecure_channel(f"unix:{site.places.socket}", options=CHANNEL) as channel:
        raw: Any = channel.unary_unary("/fedmotion.gate.v1.Gate/Answer")
        with pytest.raises(grpc.RpcError):
            raw(b"\xff" * 1000, timeout=30)
        stub = gate_pb2_grpc.GateStub(channel)
        for parcel in (gate_pb2.Parcel(), gate_pb2.Parcel(kind="x" * 100, body=b"\xff", seal=b"\xff")):
            with pytest.raises(Refusal) as refused:
                raise_refused(from_parcel(stub.Answer(parcel, timeout=30)))
            assert refused.value.code in (RefusalCode.MALFORMED, RefusalCode.FOREIGN)
    assert gate_pid(site) == before
    told = standing_of(site.places.socket)
    assert told is not None and told["site"] == "north"


def test_a_stranger_behind_the_socket_gets_a_code(site: StartedSite) -> None:
    answer, plan = RemoteSite(site.places.socket, 60.0).answer, site.plan(run_id="stranger")
    with pytest.raises(Refusal) as refused:
        raise_refused(answer(encode_plan(plan, {})))
    assert refused.value.code == RefusalCode.FOREIGN


def test_what_the_gate_tells_its_operator_holds_public_facts_alone(site: StartedSite) -> None:
    told = standing_of(site.places.socket)
    assert told is not None
    assert set(told) == {
        "version", "pid", "since", "site", "key", "coordinator", "trust", "unit", "neighbouring",
        "answered", "refused", "last_answer", "accountant", "across_runs", "budget", "reserved", "left",
        "plans", "agreed", "warning",
    }  # fmt: skip
    assert all(set(plan) == {
        "run_id", "plan", "accepted", "method", "trust", "rounds_planned", "rounds_charged", "reserved",
    } for plan in told["plans"])  # fmt: skip
    assert "person" not in json.dumps(told)


def test_a_gate_killed_in_the_middle_of_a_round_comes_back_and_answers_it(site: StartedSite) -> None:
    answer, plan = RemoteSite(site.places.socket, 120.0, away=90.0).answer, site.plan(run_id="killed", **SLOW)
    site.accept(answer, plan)
    before = gate_pid(site)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.release, answer, plan, site.state(plan))
        wait_for(lambda: charged(site, plan.digest()) == 1)
        os.kill(before, signal.SIGKILL)
        first = asked.result().total
    assert gate_pid(site) != before
    assert site.child("gate").restarts >= 1 and site.child("gate").exit == -signal.SIGKILL
    assert torch.equal(first, site.release(answer, plan, site.state(plan)).total)
    assert charged(site, plan.digest()) == 1  # one charge, one release: the killed one was never sent
    with Ledger.read(site.outline.ledger) as ledger:
        assert ledger.events(plan.digest()) == [plan.event()]


@pytest.mark.skipif(_TGKILL is None, reason="the number of tgkill is not known for this machine")
def test_a_signal_that_another_thread_takes_ends_it_too(stopped: StartedSite) -> None:
    """The kernel chooses the thread; Python's handler runs in the main one, which sleeps."""
    with stopped.started():
        pid = gate_pid(stopped)
        other = max(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
        assert other != pid
        assert ctypes.CDLL(None, use_errno=True).syscall(_TGKILL, pid, other, signal.SIGTERM) == 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20)


def test_a_stop_lets_a_round_under_way_end(stopped: StartedSite) -> None:
    plan = stopped.plan(**SLOW)
    with stopped.started():
        answer = RemoteSite(stopped.places.socket, 120.0, away=0.0).answer
        stopped.accept(answer, plan)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(stopped.release, answer, plan, stopped.state(plan))
            wait_for(lambda: charged(stopped, plan.digest()) == 1)
            assert supervised.stop(stopped.places.run)
            assert len(asked.result().total) == plan.dimension
    assert stopped.child("gate").exit == 0
    assert not list(stopped.outline.ledger.parent.glob("*-wal"))


def lose_key(site: StartedSite) -> None:
    site.places.identity.unlink()


def damage_card(site: StartedSite) -> None:
    site.places.coordinator.write_text(site.places.coordinator.read_text().replace("127.0.0.1", "127.0.0.2"))


def damage_ledger(site: StartedSite) -> None:
    content = bytearray(site.outline.ledger.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    site.outline.ledger.write_bytes(content)


def empty_data(site: StartedSite) -> None:
    site.file.write_text(f"{site.file.read_text()}\n[share]\nstart = 0.0\nstop = 0.0\n")


def no_data(site: StartedSite) -> None:
    (site.folder / "recordings" / "all.csv").unlink()


def raise_budget(site: StartedSite) -> None:
    site.file.write_text(site.file.read_text().replace("epsilon = 100.0", "epsilon = 200.0"))


def expire_card(site: StartedSite) -> None:
    site.join("127.0.0.1:1", valid_until=10)


def long_path(site: StartedSite) -> None:
    folder = site.folder / ("x" * 100)
    site.places.folder.rename(folder)
    site.file.write_text(site.file.read_text().replace('folder = "federation"', f'folder = "{folder.name}"'))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lose_key, "site.pem is missing"),
        (damage_card, "is no identity card"),
        (damage_ledger, "ledger"),
        (empty_data, "recordings do not read"),
        (no_data, "recordings"),
        (raise_budget, "a ledger keeps its budget"),
        (expire_card, "card was valid until"),
        (long_path, "socket's path at most"),
    ],
)
def test_what_can_be_wrong_is_found_before_the_first_message(
    stopped: StartedSite, monkeypatch: pytest.MonkeyPatch, spoil: Any, said: str
) -> None:
    monkeypatch.chdir(stopped.folder)
    stopped.places.gate.mkdir(parents=True)
    spoil(stopped)
    with pytest.raises(FedmotionError, match=said):
        open_site(*locate(stopped.file))


def test_a_full_disk_is_found_before_the_first_message(
    stopped: StartedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped.places.gate.mkdir(parents=True)
    monkeypatch.setattr("client.service.LEAST_FREE", 2**62)
    with pytest.raises(FedmotionError, match="free space"):
        open_site(*locate(stopped.file))


def test_motions_of_another_kind_are_refused_before_anything_is_reserved(
    site: StartedSite, tmp_path: Path
) -> None:
    """The plan is for six channels of sensors; these people were recorded with three."""
    other = StartedSite.make(tmp_path, channels=("acc_x", "acc_y", "acc_z"))
    plan = other.plan()
    os.chdir(other.folder)
    other.places.gate.mkdir(parents=True)
    _, door = open_site(*locate(other.file))
    try:
        with pytest.raises(Refusal) as refused:
            raise_refused(other.exchange(door.answer, encode_plan(plan, {})))
    finally:
        door.close()
        os.chdir(ROOT)
    assert refused.value.code == RefusalCode.POLICY
    with Ledger.read(other.outline.ledger) as ledger:
        assert not ledger.accounts.plans
