"""A process of this machine: whose it is, that its number still means it, that it ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from common.errors import InputError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class OsUser:
    """A user of the operating system by number, with the groups that come by default."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def find(cls, name: str) -> Self:
        """The user called `name`, or numbered so; a number without an entry has the group of that number."""
        import pwd

        try:
            entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        except (KeyError, OverflowError):
            if name.isdecimal() and 0 < int(name) < 2**31:
                return cls(uid=int(name), gid=int(name))
            raise InputError(f"there is no user {name!r} on this machine: name one, or a number") from None
        groups = tuple(sorted(os.getgrouplist(entry.pw_name, entry.pw_gid)))
        return cls(uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)

    def become(self) -> None:
        """Turn this process into one of that user for good; no program that it starts gains more."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        forgo_privileges()

    def finds(self, question: Callable[[], bool]) -> bool:
        """The answer that this user gets to `question`, asked in a child process of theirs; as root only."""
        child = os.fork()
        if child == 0:
            code = 2
            try:
                self.become()
                code = int(question())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, 1):
            raise InputError(f"cannot act as user {self.uid}: start as root, or without users")
        return code == 1


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that stays the same one: its number, its start in clock ticks, and the machine's boot.

    Numbers are given out again; no two processes of one boot have number and start in common.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this number now; None where none has, or only its remains."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = _BOOT.read_text().strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid=pid, started=int(fields[19]), boot=boot)

    @classmethod
    def own(cls) -> Self:
        found = cls.of(os.getpid())
        if found is None:
            raise InputError("/proc is missing: processes are supervised on Linux alone")
        return found

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens once it has ended, whoever has its number now."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """On Linux, get signal `number` when the thread that started this process ends, however it ends.

    To be called after the last change of user, which would undo it.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def forgo_privileges() -> None:
    """No program that this process or its children start can be more than they are (setuid files)."""
    if sys.platform == "linux" and _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def ended(pid: int) -> bool:
    """Whether our child has ended; it is not reaped, so its number stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def end_session(leader: int, folder: Path) -> None:
    """SIGKILL to what works in `folder` and is of the session that process `leader` led, dead or alive."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            session = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            if session == leader and (place / "cwd").samefile(folder):
                os.kill(int(place.name), signal.SIGKILL)
        except OSError:
            continue
