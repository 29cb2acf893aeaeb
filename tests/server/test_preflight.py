"""What is not in order is said before anything starts, in one line with the way out."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import fedmotion
from common.certificate import make_authority, make_front
from common.errors import InputError
from server.admission import Roster
from server.crew import prepare
from server.preflight import node_keys, require_certificate
from server.proposal import planned, propose
from server.server_file import ServerFile
from server.shell import run
from tests.server.planned import SITES, server_with


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server with a planned run; each test takes a copy."""
    file = server_with(tmp_path_factory.mktemp("ready"))
    propose(ServerFile.read(file))
    return file


@pytest.fixture
def file(ready: Path, tmp_path: Path) -> Path:
    shutil.copytree(ready.parent, tmp_path / "server", symlinks=True)
    return tmp_path / "server" / ready.name


def certified(config: ServerFile, hosts: tuple[str, ...] = ("127.0.0.1",), days: int = 10) -> None:
    """Another front certificate of the server's own key."""
    key, signer = load_pem_private_key(config.key.read_bytes(), None), ec.generate_private_key(ec.SECP256R1())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    config.certificate.write_bytes(make_front(key, hosts, make_authority(signer, "x"), signer, days))


def another_key(config: ServerFile) -> None:
    config.key.write_bytes((config.folder / "keys" / "ca.pem").read_bytes())


def damaged(config: ServerFile) -> None:
    path = config.folder / "run" / "superlink.db"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"SQLite format 3\0" + b"no database" * 500)


def another_checkpoint(config: ServerFile) -> None:
    path = planned(config, None) / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def few(config: ServerFile) -> None:
    for site in SITES:
        Roster(config.folder).revoke(site)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda config: config.certificate.unlink(), "front certificate .* No such file.*keys init"),
        (
            lambda config: config.certificate.write_text("x"),
            "is damaged: make a new one: fedmotion keys renew",
        ),
        (lambda config: certified(config, days=-1), "which is not now: make a new one"),
        (lambda config: certified(config, ("example.org",)), "is not for 127.0.0.1, which sites connect to"),
        (another_key, "is not the key of"),
        (lambda config: (config.folder / "keys" / "superexec.secret").unlink(), "missing: make it with"),
        (damaged, "superlink.db is damaged .*nothing of a run is lost"),
        (another_checkpoint, "does not match its signature"),
        (few, "0 of the plan's 3 sites are neither revoked nor expired"),
    ],
)
def test_a_server_that_is_not_in_order_does_not_start(
    file: Path, spoil: Callable[[ServerFile], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ServerFile.read(file)
    prepare(config, planned(config, None))
    spoil(config)
    assert run(fedmotion.COMMANDS, ["server", "start", str(file)]) == 2
    line = capsys.readouterr().err
    assert re.search(said, line) and line.count("\n") == 1, line


def test_a_port_that_somebody_uses_is_named(file: Path) -> None:
    config = ServerFile.read(file)
    with socket.socket() as other:
        other.bind(("127.0.0.1", config.front.port))
        other.listen()
        with pytest.raises(InputError, match=r"in use; stop what uses it, or change front\.port"):
            prepare(config, planned(config, None))


def test_a_full_disk_is_named_before_anything_starts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServerFile.read(file)
    found = shutil.disk_usage(file)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: found._replace(free=2**20))
    with pytest.raises(InputError, match=r"1 MiB are free .* a run needs 256: free space"):
        prepare(config, planned(config, None))


def test_another_servers_plan_does_not_start(file: Path, ready: Path, tmp_path: Path) -> None:
    other = ServerFile.read(server_with(tmp_path / "other"))
    shutil.copytree(planned(ServerFile.read(file), None), other.folder / "runs" / "stolen", symlinks=True)
    assert run(fedmotion.COMMANDS, ["server", "start", str(tmp_path / "other" / "CONFIG.toml")]) == 3


def test_a_certificate_for_all_of_a_domain_is_for_its_hosts(file: Path) -> None:
    config = ServerFile.read(file).model_copy(update={"address": "motion.example.org:1"})
    certified(config, ("*.example.org",))
    require_certificate(config)
    with pytest.raises(InputError, match=r"is not for deep\.motion\.example\.org"):
        require_certificate(config.model_copy(update={"address": "deep.motion.example.org:1"}))


def test_only_the_plans_sites_that_are_believed_are_let_in(file: Path) -> None:
    config = ServerFile.read(file)
    plan = propose(config).plan
    assert set(node_keys(config, plan)) == set(SITES)
    Roster(config.folder).revoke("north")
    assert set(node_keys(config, plan)) == {"east", "west"}
