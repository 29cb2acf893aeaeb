"""The file of a ledger: its SQLite schema, its durability, the checks of its form, and its key beside it.

`LEDGER.key` is the site's Ed25519 key; a gate holds a lock on it for as long as it is
open, so that one ledger has one gate. Both files are their owner's alone, and are backed
up together.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.chain import DamageError
from common.errors import InputError, Refusal, RefusalCode
from common.signing import create_key
from common.storage import locked, writing

VERSION = 2
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; Python decodes even SQLite's own words about it."""
_APPLICATION = 0x666D6C67
_SCHEMA = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, body TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE attachments (seq INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), signature TEXT NOT NULL) STRICT;
CREATE VIEW charges AS SELECT
    seq AS id, json_extract(body, '$.plan') AS plan, json_extract(body, '$.round') AS round,
    json_extract(body, '$.digest') AS digest, json_extract(body, '$.noise_multiplier') AS noise_multiplier,
    json_extract(body, '$.sampling_rate') AS sampling_rate, json_extract(body, '$.count') AS count,
    json_extract(body, '$.multiplicity') AS multiplicity
    FROM entries WHERE json_extract(body, '$.kind') = 'charged'
"""
_FORM = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"


def key_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.key")


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=30,
        check_same_thread=False,
    )


def harden(connection: sqlite3.Connection) -> None:
    """Commits are on disk when they return, and what is deleted leaves the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA secure_delete = ON")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at `path`: (device, inode), or None."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def log_path(path: Path) -> Path:
    """SQLite's write-ahead log beside the ledger at `path`."""
    return path.with_name(f"{path.name}-wal")


def require_version(connection: sqlite3.Connection) -> None:
    """Raise DamageError unless the file is a ledger of this version; it is not touched."""
    numbers = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    ]
    if numbers != [_APPLICATION, VERSION]:
        raise DamageError(f"it is no ledger of version {VERSION}")


def require_form(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamageError unless the file is whole, with this version's schema and no other."""
    require_version(connection)
    _require_length(connection, path)
    if connection.execute(_FORM).fetchall() != _form():
        raise DamageError("its schema was changed")
    found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise DamageError(f"its file is damaged: {found}")


def _require_length(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite reads what is missing of the last page as zeros. With a write-ahead log the length is open."""
    log = log_path(path)
    if log.exists() and log.stat().st_size > 0:
        return
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if path.stat().st_size != pages * size:
        raise DamageError(f"its file has {path.stat().st_size} bytes of {pages * size}")


@cache
def _form() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return connection.execute(_FORM).fetchall()


@contextmanager
def gate_lock(path: Path, patience: float) -> Iterator[None]:
    """Be the only gate of the ledger at `path`; Refusal(UNAVAILABLE) after `patience` seconds."""
    with _opened(key_path(path)) as descriptor:
        if not locked(descriptor, patience):
            raise Refusal(
                RefusalCode.UNAVAILABLE, f"ledger {path} is open in another gate: stop that one first"
            )
        yield


def make(path: Path, write: Callable[[sqlite3.Connection, Ed25519PrivateKey], None]) -> None:
    """A new ledger with its key, whole or not at all; `write` writes its first entry.

    Raises InputError where there is a ledger, or a key whose ledger is gone.
    """
    unfinished, unfinished_key = (p.with_name(f".{p.name}.new") for p in (path, key_path(path)))
    with writing(path), _opened(path.parent) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _require_none(path, started=unfinished.exists())
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
        unfinished_key.unlink(missing_ok=True)
        key = create_key(unfinished_key)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(connect(unfinished)) as connection:
                connection.executescript(f"PRAGMA synchronous = FULL; BEGIN; {_SCHEMA};")
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                write(connection, key)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise InputError(f"cannot write {path}: {error}; free space or choose another --out") from None
        unfinished_key.replace(key_path(path))
        os.fsync(folder)
        unfinished.replace(path)
        os.fsync(folder)


def _require_none(path: Path, started: bool) -> None:
    """Raise InputError where a ledger is, or was; what a killed making left (it had `started`) is neither."""
    if path.exists():
        raise InputError(f"ledger {path} exists: a ledger is never made anew over an old one")
    if started:
        key_path(path).unlink(missing_ok=True)
    elif key_path(path).exists():
        raise InputError(f"ledger {path} is missing but its key is there: restore the ledger from its backup")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
