"""The site's ledger: what every person here has been charged, kept on disk before any data are read.

Every change is one entry of a hash chain, committed with synchronous=FULL, and the last entry's hash is
signed with the site's key. Opening a ledger checks all of it. Accepting a plan reserves its whole
multiset of events against the lifetime budget; what is not used is not refunded. A charge is written
first, the release's final bytes before they are sent, and once only: of several gates that answer one
query, one stores and the others refuse. One process holds a ledger as its gate; whoever withdraws a
person meanwhile writes beside it.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client import ledger_file
from client.accounts import Account, Accounts, Budget, Withdrawal
from client.book import Book, open_book
from client.chain import DamageError, Entry, Tip, write_entry
from client.transcript import require_one_view
from client.withdrawal import Tombstones
from common.accounting import epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.event import NEIGHBOURING, PrivacyEvent, Unit
from common.plan import Plan
from common.query import Query, is_name
from common.signing import public_name
from common.witness import Head

__all__ = ["Budget", "Charge", "DamageError", "Ledger", "Withdrawal"]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One paid round, the `id`-th of its plan; `payload` holds the final bytes once they are on disk.

    `tombstones` are of the people whom its answer leaves out, the same at every repeat.
    """

    id: int
    plan: str
    round: int
    payload: bytes | None
    tombstones: Tombstones = field(default_factory=Tombstones)


class Ledger:
    """An open ledger; use as a context manager, so that no write-ahead log stays behind."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.path = book.path

    @classmethod
    def create(cls, path: Path, site: str, unit: Unit, budget: Budget) -> Self:
        """A new ledger, opened for its gate; see `make`."""
        cls.make(path, site, unit, budget)
        return cls.open(path)

    @staticmethod
    def make(path: Path, site: str, unit: Unit, budget: Budget) -> None:
        """Write a new ledger; InputError where one exists or was lost: a budget is never reset."""
        if not is_name(site):
            raise InputError(f"site is {site!r}: it must be 1 to 64 letters, digits, '.', '_' or '-'")

        def write(connection: sqlite3.Connection, key: Ed25519PrivateKey) -> None:
            facts = {
                "site": site, "unit": unit, "neighbouring": NEIGHBOURING, "key": public_name(key),
                "epsilon": _finite(budget.epsilon), "delta": budget.delta,
            }  # fmt: skip
            entry = write_entry(Tip(), "created", facts)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", entry)
            signature = Head.sign(key, site, entry.hash.hex()).signature
            connection.execute("INSERT INTO head VALUES (1, ?)", (signature,))

        ledger_file.make(path, write)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger for its one gate; a missing, foreign or damaged one is refused, never recreated."""
        return cls(open_book(path, gate=True))

    @classmethod
    def beside(cls, path: Path) -> Self:
        """The ledger to withdraw people in, whether a gate has it open or not."""
        return cls(open_book(path, gate=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The ledger to look at, without its key, whether a gate has it open or not.

        Raises DamageError if anything in it was changed.
        """
        if not path.is_file():
            raise InputError(f"there is no ledger {path}: make a new site's with fedmotion ledger init")
        try:
            book = Book(path, None, gate=False)
            book.check()
        except (*ledger_file.UNREADABLE, DamageError) as error:
            raise DamageError(f"ledger {path}: {error}") from None
        return cls(book)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._book.close()

    def rest(self) -> None:
        """Leave the ledger to other processes until this one charges again, which takes it back."""
        self._book.close()

    @property
    def accounts(self) -> Accounts:
        """What the entries add up to."""
        return self._book.accounts

    @property
    def site(self) -> str:
        return self.accounts.owner.site

    @property
    def unit(self) -> str:
        return self.accounts.owner.unit

    @property
    def budget(self) -> Budget:
        return self.accounts.owner.budget

    @property
    def key(self) -> str:
        """The ledger's public key in hexadecimal."""
        return self.accounts.owner.key

    @property
    def tip(self) -> Tip:
        """Number and hash of the newest entry."""
        return self._book.tip

    def signature(self) -> str:
        """The site's signature over the newest entry's hash."""
        return self._book.signature

    def entries(self) -> list[Entry]:
        """Every entry, in order."""
        return self._book.entries()

    def head(self, plan_digest: str) -> Head:
        """The hash of the plan's newest reservation or release, signed: for its coordinator alone."""
        return self._book.sign(self.accounts.plan(plan_digest).head)

    def reserve(self, plan: Plan, arrays: bytes) -> None:
        """Reserve all of `plan` and keep it with its public arrays; accepting it again changes nothing.

        Raises Refusal(BUDGET_EXHAUSTED) when the sums would pass the budget, and
        Refusal(POLICY) for another unit or a second plan under one run.
        """
        digest = plan.digest()
        cost = epsilon([plan.reserved()], plan.delta)
        self._require_gate()
        with self._book.transaction() as page:
            if not self.accounts.has_to_reserve(plan, digest, cost):
                return
            page.append(
                "reserved",
                arrays,
                plan=digest,
                terms=plan.to_json(),
                epsilon=_finite(cost),
                delta=plan.delta,
                arrays=hashlib.sha256(arrays).hexdigest(),
            )

    def plan(self, digest: str) -> tuple[Plan, bytes]:
        """An accepted plan and its arrays; raises Refusal(UNKNOWN_PLAN)."""
        with self._reading():
            account = self.accounts.plan(digest)
            return account.plan, self._book.attachment(account.seq)

    def charge(self, query: Query, digest: str, event: PrivacyEvent) -> Charge:
        """Charge one round, on disk when this returns.

        The latest digest again returns its charge, with the stored bytes if they were
        written (if not, nothing was sent, and the charge serves once more); an older one
        raises Refusal(STALE). Raises Refusal(BUDGET_EXHAUSTED) past the plan's
        reservation, and before all that Refusal(ROLLED_BACK) where the query's witness
        is not in the chain, Refusal(SPLIT_VIEW) where others saw another state.
        """
        self._require_gate()
        with self._book.transaction() as page:
            account = self.accounts.plan(query.plan_digest)
            account.require_witnessed(query, self.site)
            require_one_view(query, account.plan, self.site, account.states)
            latest = account.latest
            if latest is None or latest.digest != digest:
                account.require_new(query, digest, event)
                if latest is not None and latest.stored is not None:
                    page.forget(latest.stored)
                page.append(
                    "charged",
                    plan=query.plan_digest,
                    number=len(account.paid) + 1,
                    round=query.round,
                    digest=digest,
                    state=query.state_digest,
                    **asdict(event),
                )
        return self._charge(query.plan_digest, account)

    def answered(self, plan_digest: str, digest: str) -> bool:
        """Whether the plan's newest charge is of the query `digest`, and its final bytes are kept."""
        with self._reading():
            return self.accounts.plan(plan_digest).answered(digest)

    def _charge(self, plan: str, account: Account) -> Charge:
        """The newest charge of `account`."""
        paid = account.paid[-1]
        tombstones, payload = self.tombstones(), None
        if paid.stored is not None:
            with self._reading():
                payload = self._book.attachment(paid.stored)
            tombstones = tombstones.first(paid.withdrawn)
        return Charge(id=paid.number, plan=plan, round=paid.round, payload=payload, tombstones=tombstones)

    def store(self, charge: Charge, payload: bytes) -> None:
        """Keep the final bytes of `charge`, on disk when this returns, before they are sent.

        Raises Refusal(UNAVAILABLE) where they were written already, or a later charge was
        made: a charge never covers two releases.
        """
        self._require_gate()
        with self._book.transaction() as page:
            paid = self.accounts.plan(charge.plan).latest
            if paid is None or paid.number != charge.id or paid.stored is not None:
                raise Refusal(RefusalCode.UNAVAILABLE, f"charge {charge.id} was answered meanwhile")
            page.append(
                "stored",
                payload,
                plan=charge.plan,
                number=charge.id,
                payload=hashlib.sha256(payload).hexdigest(),
                withdrawn=len(charge.tombstones.marks),
            )

    def withdraw(self, person: str) -> tuple[Withdrawal, bool]:
        """Record that `person` has withdrawn, on disk when this returns; and whether it was news.

        Every later charge leaves the person out. Nothing is refunded. Whether the site holds
        data of the person is not asked: they may be deleted already.
        """
        with self._book.transaction() as page:
            mark = self.tombstones().mark(person)
            new = mark not in self.accounts.withdrawals
            if new:
                page.append("withdrawn", person=mark)
        return self.accounts.withdrawals[mark], new

    def tombstones(self) -> Tombstones:
        """Who has withdrawn, as of the newest entry read; without the key, an InputError."""
        if self._book.key is None:
            raise InputError(f"ledger {self.path} was opened to be read: its marks say no names")
        return Tombstones.of(self._book.key, tuple(self.accounts.withdrawals))

    def withdrawn(self) -> Tombstones:
        """Who has withdrawn by now, whoever wrote it down."""
        with self._book.transaction():
            return self.tombstones()

    def events(self, plan_digest: str | None = None) -> list[PrivacyEvent]:
        """What has been charged (under one plan, or under all), in canonical order."""
        return self.accounts.events(plan_digest)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            self._book.wake()
            yield
        except (*ledger_file.UNREADABLE, OSError, DamageError) as error:
            raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {self.path}: {error}") from None

    def _require_gate(self) -> None:
        if not self._book.gate:
            raise Refusal(RefusalCode.UNAVAILABLE, f"ledger {self.path} was not opened as its gate")


def _finite(value: float) -> float | None:
    """JSON has no infinity: null stands for it."""
    return value if math.isfinite(value) else None
