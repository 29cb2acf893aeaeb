"""A ledger's book: the checked entries of its file, one signed head, one transaction at a time.

Every transaction first reads what others have written since, and goes on only if it
follows from what was read before; in memory is only what is committed.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client import ledger_file
from client.accounts import Accounts
from client.chain import DamageError, Entry, Tip, linked, write_entry
from common.errors import InputError, Refusal, RefusalCode
from common.signing import load_key, public_name
from common.witness import Head

_ENTRIES = "SELECT seq, body, salt, hash FROM entries WHERE seq > ? ORDER BY seq"
_TURN = 30.0
"""Seconds for which a gate that had let go of the ledger waits for its next turn."""


class Page:
    """The entries of one transaction, written but not yet committed."""

    def __init__(self, connection: sqlite3.Connection, tip: Tip) -> None:
        self._connection = connection
        self.tip = tip
        self.entries: list[Entry] = []

    def append(self, kind: str, attachment: bytes | None = None, **facts: Any) -> None:
        """Write an entry, with bytes beside it that it names by their digest."""
        entry = write_entry(self.tip, kind, facts)
        self._connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", entry)
        if attachment is not None:
            self._connection.execute("INSERT INTO attachments VALUES (?, ?)", (entry.seq, attachment))
        self.entries.append(entry)
        self.tip = Tip(entry.seq, entry.hash)

    def forget(self, seq: int) -> None:
        """Delete what is kept beside entry `seq`; the entry itself stays."""
        self._connection.execute("DELETE FROM attachments WHERE seq = ?", (seq,))


class Book:
    """An open ledger file: with a key to write, and as its gate or beside it; without one to read."""

    def __init__(self, path: Path, key: Ed25519PrivateKey | None, gate: bool) -> None:
        self.path = path
        self.gate = gate
        self.key = key
        self.tip = Tip()
        self.accounts = Accounts()
        self.signature = ""
        self.connection: sqlite3.Connection
        self._held: ExitStack | None = None
        self._mutex = threading.RLock()
        self._file = ledger_file.identity(path)
        self._connect(patience=0.0)

    def close(self) -> None:
        """Let go of the file and of the gate's lock; the next transaction takes them again."""
        with self._mutex:
            if self._held is not None:
                self._held.close()
            self._held = None

    def _connect(self, patience: float) -> None:
        with ExitStack() as held:
            if self.gate:
                held.enter_context(ledger_file.gate_lock(self.path, patience))
            self.connection = held.enter_context(closing(ledger_file.connect(self.path)))
            ledger_file.require_version(self.connection)
            if self.key is None:
                self.connection.execute("PRAGMA query_only = ON")
            else:
                ledger_file.harden(self.connection)
            self._log = ledger_file.identity(ledger_file.log_path(self.path))
            self._held = held.pop_all()

    def wake(self) -> None:
        """Take the ledger back after `close`, and read what others wrote meanwhile."""
        with self._mutex:
            if self._held is None:
                self._connect(_TURN)
                with self._snapshot():
                    self._catch_up()

    def check(self) -> None:
        """Check all of it; raises DamageError, closed, at the first thing that is not as it was written."""
        try:
            with self._mutex, self._snapshot():
                ledger_file.require_form(self.connection, self.path)
                self._catch_up()
                self._require_attachments()
        except ledger_file.UNREADABLE as error:
            self.close()
            how = "does not read" if isinstance(error, sqlite3.OperationalError) else "is damaged"
            raise DamageError(f"its file {how}: {error}") from None
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read one state of the file, whoever writes meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def _catch_up(self) -> None:
        """Read the entries after the tip, which must still be there, and the signature of the last."""
        if ledger_file.identity(self.path) != self._file:
            raise DamageError("another file was put in its place while it was open: stop the gate first")
        seq, hash = self.tip
        kept = self.connection.execute("SELECT hash FROM entries WHERE seq = ?", (seq,)).fetchone()
        if seq > 0 and kept != (hash,):
            raise DamageError(f"entry {seq} is gone or changed while it was open")
        for entry in linked(self.connection.execute(_ENTRIES, (seq,)), self.tip):
            self.accounts.apply(entry)
            self.tip = Tip(entry.seq, entry.hash)
        if self.tip.seq > seq or seq == 0:
            self._require_signature()

    def _require_signature(self) -> None:
        owner = self.accounts.owner
        if self.key is not None and public_name(self.key) != owner.key:
            raise DamageError("entry 1 names another key than the one beside the ledger")
        rows = self.connection.execute("SELECT id, signature FROM head").fetchall()
        if len(rows) != 1 or rows[0][0] != 1:
            raise DamageError("its head is not one signature")
        if not attested_head(owner.key, owner.site, self.tip.hash, rows[0][1]):
            raise DamageError(f"entry {self.tip.seq} is not the last that the site signed")
        self.signature = rows[0][1]

    def _require_attachments(self) -> None:
        """What is kept beside the entries is what they name, no more and no less."""
        rows = self.connection.execute("SELECT seq, content FROM attachments ORDER BY seq")
        found = {seq: hashlib.sha256(content).hexdigest() for seq, content in rows}
        for seq in sorted(found.keys() | self.accounts.attachments.keys()):
            if found.get(seq) != self.accounts.attachments.get(seq):
                raise DamageError(f"what entry {seq} keeps was changed")

    def attachment(self, seq: int) -> bytes:
        """The bytes kept beside entry `seq`; raises DamageError if they are not those it names."""
        row = self.connection.execute("SELECT content FROM attachments WHERE seq = ?", (seq,)).fetchone()
        if row is None or hashlib.sha256(row[0]).hexdigest() != self.accounts.attachments.get(seq):
            raise DamageError(f"what entry {seq} keeps was changed")
        return bytes(row[0])

    def entries(self) -> list[Entry]:
        """Every entry up to the tip, in order."""
        rows = self.connection.execute(f"{_ENTRIES} LIMIT ?", (0, self.tip.seq))
        return [*linked(rows, Tip())]

    @contextmanager
    def transaction(self) -> Iterator[Page]:
        """Write entries, all or none, on disk when this returns; Refusal(UNAVAILABLE) where that fails."""
        with self._mutex:
            try:
                self.wake()
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    self._catch_up()
                    page = Page(self.connection, self.tip)
                    yield page
                    self._end(page)
                except BaseException:
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
                    raise
            except (*ledger_file.UNREADABLE, OSError, DamageError) as error:
                raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {self.path}: {error}") from None

    def _end(self, page: Page) -> None:
        signature = self.signature
        if page.entries:
            signature = self.sign(page.tip.hash).signature
            self.connection.execute("UPDATE head SET signature = ?", (signature,))
        self.connection.execute("COMMIT")
        self.require_in_place()
        self.signature = signature
        for entry in page.entries:
            self.accounts.apply(entry)
        self.tip = page.tip

    def require_in_place(self) -> None:
        """Raise DamageError where the open files are no longer those on disk.

        SQLite writes on to a file that was deleted or replaced, and to a deleted log: the
        charge would be gone at the next start, and its release sent.
        """
        log = ledger_file.identity(ledger_file.log_path(self.path))
        logged = self.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if self._log is None:
            self._log = log
        lost = logged and (log is None or log != self._log)
        if lost or ledger_file.identity(self.path) != self._file:
            raise DamageError("it or its log was deleted or replaced while it was open: restore its backup")

    def sign(self, hash: bytes) -> Head:
        if self.key is None:
            raise DamageError("it was opened to be read")
        return Head.sign(self.key, self.accounts.owner.site, hash.hex())


def open_book(path: Path, gate: bool) -> Book:
    """The checked ledger at `path`, to write in; a missing or damaged one is UNAVAILABLE, never made anew."""
    if not path.is_file():
        way = "restore it from its backup"
        if not ledger_file.key_path(path).exists():
            way += "; a new site, which never had one, makes it with fedmotion ledger init"
        raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {path} is missing: {way}")
    try:
        book = Book(path, load_key(ledger_file.key_path(path)), gate)
        book.check()
    except (*ledger_file.UNREADABLE, DamageError, InputError) as error:
        raise Refusal(
            RefusalCode.UNAVAILABLE,
            f"ledger {path} is refused: {error}; if the disk is sound, restore its newest backup",
        ) from None
    return book


def attested_head(public: str, site: str, hash: bytes, signature: object) -> bool:
    """Whether `signature`, as it was found, is the site's over `hash`."""
    if not isinstance(signature, str) or len(signature) != 128:
        return False
    try:
        return Head(hash=hash.hex(), signature=signature).signed_by(public, site)
    except InputError:
        return False
