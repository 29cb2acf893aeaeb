"""As whom a site's two processes run: the messenger carries a stranger's code and must not reach the people.

Started as root, gate and messenger become two users, and the site does not start where the messenger's could
read data, ledger or identity, or change what says whom the gate answers. The questions are asked of the
operating system in a process of that user, default groups included.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.federation import Outline, Places
from common.errors import InputError
from common.process import OsUser

READ, WRITE, ENTER = os.R_OK, os.W_OK, os.X_OK


@dataclass(frozen=True, kw_only=True)
class Runners:
    """The users of the two processes; None: whoever starts them."""

    gate: OsUser | None = None
    messenger: OsUser | None = None

    @property
    def apart(self) -> bool:
        return self.gate is not None


def users_of(outline: Outline) -> Runners:
    """As whom the processes are to run; InputError where root would run them without being told to."""
    table, own = outline.federation, os.geteuid()
    named = (table.gate_user, table.messenger_user)
    if own != 0:
        if any(name is not None and OsUser.find(str(name)).uid != own for name in named):
            raise InputError(
                f"{outline.file} names gate_user and messenger_user: only root can start a site under two"
                " users; start it as root, or leave the two keys out"
            )
        return Runners()
    if None in named:
        if table.allow_root and named == (None, None):
            return Runners()
        raise InputError(
            f"started as root, and {outline.file} lacks gate_user and messenger_user in [federation]: name"
            " two users, or set allow_root = true to run both as root"
        )
    gate, messenger = (OsUser.find(str(name)) for name in named)
    if 0 in (gate.uid, messenger.uid) or gate.uid == messenger.uid:
        raise InputError("gate_user and messenger_user must be two users, and neither of them root")
    return Runners(gate=gate, messenger=messenger)


def prepare_folders(places: Places, users: Runners) -> None:
    """Make the folders that the processes need, each its owner's; InputError where one was another user's."""
    group = None if users.messenger is None else users.messenger.gid
    for folder in (places.run, places.logs):
        _own(folder, 0o755)
    _own(places.words, 0o700, users.gate)
    _own(places.gate, 0o2750, users.gate, group)
    if users.messenger is not None and places.flower.exists():
        if places.flower.stat().st_uid != users.messenger.uid:
            raise InputError(f"{places.flower} is of another user than messenger_user: remove it")
    else:
        _own(places.flower, 0o700, users.messenger)


def hand_over(outline: Outline, users: Runners) -> None:
    """Give each of the two users the files that are theirs alone, and a way to them past everyone else's."""
    if users.gate is None or users.messenger is None:
        return
    places = outline.places
    ledger_key = outline.ledger.with_name(f"{outline.ledger.name}.key")
    owned = {path: users.gate for path in (places.identity, outline.ledger, ledger_key)}
    for path, user in {**owned, places.node_key: users.messenger}.items():
        if path.is_file() and path.lstat().st_uid == 0:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
            path.chmod(0o600)
    for folder in (places.folder, places.identity.parent):
        folder.chmod(folder.stat().st_mode | 0o011)
    if places.agreed.is_dir():
        places.agreed.chmod(0o755)


def require_apart(outline: Outline, users: Runners) -> None:
    """InputError naming the first file that one of the two users reaches and should not, or does not."""
    if users.gate is None or users.messenger is None:
        return
    places = outline.places
    needs = (outline.file, places.identity, places.coordinator, outline.ledger)
    _require(users.gate, "the gate's user", needs, READ, lacks=True)
    _require(users.gate, "the gate's user", (outline.ledger, outline.ledger.parent), WRITE, lacks=True)
    _require(users.messenger, "the messenger's user", (places.node_key,), READ, lacks=True)
    _require(users.messenger, "the messenger's user", (places.gate,), ENTER, lacks=True)
    _require(users.messenger, "the messenger's user", outline.private(), READ)
    folders = [path for path in outline.private() if path.is_dir()]
    _require(users.messenger, "the messenger's user", folders, ENTER)
    _require(users.messenger, "the messenger's user", outline.guarded(), WRITE)


def require_programs(users: Runners) -> Path:
    """Flower's SuperNode; InputError where it is not installed, or one of the users cannot run Python."""
    program = Path(sys.executable)
    for user, name in ((users.gate, "the gate's user"), (users.messenger, "the messenger's user")):
        if user is not None:
            _require(user, name, (program.parent, program), ENTER, lacks=True)
    found = shutil.which("flower-supernode", path=str(Path(sys.executable).parent))
    if found is None:
        raise InputError("flower-supernode is missing: install fedmotion with its dependencies")
    return Path(found)


def _require(user: OsUser, name: str, paths: Sequence[Path], mode: int, *, lacks: bool = False) -> None:
    """That `user` has access to all of `paths` (`lacks`), or to none."""

    def reached(path: Path) -> Callable[[], bool]:
        return lambda: os.access(path, mode)

    verb = {READ: "read", WRITE: "change", ENTER: "enter or run"}[mode]
    for path in paths:
        if not lacks and user.finds(reached(path)):
            raise InputError(f"{name} ({user.uid}) can {verb} {path}: take that right away (chmod, chown)")
        if lacks and not user.finds(reached(path)):
            raise InputError(f"{name} ({user.uid}) cannot {verb} {path}: give it that right (chown, chmod)")


def _own(folder: Path, mode: int, user: OsUser | None = None, group: int | None = None) -> None:
    """`folder`, made where it is missing, with that mode and owner."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(folder, user.uid, user.gid if group is None else group)
        folder.chmod(mode)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror or error}") from None
