"""T18: the user under whom a stranger's ClientApp runs cannot read data, ledger or identity.

As root alone, with numbers that no user of the machine has.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from client import privilege
from client.crew import crew
from client.federation import Outline
from client.privilege import Runners
from common.errors import InputError
from common.supervision import Supervisor
from tests.started import StartedSite

GATE, MESSENGER = 64001, 64002
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
PROBE = """
echo uid $(id -u), groups $(id -G)
for path in "$@"; do
    if test -d "$path"; then look=ls; else look=cat; fi
    $look "$path" > /dev/null 2>&1 && echo "read $path"
done
exit 7
"""


@contextmanager
def two_users() -> Iterator[StartedSite]:
    """A site of two users in a folder that everyone may enter: pytest's own are closed to all but root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp(prefix="fm-users-"))
    try:
        folder.chmod(0o755)
        users = f"gate_user = {GATE}\nmessenger_user = {MESSENGER}"
        site = StartedSite.make(folder, federation=users)
        for name in ("private", "recordings"):
            os.chown(folder / name, GATE, GATE)
            (folder / name).chmod(0o700)
        yield site
    finally:
        shutil.rmtree(folder)


def prepared(outline: Outline) -> Runners:
    users = privilege.users_of(outline)
    privilege.prepare_folders(outline.places, users)
    privilege.hand_over(outline, users)
    return users


def check_the_messenger_reads_nothing(_: Path) -> None:
    """What stands where the SuperNode would, started as it is, tries to read all that is not its own."""
    with two_users() as site:
        outline = site.outline
        users = prepared(outline)
        secrets = [*outline.private(), *(outline.ledger.parent.iterdir()), outline.places.logs / "gate.log"]
        secrets += list((site.folder / "recordings").rglob("*"))
        own = outline.places.node_key
        supernode = crew(outline, users, Path("/bin/sh"))[1]
        command = ("/bin/sh", "-c", PROBE, "sh", *map(str, secrets), str(own))
        probe = replace(supernode, command=command, arguments=tuple, after=(), final=(7,))
        (outline.places.logs / "gate.log").write_text("Ann\n")
        (outline.places.logs / "gate.log").chmod(0o600)
        assert Supervisor([probe], outline.places.run).run() == 7
        said = probe.log.read_text()
        assert f"uid {MESSENGER}, groups {MESSENGER}" in said
        assert f"read {own}" in said, "vacuous: it read nothing at all"
        assert [path for path in secrets if f"read {path}\n" in said] == []


def test_the_messengers_user_finds_the_courier_first_whatever_its_starters_umask() -> None:
    with two_users() as site:
        outline = site.outline
        users, before = prepared(outline), os.umask(0o077)
        try:
            supernode = crew(outline, users, Path("/bin/sh"))[1]
        finally:
            os.umask(before)
        command = ("/bin/sh", "-c", "command -v flower-superexec; exit 7")
        probe = replace(supernode, command=command, arguments=tuple, after=(), final=(7,))
        assert Supervisor([probe], outline.places.run).run() == 7
        assert str(outline.places.programs / "flower-superexec") in probe.log.read_text()


def readable_data(site: StartedSite) -> None:
    (site.folder / "recordings").chmod(0o755)


def readable_through_a_group(site: StartedSite) -> None:
    os.chown(site.folder / "recordings", GATE, MESSENGER)
    (site.folder / "recordings").chmod(0o750)


def readable_ledger(site: StartedSite) -> None:
    (site.folder / "private").chmod(0o755)
    os.chown(site.outline.ledger, GATE, GATE)
    site.outline.ledger.chmod(0o644)


def readable_identity(site: StartedSite) -> None:
    os.chown(site.places.identity, MESSENGER, MESSENGER)


def writable_card(site: StartedSite) -> None:
    os.chown(site.places.coordinator, MESSENGER, MESSENGER)


def writable_site_file(site: StartedSite) -> None:
    site.file.chmod(0o666)


def blind_gate(site: StartedSite) -> None:
    os.chown(site.folder / "private", 0, 0)


SPOILT: list[Callable[[StartedSite], None]] = [
    readable_data, readable_through_a_group, readable_ledger, readable_identity,
    writable_card, writable_site_file, blind_gate,
]  # fmt: skip


def check_what_it_could_read_is_refused(_: Path) -> None:
    for spoil in SPOILT:
        with two_users() as site:
            spoil(site)
            try:
                privilege.require_apart(site.outline, prepared(site.outline))
            except InputError:
                continue
            raise AssertionError(spoil.__name__)


def test_the_messengers_user_reads_neither_data_nor_ledger_nor_keys(tmp_path: Path) -> None:
    check_the_messenger_reads_nothing(tmp_path)


def test_a_site_does_not_start_where_the_messenger_could_read_or_change_it(tmp_path: Path) -> None:
    check_what_it_could_read_is_refused(tmp_path)


@as_root
@pytest.mark.parametrize(
    ("federation", "said"),
    [
        ("", "lacks gate_user and messenger_user"),
        ("gate_user = 64001", "lacks gate_user and messenger_user"),
        ("gate_user = 64001\nallow_root = true", "lacks gate_user and messenger_user"),
        ("gate_user = 64001\nmessenger_user = 64001", "two users"),
        ("gate_user = 0\nmessenger_user = 64001", "neither of them root"),
        ('gate_user = "no-such"\nmessenger_user = 64001', "no user 'no-such'"),
    ],
)
def test_root_runs_a_site_only_as_it_is_told_to(tmp_path: Path, federation: str, said: str) -> None:
    outline = StartedSite.make(tmp_path, federation=federation).outline
    with pytest.raises(InputError, match=said):
        privilege.users_of(outline)


@as_root
def test_root_may_run_both_where_the_file_allows_it(tmp_path: Path) -> None:
    assert privilege.users_of(StartedSite.make(tmp_path).outline) == Runners()
