"""Keys of a site and of a server: as Flower and TLS take them, made once, whole after every crash."""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.cli.supernode.register import try_load_public_key
from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

from common.card import Card
from common.errors import InputError
from common.holder import Holder
from common.key_folder import KeyFolder
from common.signing import load_key, public_name

SITE = 'name = "north"\nledger = "n.sqlite"\ndeclared_population = 12\n[federation]\nfolder = "fed"\n'
SERVER = 'address = "127.0.0.1:9443"\n[front]\nnames = ["hub.example.org"]\n'


def folder_of(tmp_path: Path, text: str) -> KeyFolder:
    file = tmp_path / "file.toml"
    file.write_text(text)
    return KeyFolder(Holder.read(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sites_node_key_is_what_flower_takes(tmp_path: Path) -> None:
    """Loaded by the code of `flower-supernode` and of `flwr supernode register` itself."""
    folder = folder_of(tmp_path, SITE)
    folder.complete()
    asked = argparse.Namespace(
        auth_supernode_private_key=str(folder.keys / "node"), auth_supernode_public_key=None
    )
    loaded = _try_setup_client_authentication(asked)
    assert loaded is not None and isinstance(loaded[0].curve, ec.SECP384R1)
    assert try_load_public_key(folder.keys / "node.pub")
    told = load_ssh_public_key(folder.card().node_key.encode())
    assert isinstance(told, ec.EllipticCurvePublicKey)
    assert told.public_numbers() == loaded[1].public_numbers()


def handshake(server: ssl.SSLContext, authority: str, host: str) -> None:
    """One TLS handshake of Python's own client, which knows `authority` alone."""
    client = ssl.create_default_context(cadata=authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = True
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
        if done:
            return
    raise AssertionError("no handshake")


def test_the_fronts_certificate_is_for_its_address_and_names_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SERVER)
    folder.complete()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder.keys / "front.crt", folder.keys / "front.key")
    authority = folder.card().authority
    for host in ("127.0.0.1", "hub.example.org"):
        handshake(server, authority, host)
    for host in ("127.0.0.2", "example.org"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, authority, host)
    stranger = folder_of(tmp_path, f'folder = "stranger"\n{SERVER}')
    stranger.complete()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, stranger.card().authority, "127.0.0.1")
    folder.renew(days=20)
    server.load_cert_chain(folder.keys / "front.crt", folder.keys / "front.key")
    handshake(server, authority, "127.0.0.1")


@pytest.mark.parametrize("text", [SITE, SERVER])
def test_keys_are_their_owners_alone_and_made_once(text: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, text)
    made = folder.complete()
    before = contents(folder.holder.folder)
    assert folder.complete() == [] and contents(folder.holder.folder) == before
    assert {path.stat().st_mode & 0o777 for path in (folder.holder.folder, folder.keys)} == {0o700}
    public = {"node.pub", "ca.crt", "front.crt", "card.json"}
    assert {path.name for path in made if path.stat().st_mode & 0o077} <= public
    assert {path.name for path in folder.holder.folder.rglob("*.*.new")} == set()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from common.holder import Holder
from common.key_folder import KeyFolder

file, command, *stages = sys.argv[1:]
folder = KeyFolder(Holder.read(Path(file)))
real = Path.replace
for left in map(int, stages):
    child = os.fork()
    if child == 0:
        def replace(self, target):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(self, target)
        Path.replace = replace
        getattr(folder, command)()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    root = folder.holder.folder
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    print(json.dumps([status, {str(path.relative_to(root)): path.read_bytes().hex() for path in files}]))
"""


def killed_after(file: Path, command: str, *stages: int) -> list[dict[str, str]]:
    """What is on disk each time that `command` was killed (kill -9) after so many writes took effect."""
    given = [sys.executable, "-c", KILLED, str(file), command, *map(str, stages)]
    root = Path(__file__).parents[2]
    done = subprocess.run(given, cwd=root, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [status for status, _ in found] == [-signal.SIGKILL] * len(stages)
    return [files for _, files in found]


@pytest.mark.parametrize(("text", "writes"), [(SITE, 4), (SERVER, 7)])
def test_killed_between_any_two_writes_the_next_call_completes(
    text: str, writes: int, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, text)
    before: dict[str, str] = {}
    stages = killed_after(tmp_path / "file.toml", "complete", 0, *[1] * (writes - 1))
    for count, whole in enumerate(stages):
        assert len(whole) == count and before.items() <= whole.items() and all(whole.values())
        before = whole
    assert len(folder.complete()) == 1
    after = {name: kept.hex() for name, kept in contents(folder.holder.folder).items()}
    assert before.items() <= after.items()
    assert folder.card().key == public_name(load_key(folder.identity)) and folder.complete() == []


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_rotation_killed_half_way_leaves_one_identity(writes: int, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SITE)
    folder.complete()
    old = folder.card()
    killed_after(tmp_path / "file.toml", "rotate", writes)
    folder.complete()
    card = folder.card()
    assert (card.key == old.key) == (writes < 2)
    assert card.key == public_name(load_key(folder.identity))
    if writes == 2:
        assert folder.retired() == [old]


def test_a_rotation_keeps_the_old_card_and_ends_agreements(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SITE)
    folder.complete()
    (folder.holder.folder / "agreed").mkdir()
    (folder.holder.folder / "agreed" / "x.json").write_text("{}")
    old, node = folder.card(), (folder.keys / "node").read_bytes()
    before, new = folder.rotate()
    assert before == old and new == folder.card() and new.key != old.key
    assert folder.retired() == [old] and (folder.keys / "node").read_bytes() == node
    assert list((folder.holder.folder / "agreed").iterdir()) == []


@pytest.mark.parametrize(("text", "lost"), [(SITE, "site.pem"), (SITE, "node"), (SERVER, "ca.pem")])
def test_a_lost_private_key_is_not_made_anew_in_silence(text: str, lost: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, text)
    folder.complete()
    (folder.keys / lost).unlink()
    with pytest.raises(InputError, match=f"{lost} is lost, .*restore it"):
        folder.complete()
    assert not (folder.keys / lost).exists()


def test_a_card_says_what_runs_out_and_what_changed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SERVER)
    folder.complete(days=29)
    assert len(folder.warnings(folder.card())) == 2
    folder.renew()
    assert folder.warnings(folder.card()) == []
    moved = folder_of(tmp_path, SERVER.replace("9443", "9555"))
    (warning,) = moved.warnings(moved.card())
    assert "address is 127.0.0.1:9555 now and 127.0.0.1:9443 on the card" in warning
    assert moved.renew().address == "127.0.0.1:9555"
    assert time.time() < moved.card().valid_until


def test_an_operators_own_authority_goes_on_the_card(tmp_path: Path) -> None:
    other = folder_of(tmp_path, f'folder = "other"\n{SERVER}')
    other.complete()
    text = SERVER + 'authority = "other/keys/ca.crt"\n'
    folder = folder_of(tmp_path, text)
    folder.complete()
    assert folder.card().authority == other.card().authority
    before = folder_of(tmp_path, SERVER)
    assert before.warnings(folder.card()) == [
        "the front's authority is another than on the card: fedmotion keys renew"
    ]
    with pytest.raises(InputError, match="is no certificate"):
        folder_of(tmp_path, SERVER + 'authority = "file.toml"\n').renew()


FULL = """
import resource, signal, sys
from pathlib import Path
from common.holder import Holder
from common.key_folder import KeyFolder
from common.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
    KeyFolder(Holder.read(Path(sys.argv[1]))).complete()
except InputError as error:
    print(error)
"""


def test_no_space_leaves_no_half_key(tmp_path: Path) -> None:
    """The system refuses to write more than 64 bytes: one line, and nothing under a key's name."""
    folder = folder_of(tmp_path, SITE)
    given = [sys.executable, "-c", FULL, str(tmp_path / "file.toml")]
    root = Path(__file__).parents[2]
    done = subprocess.run(given, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {folder.identity}") and done.stdout.count("\n") == 1
    assert not folder.identity.exists()
    assert folder.identity in folder.complete()


@pytest.mark.parametrize("place", ["file.toml/fed", "/proc/fedmotion"])
def test_a_folder_that_cannot_be_written_is_one_line(place: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SITE.replace('"fed"', f'"{place}"'))
    with pytest.raises(InputError, match="cannot write"):
        folder.complete()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where it may not")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, SITE)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot write"):
            folder.complete()
    finally:
        tmp_path.chmod(0o700)


def test_a_damaged_card_is_made_anew_and_a_damaged_key_is_named(tmp_path: Path) -> None:
    folder: Any = folder_of(tmp_path, SITE)
    folder.complete()
    folder.card_file.write_text("{")
    assert folder.complete() == [folder.card_file]
    assert Card.read(folder.card_file, "site") == folder.card()
    folder.identity.write_text("nothing")
    with pytest.raises(InputError, match="does not load"):
        folder.complete()
