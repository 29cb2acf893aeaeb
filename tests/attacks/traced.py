"""A child stopped at every system call that changes a file, and killed at a chosen one (x86-64 Linux)."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

Life = Callable[[Callable[[str], None]], None]
"""What the child does; it is given a function with which it tells the world something."""

_TRACEME, _PEEKUSER, _SYSCALL, _SETOPTIONS = 0, 3, 24, 0x4200
_OPTIONS = 1 | 0x100000  # TRACESYSGOOD, EXITKILL
_STOPPED = signal.SIGTRAP | 0x80
_NUMBER, _ARGUMENTS = 15, (14, 13, 12, 7)  # orig_rax; rdi, rsi, rdx, r10
_WRITES = {1: "write", 18: "pwrite64"}
_CALLS = {
    **_WRITES, 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename", 87: "unlink", 263: "unlinkat",
    264: "renameat", 316: "renameat2",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Call:
    """A system call about to change a file, or to tell the world; `path` where it names an open file."""

    name: str
    path: str
    content: bytes = b""
    offset: int = 0

    def tear(self) -> None:
        """What a machine that loses power in the middle of this write may leave: its first half."""
        with Path(self.path).open("r+b") as file:
            file.seek(self.offset)
            file.write(self.content[: len(self.content) // 2])


def require_tracing() -> None:
    """Skip the test where no process may be traced."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("system calls are traced on x86-64 Linux")
    child = os.fork()
    if child == 0:
        os._exit(0 if _ptrace(_TRACEME, 0, 0, 0) == 0 else 1)
    if os.waitpid(child, 0)[1] != 0:
        pytest.skip("ptrace is not allowed here")


def live(life: Life, kill_at: int | None = None, torn: bool = False) -> tuple[list[Call], list[str]]:
    """Run `life` in a child, killed at its `kill_at`-th call (from 0): its calls, and what it told."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_traced(life, writer)
    os.close(writer)
    calls: list[Call] = []
    os.waitpid(child, 0)
    _ptrace(_SETOPTIONS, child, 0, _OPTIONS)
    for call in _stops(child):
        if len(calls) == kill_at:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if torn and call.content and call.path.startswith("/"):
                call.tear()
            break
        calls.append(call)
    with os.fdopen(reader, "rb") as told:
        return calls, told.read().decode().splitlines()


def _be_traced(life: Life, writer: int) -> None:
    try:
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        life(lambda line: tell(writer, line))
    except BaseException:
        os._exit(1)
    os._exit(0)


def tell(writer: int, line: str) -> None:
    """Say a line to the world, which is at the other end of a pipe."""
    os.write(writer, f"{line}\n".encode())


def _stops(child: int) -> Iterator[Call]:
    """The watched calls of `child`, each before it happens; it must end well."""
    entering = True
    while True:
        _ptrace(_SYSCALL, child, 0, 0)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the child failed"
            return
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != _STOPPED:
            continue
        number = _ptrace(_PEEKUSER, child, 8 * _NUMBER, 0)
        if entering and number in _CALLS:
            yield _call(child, number)
        entering = not entering


def _call(child: int, number: int) -> Call:
    first, second, third, fourth = (_ptrace(_PEEKUSER, child, 8 * place, 0) for place in _ARGUMENTS)
    named = number in (*_WRITES, 74, 75, 77)
    path = str(Path(f"/proc/{child}/fd/{first}").readlink()) if named else ""
    if number not in _WRITES:
        return Call(name=_CALLS[number], path=path)
    with Path(f"/proc/{child}/mem").open("rb", buffering=0) as memory:
        memory.seek(second)
        content = memory.read(third)
    return Call(name=_CALLS[number], path=path, content=content, offset=fourth if number == 18 else 0)


def _ptrace(request: int, child: int, address: int, data: int) -> int:
    function = ctypes.CDLL(None).ptrace
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return int(function(request, child, address, data))
