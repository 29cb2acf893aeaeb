"""`ledger show | verify | export` and `withdraw`: what they say, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fedmotion
from client.datasets import DataOptions
from client.ledger import Ledger
from client.site import BudgetTable, DataTable, SiteFile
from common.accounting import ACCOUNTANT, epsilon
from common.event import NEIGHBOURING
from server.shell import run
from simulations.toml import to_toml
from tests.client.test_ledger import query_of
from tests.small_site import make_plan, new_ledger

PLAN = make_plan()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Two rounds of eight of one plan, and a second plan that has not begun."""
    path = tmp_path / "north.sqlite"
    with new_ledger(path) as opened:
        opened.reserve(PLAN, b"")
        opened.reserve(make_plan(run_id="second", noise_multiplier=4.0), b"")
        for round in (1, 2):
            charge = opened.charge(*query_of(PLAN, round), PLAN.event())
            opened.store(charge, b"release")
    return path


@pytest.fixture
def site(ledger: Path) -> Path:
    file = SiteFile(
        name="north", ledger=Path(ledger.name), unit="user", methods=("dp_sgd",), declared_population=4,
        budget=BudgetTable(epsilon=100.0, delta=1e-3), data=DataTable(options=DataOptions(people=4)),
    )  # fmt: skip
    path = ledger.with_name("site.toml")
    path.write_text(to_toml(file.model_dump(exclude_none=True, mode="json")))
    return path


class Told:
    """One command: exit code, what it printed, and its error, of one line at most."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        self.code = run(fedmotion.COMMANDS, [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        self.out, self.error = captured.out, captured.err
        assert self.error.count("\n") == (0 if self.code == 0 else 1)

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


Capture = pytest.CaptureFixture[str]


def test_show_tells_what_every_run_reserved_and_spent(ledger: Path, capsys: Capture) -> None:
    found = Told(capsys, "ledger", "show", ledger, "--json").json
    assert (found["site"], found["unit"], found["neighbouring"]) == ("north", "user", NEIGHBOURING)
    assert (found["accountant"], found["trust"]) == (ACCOUNTANT, ["local"])
    first, second = found["runs"]
    assert (first["rounds_charged"], first["rounds_planned"], first["charges"]) == (2, 8, 2)
    assert first["spent"] == {"epsilon": epsilon([PLAN.spent(2)], PLAN.delta), "delta": PLAN.delta}
    assert first["reserved"]["epsilon"] == epsilon([PLAN.reserved()], PLAN.delta)
    assert second["spent"]["epsilon"] == 0.0 and second["events"] == []
    total = first["reserved"]["epsilon"] + second["reserved"]["epsilon"]
    assert found["reserved"] == {"epsilon": pytest.approx(total), "delta": pytest.approx(2e-5)}
    assert found["left"]["epsilon"] == pytest.approx(100 - total)


def test_no_epsilon_stands_alone(ledger: Path, capsys: Capture) -> None:
    lines = Told(capsys, "ledger", "show", ledger).out.splitlines()
    assert len(lines) == 3
    for line in lines:
        for word in ("epsilon", "delta", "user", NEIGHBOURING, ACCOUNTANT, "trust local"):
            assert word in line


def test_an_infinite_epsilon_is_null(tmp_path: Path, capsys: Capture) -> None:
    with new_ledger(tmp_path / "l", epsilon=float("inf")) as opened:
        opened.reserve(make_plan(noise_multiplier=0.0), b"")
    found = Told(capsys, "ledger", "show", tmp_path / "l", "--json").json
    assert [found[key]["epsilon"] for key in ("budget", "reserved", "left")] == [None] * 3
    assert "epsilon inf" in Told(capsys, "ledger", "show", tmp_path / "l").out


def test_verify_names_the_first_bad_entry(ledger: Path, capsys: Capture) -> None:
    good = Told(capsys, "ledger", "verify", ledger, "--json")
    assert good.code == 0 and good.json["valid"] and good.json["entries"] == 7
    assert Told(capsys, "ledger", "verify", ledger).out.startswith("valid: 7 entries of north, head ")
    content = ledger.read_bytes()
    place = content.index(b'"number": 2')
    ledger.write_bytes(content[:place] + b'"number": 3' + content[place + 11 :])
    bad = Told(capsys, "ledger", "verify", ledger, "--json")
    assert bad.code == 1 and not bad.json["valid"]
    assert "was changed" in bad.error and "entry " in bad.json["reason"]


def test_verify_with_a_head_that_a_coordinator_holds(ledger: Path, capsys: Capture) -> None:
    with Ledger.open(ledger) as opened:
        head = opened.head(PLAN.digest()).hash
    assert Told(capsys, "ledger", "verify", ledger, "--head", head).code == 0
    assert Told(capsys, "ledger", "verify", ledger, "--head", "0" * 64).code == 1


def test_an_export_is_checked_without_the_ledger_and_names_nobody(
    ledger: Path, site: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert Told(capsys, "withdraw", site, "p000001").code == 0
    out = tmp_path / "export.jsonl"
    assert Told(capsys, "ledger", "export", ledger, "--out", out).out == f"8 entries in {out}\n"
    assert "p000001" not in out.read_text() and not list(tmp_path.glob("*-wal"))
    exported, whole = (Told(capsys, "ledger", "verify", path, "--json").json for path in (out, ledger))
    assert {**exported, "ledger": ""} == {**whole, "ledger": ""}
    lines = out.read_text().splitlines()
    first = json.loads(lines[0])
    harms = [
        lines[:-1], [lines[0], *lines[2:]], lines[1:], [*lines[:3], "{"], [],
        [json.dumps({**first, "site": "south"}), *lines[1:]],
        [json.dumps({**first, "signature": "0" * 128}), *lines[1:]],
        [line.replace("e-05", "e-06") for line in lines],
    ]  # fmt: skip
    for harm in harms:
        out.write_text("{" if not harm else "".join(f"{line}\n" for line in harm))
        assert Told(capsys, "ledger", "verify", out).code == 1


def test_the_commands_work_while_a_gate_is_open(
    ledger: Path, site: Path, tmp_path: Path, capsys: Capture
) -> None:
    with Ledger.open(ledger) as gate:
        for command in (("show", ledger), ("verify", ledger), ("export", ledger, "--out", tmp_path / "e")):
            assert Told(capsys, "ledger", *command).code == 0
        assert Told(capsys, "withdraw", site, "p000001").code == 0
        gate.charge(*query_of(PLAN, 3), PLAN.event())
        assert "p000001" in gate.tombstones()
    assert Told(capsys, "ledger", "verify", ledger).code == 0


def test_withdraw_says_what_it_came_too_late_for(ledger: Path, site: Path, capsys: Capture) -> None:
    told = Told(capsys, "withdraw", site, "p000001")
    assert "p000001 is left out at north from its next round on" in told.out
    assert "nothing is refunded" in told.out and "run (2 rounds)" in told.out and "spelling" not in told.out
    again = Told(capsys, "withdraw", site, "p000001", "--json").json
    assert (again["new"], again["known"], again["affected"]) == (False, True, {"run": 2})
    assert "run (2 rounds)" in Told(capsys, "ledger", "show", ledger).out
    shown = Told(capsys, "ledger", "show", ledger, "--json").json["withdrawals"]
    assert shown == [{key: again[key] for key in ("mark", "at", "affected")}]


def test_an_unknown_name_is_recorded_all_the_same_and_said(site: Path, capsys: Capture) -> None:
    told = Told(capsys, "withdraw", site, "Nobody")
    assert told.code == 0 and "no such name in its data: recorded all the same" in told.out
    site.write_text(site.read_text().replace("[data]", '[data]\npath = "gone"'))
    assert "could not be read: recorded all the same" in Told(capsys, "withdraw", site, "Ann").out
    assert Told(capsys, "withdraw", site, "Bob", "--json").json["known"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ledger", "show", "gone.sqlite"), 2, "there is no ledger gone.sqlite"),
        (("ledger", "verify", "gone.sqlite"), 2, "gone.sqlite"),
        (("ledger", "export", "gone.sqlite", "--out", "x"), 2, "gone.sqlite"),
        (("ledger", "export", "gone.sqlite"), 2, "--out"),
        (("ledger", "burn", "gone.sqlite"), 2, "burn"),
        (("withdraw", "gone.toml", "Ann"), 2, "gone.toml"),
        (("withdraw", "gone.toml", ""), 2, "PERSON is empty"),
        (("withdraw", "gone.toml"), 2, "PERSON"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    told = Told(capsys, *arguments)
    assert told.code == code and words in told.error
    assert not list(tmp_path.iterdir())


def test_a_missing_ledger_or_key_refuses_a_withdrawal(ledger: Path, site: Path, capsys: Capture) -> None:
    key = ledger.with_name("north.sqlite.key")
    key.rename(key.with_name("away"))
    assert Told(capsys, "withdraw", site, "Ann").code == 3
    assert Told(capsys, "ledger", "verify", ledger).code == 0, "to look needs no key"
    ledger.unlink()
    assert "is missing" in Told(capsys, "withdraw", site, "Ann").error
    assert not ledger.exists()


def test_init_makes_a_ledger_once_with_the_budget_of_the_site(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = Told(capsys, "ledger", "init", site)
    assert again.code == 2 and "north.sqlite" in again.error
    site.write_text(site.read_text().replace("north.sqlite", "new.sqlite"))
    made = Told(capsys, "ledger", "init", site)
    assert made.code == 0 and "every user has a lifetime budget of epsilon 100 at delta 0.001" in made.out
    assert Told(capsys, "ledger", "show", site.with_name("new.sqlite"), "--json").json["left"] == {
        "epsilon": 100.0, "delta": 1e-3
    }  # fmt: skip


def test_init_replaces_no_lost_ledger_of_a_site_that_took_part(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new budget would forget what people were charged."""
    site.write_text(site.read_text().replace("north.sqlite", "new.sqlite") + "[federation]\n")
    agreed = site.parent / "federation" / "agreed"
    agreed.mkdir(parents=True)
    (agreed / f"{'0' * 64}.json").write_text("{}")
    told = Told(capsys, "ledger", "init", site)
    assert told.code == 2 and "restore its newest backup" in told.error
    assert not site.with_name("new.sqlite").exists()
