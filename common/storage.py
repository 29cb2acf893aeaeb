"""Writing files so that a crash leaves the old content or the new, never half of it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import InputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` (full disk, missing permission) into one line for the user."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot write {path}: {reason}; free space or choose another --out or folder"
        ) from None


def write_atomically(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace `path` by `content`, on disk when this returns; InputError where that fails.

    `mode` bounds who may read it (the umask takes away further rights).
    """
    temporary = path.with_name(f".{path.name}.new")
    with writing(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by `value` as readable JSON."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(
    path: Path,
    missing: str = "is this a run folder?",
    damaged: str = "restore the run folder or run again",
) -> dict[str, Any]:
    """The JSON object at `path`; InputError saying the way out where it is `missing` or `damaged`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: {missing}") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: {damaged}")
    return value


@contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`; InputError when another process holds it for longer than `patience` seconds.

    The operating system frees the lock when its holder ends, however it ends.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked(descriptor, patience):
            raise InputError(f"another process is at work in {path.parent}: wait for it, or stop it")
        yield
    finally:
        os.close(descriptor)


def locked(descriptor: int, patience: float) -> bool:
    """Whether an open file could be locked for this process alone within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


def held(path: Path) -> bool:
    """Whether some process holds the lock file `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
