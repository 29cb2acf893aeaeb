"""T11: an edited byte, row or schema, a rebuilt chain, a cut file: refused, or no answer is another."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from client.book import Book
from client.chain import Entry, Tip, entry_hash
from client.ledger import Budget, DamageError, Ledger
from client.statement import statement
from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.query import Query
from common.signing import public_name
from common.witness import Head, Witness
from tests.small_site import make_plan

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLAN = make_plan(coordinator_key=public_name(KEY))


@pytest.fixture(autouse=True, scope="module")
def cheap_epsilon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.ledger.epsilon", lambda events, delta: 2.0)
        patch.setattr("client.statement.epsilon", lambda events, delta: 1.0)
        yield


def query_of(plan: Plan, round: int, witness: Witness | None = None) -> tuple[Query, str]:
    query = Query(run_id=plan.run_id, plan_digest=plan.digest(), round=round, state_digest=f"{round:064}")
    return replace(query, witness=witness), query.digest(plan.trust)


def paid(ledger: Ledger, plan: Plan, round: int, witness: Witness | None = None) -> None:
    charge = ledger.charge(*query_of(plan, round, witness), plan.event())
    ledger.store(charge, bytes([round]) * 3000)


def new(path: Path) -> Ledger:
    return Ledger.create(path, "north", "user", Budget(epsilon=10.0, delta=1e-3))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with two plans, several rounds and a withdrawal."""
    path = tmp_path_factory.mktemp("kept") / "north.sqlite"
    with new(path) as ledger:
        second = make_plan(run_id="second")
        for plan in (PLAN, second):
            ledger.reserve(plan, plan.run_id.encode() * 800)
        for round in (1, 2, 3):
            paid(ledger, PLAN, round)
        ledger.withdraw("Ann")
        paid(ledger, second, 1)
        ledger.charge(*query_of(second, 2), second.event())
    return path


def answers(path: Path) -> object:
    """All that a ledger can say: to its gate, to a coordinator, to its owner."""
    with Ledger.open(path) as ledger:
        plans = {digest: ledger.plan(digest) for digest in ledger.accounts.plans}
        heads = [ledger.head(digest) for digest in plans]
        latest = [
            ledger.charge(*query_of(plan, plan_account.latest.round), plan.event())
            for plan, plan_account in ((a.plan, a) for a in ledger.accounts.plans.values())
            if plan_account.latest is not None
        ]
        return (
            {**statement(ledger), "ledger": ""}, plans, heads, latest, ledger.entries(), ledger.events(),
            ledger.tombstones(), ledger.signature(),
        )  # fmt: skip


def copy(kept: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for suffix in ("", ".key"):
        shutil.copy(f"{kept}{suffix}", f"{folder / kept.name}{suffix}")
    return folder / kept.name


def refused(path: Path) -> str | None:
    """The one line with which both the gate and `verify` refuse the ledger; None where both take it."""
    try:
        Ledger.read(path).close()
    except DamageError as error:
        with pytest.raises(Refusal) as caught:
            Ledger.open(path)
        assert caught.value.code is RefusalCode.UNAVAILABLE
        assert len(str(error).splitlines()) == 1 and str(path) in str(error)
        return str(error)
    return None


def edit_bytes(kept: Path, folder: Path, places: list[int], chance: random.Random) -> int:
    """Edit one byte at a time; every edit is refused or changes no answer. How many were refused."""
    original, whole, found = kept.read_bytes(), answers(kept), 0
    for place in places:
        path = copy(kept, folder)
        changed = bytearray(original)
        changed[place] ^= chance.randrange(1, 256)
        path.write_bytes(changed)
        if refused(path) is not None:
            found += 1
        else:
            assert answers(path) == whole, f"byte {place} changed an answer"
    return found


def test_an_edited_byte_is_refused_or_changes_no_answer(kept: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    places = [*range(0, 100, 2), *(chance.randrange(kept.stat().st_size) for _ in range(250))]
    assert edit_bytes(kept, tmp_path / "copy", places, chance) > 100


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_ten_thousand_edited_bytes_are_refused_or_change_no_answer(kept: Path, tmp_path: Path) -> None:
    chance = random.Random(1)
    places = [chance.randrange(kept.stat().st_size) for _ in range(10_000)]
    assert edit_bytes(kept, tmp_path / "copy", places, chance) > 3000


def unlinked(rows: Iterable[Any], tip: Tip) -> Iterator[Entry]:
    return (Entry(*row) for row in rows)


def test_control_without_hashes_an_edit_gives_a_larger_budget_and_other_arrays(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.book.linked", unlinked)
    monkeypatch.setattr(Book, "_require_attachments", lambda self: None)
    path = copy(kept, tmp_path / "copy")
    with closing(sqlite3.connect(path)) as connection, connection:
        larger = "replace(body, '\"epsilon\": 10.0', '\"epsilon\": 99.0')"
        connection.execute(f"UPDATE entries SET body = {larger} WHERE seq = 1")
        connection.execute("UPDATE attachments SET content = x'00' WHERE seq = 2")
    assert refused(path) is None
    with Ledger.open(path) as ledger:
        assert ledger.budget.epsilon == 99.0


def columns(path: Path) -> list[tuple[str, str]]:
    """Every column of every table, from the schema: a new one without cover fails the test below."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [
            (table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")
        ]


VALUES = st.one_of(
    st.integers(-3, 20), st.text(max_size=20), st.binary(max_size=40), st.none(), st.floats(allow_nan=False)
)


@given(data=st.data())
def test_an_edited_row_is_refused_whatever_its_table_and_column(kept: Path, data: st.DataObject) -> None:
    folder = kept.parent / "edited"
    path = copy(kept, folder)
    table, column = data.draw(st.sampled_from(columns(path)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        rowid, value = data.draw(st.sampled_from(rows))
        wanted = data.draw(st.one_of(VALUES, st.sampled_from([row[1] for row in rows])))
        try:
            with connection:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (wanted, rowid))
        except sqlite3.Error:
            return  # the table's own types and keys do not take it
        now = connection.execute(f"SELECT {column} FROM {table} WHERE {column} IS ?", (wanted,)).fetchone()
    unchanged = now is not None and type(now[0]) is type(value) and now[0] == value
    assert (refused(path) is None) == unchanged, (table, column, value, wanted)


EDITS = {
    "a row deleted": "DELETE FROM entries WHERE seq = 4",
    "the last row deleted": "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
    "all rows deleted": "DELETE FROM entries",
    "a row added": "INSERT INTO entries SELECT seq + 100, body, salt, hash FROM entries WHERE seq = 3",
    "a row repeated at the end": "INSERT INTO entries SELECT (SELECT max(seq) + 1 FROM entries), body, salt,"
    " hash FROM entries WHERE seq = 3",
    "rows exchanged": "UPDATE entries SET body = (SELECT body FROM entries e WHERE e.seq = 9 - entries.seq)"
    " WHERE seq IN (4, 5)",
    "a release deleted": "DELETE FROM attachments WHERE seq = (SELECT max(seq) FROM attachments)",
    "a release added": "INSERT INTO attachments VALUES (1, x'00')",
    "no head": "DELETE FROM head",
    "two heads": "INSERT INTO head VALUES (2, 'x')",
    "a table added": "CREATE TABLE other (x)",
    "a trigger added": "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
    "the view changed": "DROP VIEW charges",
    "an index added": "CREATE INDEX i ON entries (hash)",
    "another version": "PRAGMA user_version = 1",
    "another application": "PRAGMA application_id = 1",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edit_in_sql_is_refused(kept: Path, tmp_path: Path, edit: str) -> None:
    path = copy(kept, tmp_path / "copy")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA ignore_check_constraints = ON; {edit}")
    assert refused(path) is not None


@pytest.mark.parametrize("resigned", [False, True])
def test_a_chain_rebuilt_without_the_sites_key_is_refused(kept: Path, tmp_path: Path, resigned: bool) -> None:
    """Whoever edits an entry and recomputes every hash lacks the signature, or must name another key."""
    path = copy(kept, tmp_path / "copy")
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute("SELECT seq, body, salt FROM entries ORDER BY seq").fetchall()
        before = bytes(32)
        for seq, body, salt in rows:
            if seq == 1:
                facts = json.loads(body)
                key = public_name(KEY) if resigned else facts["key"]
                body = json.dumps({**facts, "epsilon": 1e6, "key": key}, sort_keys=True)
            before = entry_hash(seq, before, salt, body)
            connection.execute("UPDATE entries SET body = ?, hash = ? WHERE seq = ?", (body, before, seq))
        if resigned:
            signature = Head.sign(KEY, "north", before.hex()).signature
            connection.execute("UPDATE head SET signature = ?", (signature,))
    with pytest.raises(Refusal):
        Ledger.open(path)
    if resigned:  # without the site's key beside it, a reader sees another public key
        assert statement(Ledger.read(path))["key"] == public_name(KEY)
    else:
        assert refused(path) is not None


def test_a_truncated_ledger_is_refused(kept: Path, tmp_path: Path) -> None:
    size = kept.stat().st_size
    for length in (0, 1, 99, 100, 4095, *range(4096, size, 4096), size - 1, size - 100):
        path = copy(kept, tmp_path / "copy")
        os.truncate(path, length)
        assert refused(path) is not None, length
