"""What units remember between rounds under a method with memory: in one file beside the ledger, never sent.

Only `client.gate` may import this module, and the commands that withdraw a person or retract an
agreement. A round reads what was remembered before it and writes what is remembered after it, so that it
may be computed again with the same result: a repeat under `central`, a crash before its release was
stored, another attempt of a securely aggregated round. One plan is remembered at a time, the one accepted
last. Losing the file costs quality and no privacy: units then begin anew.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from client.clipping.bound import Contributions, Rows
from client.clipping.remembered import KNOWN, MEMORY, parted
from client.users import Users
from client.withdrawal import Tombstones
from common.errors import Refusal, RefusalCode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    plan TEXT, unit TEXT, round INTEGER, content BLOB NOT NULL, PRIMARY KEY (plan, unit, round)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trained (unit TEXT, person TEXT, PRIMARY KEY (unit, person)) STRICT, WITHOUT ROWID
"""
_LATEST = """
SELECT content FROM memories WHERE plan = ? AND unit = ? AND round < ? ORDER BY round DESC LIMIT 1
"""
_OLD = """
DELETE FROM memories WHERE plan = :plan AND unit = :unit AND (round >= :round OR round <
    (SELECT max(round) FROM memories WHERE plan = :plan AND unit = :unit AND round < :round))
"""


class Memory:
    """The memories of one site's units, known by marks that only the ledger's key can make."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(f"{ledger.name}.memory")

    def forget(self, persons: Sequence[str]) -> None:
        """Erase all that was learned from the persons of these marks, under every plan."""
        if not persons or not self.path.exists():
            return
        with self._open() as connection:
            for person in persons:
                mine = "(SELECT unit FROM trained WHERE person = ?)"
                connection.execute(f"DELETE FROM memories WHERE unit IN {mine}", (person,))
                connection.execute(f"DELETE FROM trained WHERE unit IN {mine}", (person,))

    def close_plan(self, plan: str) -> None:
        """Erase all that was learned under `plan`, which has no further round here."""
        self._erase("plan = ?", plan)

    def begin_plan(self, plan: str) -> None:
        """Erase all that was learned under other plans: of a run's last round a site may never hear."""
        self._erase("plan <> ?", plan)

    def _erase(self, which: str, plan: str) -> None:
        if not self.path.exists():
            return
        with self._open() as connection:
            connection.execute(f"DELETE FROM memories WHERE {which}", (plan,))
            connection.execute("DELETE FROM trained WHERE unit NOT IN (SELECT unit FROM memories)")

    def before(self, plan: str, round: int, units: Sequence[str]) -> list[bytes]:
        """The newest content of each unit from before `round`; empty where there is none."""
        if not self.path.exists():
            return [b""] * len(units)
        with self._open() as connection:
            found = [connection.execute(_LATEST, (plan, unit, round)).fetchone() for unit in units]
        return [b"" if row is None else bytes(row[0]) for row in found]

    def keep(
        self, plan: str, round: int, contents: Mapping[str, bytes], persons: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Write the units' contents after `round`, and forget all but the newest from before it."""
        with self._open() as connection:
            for unit, content in contents.items():
                connection.execute(_OLD, {"plan": plan, "unit": unit, "round": round})
                connection.execute("INSERT INTO memories VALUES (?, ?, ?, ?)", (plan, unit, round, content))
                connection.executemany(
                    "INSERT OR IGNORE INTO trained VALUES (?, ?)", [(unit, p) for p in persons[unit]]
                )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction; Refusal(UNAVAILABLE) where the file cannot be read or written."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA};")
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise Refusal(
                RefusalCode.UNAVAILABLE, f"{self.path}: {error}; free space, or delete it to begin anew"
            ) from None


class Recollection:
    """What the units of one round remember: read chunk by chunk, written once when the sum is made.

    `withdrawn` says who has by now; nothing of them is there before the round nor after it.
    """

    def __init__(
        self,
        memory: Memory,
        plan: str,
        round: int,
        size: int,
        units: Users,
        withdrawn: Callable[[], Tombstones],
    ) -> None:
        self._memory, self._plan, self._round, self._size = memory, plan, round, size
        self._units, self._withdrawn, self._marks = units, withdrawn, withdrawn()
        self._after: dict[int, Tensor] = {}
        memory.forget(self._marks.marks)

    def before(self, units: Sequence[int]) -> dict[str, Tensor]:
        """`[units, size]` and whether there is any, `[units]`: what is not finite or fits not is none."""
        contents = self._memory.before(self._plan, self._round, [self._unit(unit) for unit in units])
        memory = torch.zeros(len(units), self._size)
        for row, content in zip(memory, contents, strict=True):
            if len(content) == 4 * self._size:
                row[:] = torch.from_numpy(np.frombuffer(content, dtype="<f4").copy())
        known = torch.tensor([len(content) == 4 * self._size for content in contents])
        known &= torch.isfinite(memory).all(dim=1)
        return {MEMORY: torch.where(known[:, None], memory, 0.0), KNOWN: known}

    def noted(self, units: Sequence[int], found: Contributions) -> Rows:
        """What `units` contribute, of all that was `found`: what they now remember stays here."""
        assert isinstance(found, Rows)
        vectors, memory = parted(found)
        self._after.update(zip(units, memory.cpu(), strict=True))
        return vectors

    def keep(self) -> None:
        """Write what the round's units now remember; who has nothing finite begins anew next time.

        Who withdrew while the round was computed is erased again: the command came before the writing.
        """
        contents, persons = {}, {}
        for unit, after in self._after.items():
            name = self._unit(unit)
            contents[name] = after.numpy().astype("<f4").tobytes() if torch.isfinite(after).all() else b""
            persons[name] = tuple(self._marks.mark(person) for person in self._units.members(unit))
        self._memory.keep(self._plan, self._round, contents, persons)
        self._memory.forget(self._withdrawn().marks)

    def _unit(self, unit: int) -> str:
        """A mark of the unit's name and of everyone in it: a shard without one of them is another."""
        parts = [self._units.names[unit], *sorted(self._units.members(unit))]
        return self._marks.mark("unit " + " ".join(part.encode().hex() for part in parts))
