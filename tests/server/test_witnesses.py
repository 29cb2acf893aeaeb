"""What the coordinator vouches to have seen: signed by the site, countersigned, kept, and sent along."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.ledger import Ledger
from common.errors import InputError, Refusal, RefusalCode
from common.query import Acceptance
from common.signing import load_key, public_name
from common.witness import Head
from server.checkpoint import KEY, Checkpoint
from server.witnesses import WITNESSES, Witnesses
from tests.server.nodes import ROUNDS
from tests.server.test_rounds import coordinate

COORDINATOR, SITE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def head(digit: str) -> Head:
    return Head.sign(SITE, "north", digit * 64)


def accepted(digit: str = "a") -> Acceptance:
    key = public_name(SITE)
    return Acceptance(site="north", plan_digest="p", declared_population=5, site_key=key, head=head(digit))


def code(caught: pytest.ExceptionInfo[Refusal]) -> RefusalCode:
    return caught.value.code


def test_the_newest_head_is_countersigned_and_survives_a_restart(tmp_path: Path) -> None:
    witnesses = Witnesses(tmp_path, COORDINATOR, "p")
    witnesses.enrol(accepted())
    assert witnesses.of("north").head == "a" * 64
    witnesses.see("north", head("b"))
    witnesses.save()
    again = Witnesses(tmp_path, COORDINATOR, "p")
    again.enrol(accepted("c"))  # it may be an older one: what a release showed stays
    assert again.of("north") == witnesses.of("north")
    assert again.of("north").head == "b" * 64
    assert again.of("north").signed_by(public_name(COORDINATOR), "p", "north")
    assert not again.of("north").signed_by(public_name(COORDINATOR), "q", "north")


def test_what_the_site_did_not_sign_is_not_countersigned(tmp_path: Path) -> None:
    witnesses = Witnesses(tmp_path, COORDINATOR, "p")
    for bad in (None, replace(head("a"), hash="b" * 64), Head.sign(COORDINATOR, "north", "a" * 64)):
        with pytest.raises(Refusal) as caught:
            witnesses.enrol(replace(accepted(), head=bad))
        assert code(caught) is RefusalCode.MALFORMED
    witnesses.enrol(accepted())
    for bad in (None, Head.sign(SITE, "south", "b" * 64)):
        with pytest.raises(Refusal) as caught:
            witnesses.see("north", bad)
        assert code(caught) is RefusalCode.MALFORMED
    assert witnesses.of("north").head == "a" * 64


def test_another_ledger_under_the_same_name_is_no_newer_state(tmp_path: Path) -> None:
    witnesses = Witnesses(tmp_path, COORDINATOR, "p")
    witnesses.enrol(accepted())
    other = Ed25519PrivateKey.generate()
    made_anew = replace(accepted(), site_key=public_name(other), head=Head.sign(other, "north", "a" * 64))
    with pytest.raises(Refusal) as caught:
        witnesses.enrol(made_anew)
    assert code(caught) is RefusalCode.ROLLED_BACK


@pytest.mark.parametrize(
    "harm", ['{"sites": {"north": {}}}', '{"sites": 3}', "{}", "[", '{"sites": {"north": 1}}']
)
def test_a_damaged_file_is_named(tmp_path: Path, harm: str) -> None:
    (tmp_path / WITNESSES).write_text(harm)
    with pytest.raises(InputError, match=WITNESSES):
        Witnesses(tmp_path, COORDINATOR, "p")


def test_another_coordinators_word_is_not_taken_over(tmp_path: Path) -> None:
    witnesses = Witnesses(tmp_path, COORDINATOR, "p")
    witnesses.enrol(accepted())
    witnesses.save()
    for key, plan in ((SITE, "p"), (COORDINATOR, "q")):
        with pytest.raises(InputError):
            Witnesses(tmp_path, key, plan)


def test_a_run_keeps_the_newest_head_of_every_site(folder: Path) -> None:
    coordinate(folder, {})
    plan = Checkpoint.load(folder).plan
    key = load_key(folder / KEY)
    assert plan.coordinator_key == public_name(key)
    kept = json.loads((folder / WITNESSES).read_text())["sites"]
    assert len(kept) == 3
    for name, fields in kept.items():
        with Ledger.open(folder / "ledgers" / f"{name}.sqlite") as ledger:
            shown = ledger.head(plan.digest())
        assert (fields["head"], fields["signature"]) == (shown.hash, shown.signature)


def test_in_a_run_a_site_restored_from_a_backup_is_left_out_and_told_why(folder: Path) -> None:
    one_round = {0: {2}, 1: {2}, 2: {2}}
    ledger = sorted((folder / "ledgers").glob("*.sqlite"))[1]
    assert coordinate(folder, one_round)["rounds"] == 1
    shutil.copy(ledger, folder / "yesterday")
    assert coordinate(folder, one_round)["rounds"] == 2
    shutil.copy(folder / "yesterday", ledger)
    outcome = coordinate(folder, {})
    assert (outcome["rounds"], outcome["refusals"]) == (ROUNDS, {"ROLLED_BACK": 1})
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["sites"] for row in rows] == [3, 3, 2]


def test_a_coordinator_that_lost_its_newest_witnesses_goes_on(folder: Path) -> None:
    coordinate(folder, {0: {2}, 1: {2}, 2: {2}})
    kept = (folder / WITNESSES).read_bytes()
    assert coordinate(folder, {0: {2}, 1: {2}, 2: {2}})["rounds"] == 2
    (folder / WITNESSES).write_bytes(kept)
    outcome = coordinate(folder, {})
    assert (outcome["rounds"], outcome["refusals"]) == (ROUNDS, {})
