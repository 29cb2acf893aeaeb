"""The site's ledger: what every person here has been charged, kept on disk before any data are read.

SQLite with synchronous=FULL. Accepting a plan reserves its whole multiset of events
against the lifetime budget; what is not used is not refunded. Across plans epsilon and
delta add. A charge is written first, the release's final bytes before they are sent,
and once only: of several gates that answer one query, one stores and the others refuse.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common.accounting import epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.query import NEIGHBOURING, Plan, PrivacyEvent, Query, Unit

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE owner (
    id INTEGER PRIMARY KEY CHECK (id = 1), site TEXT NOT NULL, unit TEXT NOT NULL,
    neighbouring TEXT NOT NULL, epsilon REAL NOT NULL, delta REAL NOT NULL
) STRICT;
CREATE TABLE plans (
    digest TEXT PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, plan TEXT NOT NULL,
    arrays BLOB NOT NULL, epsilon REAL NOT NULL, delta REAL NOT NULL
) STRICT;
CREATE TABLE charges (
    id INTEGER PRIMARY KEY AUTOINCREMENT, plan TEXT NOT NULL REFERENCES plans (digest),
    round INTEGER NOT NULL, digest TEXT NOT NULL, noise_multiplier REAL NOT NULL,
    sampling_rate REAL NOT NULL, count INTEGER NOT NULL, payload BLOB, UNIQUE (plan, digest)
) STRICT;
PRAGMA user_version = {_VERSION}
"""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A person's lifetime budget at this site, over every run."""

    epsilon: float
    delta: float


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One paid round; `payload` holds the final bytes once they are on disk."""

    id: int
    round: int
    payload: bytes | None


class Ledger:
    """An open ledger; use as a context manager, so that no write-ahead log stays behind."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self._files = {path: _identity(path)}

    @classmethod
    def create(cls, path: Path, site: str, unit: Unit, budget: Budget) -> Self:
        """A new, empty ledger; raises InputError where one exists: a budget is never reset."""
        if path.exists():
            raise InputError(f"ledger {path} exists: a ledger is never made anew over an old one")
        ledger = cls(_connect(path, "rwc"), path)
        _harden(ledger._connection)
        with ledger._transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO owner VALUES (1, ?, ?, ?, ?, ?)",
                (site, unit, NEIGHBOURING, budget.epsilon, budget.delta),
            )
        return ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing ledger; a missing or foreign file is refused, never recreated."""
        if not path.is_file():
            raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {path} is missing: restore it from its backup")
        try:
            connection = _connect(path, "rw")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION:
                _harden(connection)
        except sqlite3.Error as error:
            raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {path} does not open: {error}") from None
        if version != _VERSION:
            connection.close()
            raise Refusal(RefusalCode.UNAVAILABLE, f"{path} is no ledger of version {_VERSION}")
        return cls(connection, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def site(self) -> str:
        return str(self._connection.execute("SELECT site FROM owner").fetchone()[0])

    @property
    def unit(self) -> str:
        return str(self._connection.execute("SELECT unit FROM owner").fetchone()[0])

    @property
    def budget(self) -> Budget:
        row = self._connection.execute("SELECT epsilon, delta FROM owner").fetchone()
        return Budget(epsilon=row[0], delta=row[1])

    def reserve(self, plan: Plan, arrays: bytes) -> None:
        """Reserve all of `plan` and keep it with its public arrays; accepting it again changes nothing.

        Raises Refusal(BUDGET_EXHAUSTED) when the sums would pass the budget, and
        Refusal(POLICY) for another unit or a second plan under one run.
        """
        digest = plan.digest()
        cost = epsilon([plan.reserved()], plan.delta)
        with self._transaction() as connection:
            known = connection.execute("SELECT digest FROM plans WHERE run_id = ?", (plan.run_id,)).fetchone()
            if known is not None:
                if known[0] == digest:
                    return
                raise Refusal(RefusalCode.POLICY, f"run {plan.run_id} already has another plan here")
            if plan.unit != self.unit:
                raise Refusal(RefusalCode.POLICY, f"the ledger's unit is {self.unit}, not {plan.unit}")
            self._require_room(cost, plan.delta)
            connection.execute(
                "INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?)",
                (digest, plan.run_id, plan.to_json(), arrays, cost, plan.delta),
            )

    def _require_room(self, cost: float, delta: float) -> None:
        used = self._connection.execute(
            "SELECT coalesce(sum(epsilon), 0), coalesce(sum(delta), 0) FROM plans"
        ).fetchone()
        budget = self.budget
        fits = used[0] + cost <= budget.epsilon and math.fsum([used[1], delta]) <= budget.delta * (1 + 1e-9)
        if not fits:  # also where a sum is not a number
            raise Refusal(
                RefusalCode.BUDGET_EXHAUSTED,
                f"the plan costs epsilon {cost:.4g} at delta {delta:.3g} on top of {used[0]:.4g} reserved;"
                f" the budget is {budget.epsilon:.4g} at {budget.delta:.3g}",
            )

    def plan(self, digest: str) -> tuple[Plan, bytes]:
        """An accepted plan and its arrays; raises Refusal(UNKNOWN_PLAN)."""
        row = self._connection.execute(
            "SELECT plan, arrays FROM plans WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None:
            raise Refusal(RefusalCode.UNKNOWN_PLAN, "no such plan was accepted here")
        return Plan.from_json(row[0]), row[1]

    def charge(self, query: Query, digest: str, event: PrivacyEvent) -> Charge:
        """Charge one round, on disk when this returns.

        The latest digest again returns its charge, with the stored bytes if they were
        written (if not, nothing was sent, and the charge serves once more); an older one
        raises Refusal(STALE). Raises Refusal(BUDGET_EXHAUSTED) past the plan's
        reservation.
        """
        with self._transaction() as connection:
            latest = connection.execute(
                "SELECT id, round, digest, payload FROM charges WHERE plan = ? ORDER BY id DESC LIMIT 1",
                (query.plan_digest,),
            ).fetchone()
            if latest is not None and latest[2] == digest:
                return Charge(id=latest[0], round=query.round, payload=latest[3])
            if (latest is not None and query.round < latest[1]) or self._charged(query, digest):
                raise Refusal(RefusalCode.STALE, f"round {query.round} was answered already")
            self._require_reserved(query.plan_digest, event)
            connection.execute(
                "UPDATE charges SET payload = x'' WHERE plan = ? AND payload IS NOT NULL",
                (query.plan_digest,),
            )
            cursor = connection.execute(
                "INSERT INTO charges (plan, round, digest, noise_multiplier, sampling_rate, count)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (query.plan_digest, query.round, digest, *_columns(event)),
            )
            return Charge(id=int(cursor.lastrowid or 0), round=query.round, payload=None)

    def _charged(self, query: Query, digest: str) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM charges WHERE plan = ? AND digest = ?", (query.plan_digest, digest)
        ).fetchone()
        return row is not None

    def _require_reserved(self, plan_digest: str, event: PrivacyEvent) -> None:
        plan, _ = self.plan(plan_digest)
        reserved = plan.reserved()
        used = sum(spent.count for spent in self.events(plan_digest))
        same = (event.noise_multiplier, event.sampling_rate) == (
            reserved.noise_multiplier,
            reserved.sampling_rate,
        )
        if not same or used + event.count > reserved.count:
            raise Refusal(
                RefusalCode.BUDGET_EXHAUSTED,
                f"{used} of the plan's {reserved.count} steps are spent, {event.count} more do not fit",
            )

    def store(self, charge: Charge, payload: bytes) -> None:
        """Keep the final bytes of `charge`, on disk when this returns, before they are sent.

        Raises Refusal(UNAVAILABLE) where they were written already, by another gate on
        this ledger: a charge never covers two releases. Replaced bytes leave an empty
        payload behind, so that a slow gate cannot take the charge for one never used.
        """
        with self._transaction() as connection:
            cursor = connection.execute(
                "UPDATE charges SET payload = ? WHERE id = ? AND payload IS NULL", (payload, charge.id)
            )
            if cursor.rowcount != 1:
                raise Refusal(RefusalCode.UNAVAILABLE, f"charge {charge.id} was answered meanwhile")

    def events(self, plan_digest: str | None = None) -> list[PrivacyEvent]:
        """What has been charged (under one plan, or under all), in canonical order."""
        rows = self._connection.execute(
            "SELECT noise_multiplier, sampling_rate, sum(count) FROM charges"
            " WHERE ?1 IS NULL OR plan = ?1 GROUP BY 1, 2 ORDER BY 1, 2",
            (plan_digest,),
        )
        return [PrivacyEvent(noise_multiplier=z, sampling_rate=q, count=count) for z, q, count in rows]

    def _require_in_place(self) -> None:
        """Raise Refusal(UNAVAILABLE) where the open files are no longer those on disk.

        SQLite writes on to a file that was deleted or replaced, and to a deleted
        write-ahead log: the charge would be gone at the next start, the release sent.
        """
        log = self.path.with_name(self.path.name + "-wal")
        lost = self._files.setdefault(log, _identity(log)) is None and self._logged()
        if lost or any(_identity(path) != known for path, known in self._files.items()):
            raise Refusal(
                RefusalCode.UNAVAILABLE,
                f"ledger {self.path} or its log was deleted or replaced while open: restore its backup",
            )

    def _logged(self) -> bool:
        return str(self._connection.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
                self._require_in_place()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {self.path}: {error}") from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _columns(event: PrivacyEvent) -> tuple[float, float, int]:
    return event.noise_multiplier, event.sampling_rate, event.count


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=30,
        check_same_thread=False,
    )


def _harden(connection: sqlite3.Connection) -> None:
    """Commits are on disk when they return, and what is deleted leaves the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
