"""Joining as people do it: commands at the site and at the server, and what each refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fedmotion
from client.membership import installed
from client.memory import Memory
from client.site import SiteFile
from client.terms import words
from common.card import Card
from common.errors import InputError
from common.plan import Plan
from common.signing import load_key
from server.revocation import revoked
from server.shell import run
from tests.joined import Coordinator, Site, dated, past


class Told:
    """One command: exit code, what it printed, and its error, of one line at most."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        self.code = run(fedmotion.COMMANDS, [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        self.out, self.error = captured.out, captured.err
        assert self.error.count("\n") == (0 if self.code == 0 else 1), self.error


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def hub(tmp_path: Path) -> Coordinator:
    return Coordinator(tmp_path)


@pytest.fixture
def north(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_ceremony_as_it_is_typed(tmp_path: Path) -> None:
    """Keys, request, accept, welcome, in processes of their own, from two folders."""

    def typed(*arguments: str, code: int = 0) -> str:
        command = [str(Path(sys.executable).parent / "fedmotion"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def fingerprint(file: str) -> str:
        return str(json.loads(typed("keys", "show", file, "--json"))["fingerprint"])

    (tmp_path / "site.toml").write_text(
        'name = "north"\nledger = "n.sqlite"\ndeclared_population = 12\n[federation]\n'
    )
    (tmp_path / "server.toml").write_text('name = "hub"\naddress = "127.0.0.1:9443"\n')
    assert typed("keys", "init", "site.toml").count("made ") == 4
    assert typed("keys", "init", "server.toml").count("made ") == 7
    assert fingerprint("site.toml") in typed("join", "request", "site.toml", "--out", "request.json")
    line = typed("join", "accept", "server.toml", "request.json", code=3)
    assert "nobody has compared this card" in line and line.count("\n") == 1
    told = typed(
        "join", "accept", "server.toml", "request.json",
        "--fingerprint", fingerprint("site.toml"), "--out", "welcome.json",
    )  # fmt: skip
    assert fingerprint("server.toml") in told
    typed("join", "welcome", "site.toml", "welcome.json", code=3)
    typed("join", "welcome", "site.toml", "welcome.json", "--fingerprint", fingerprint("server.toml").lower())
    (row,) = json.loads(typed("join", "list", "server.toml", "--json"))
    assert (row["name"], row["population"], row["state"]) == ("north", 12, "accepted")
    assert Card.read(tmp_path / "federation" / "coordinator.json", "coordinator").name == "hub"


def test_a_swapped_welcome_is_refused(hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture) -> None:
    """The card on the way is another's: the fingerprint that was read out is not its."""
    rogue = Coordinator(tmp_path / "rogue")
    said = hub.keys.card().fingerprint
    found = Told(capsys, "join", "welcome", north.file, rogue.keys.card_file, "--fingerprint", said)
    assert found.code == 3 and "nothing was taken over" in found.error
    with pytest.raises(InputError, match="has not joined"):
        _ = north.membership
    card = rogue.keys.card().fingerprint
    assert Told(capsys, "join", "welcome", north.file, hub.keys.card_file, "--fingerprint", card).code == 3


def test_a_site_leaves_its_coordinator_only_when_told_to(
    hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    north.join(hub)
    plan = hub.plan()
    north.membership.keep_agreement(plan.digest())
    old = hub.keys.card()
    hub.keys.rotate()
    new = hub.keys.card()
    command = ("join", "welcome", north.file, hub.keys.card_file, "--fingerprint", new.fingerprint)
    refused = Told(capsys, *command)
    assert refused.code == 3 and old.fingerprint in refused.error and new.fingerprint in refused.error
    assert north.membership.coordinator == old
    assert Told(capsys, *command, "--replace").code == 0
    assert north.membership.coordinator == new and not north.membership.agreed(plan.digest())


def test_an_expired_or_foreign_card_is_not_welcomed(
    hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    card = replace(hub.keys.card(), signature="", issued=past(3), valid_until=past(1)).sign(hub.key)
    card.write(tmp_path / "late.json")
    command = ("join", "welcome", north.file, tmp_path / "late.json", "--fingerprint", card.fingerprint)
    assert "was valid until" in Told(capsys, *command).error
    assert "not of a coordinator" in Told(capsys, "join", "welcome", north.file, north.keys.card_file).error
    bare = replace(hub.keys.card(), signature="", authority="").sign(hub.key)
    bare.write(tmp_path / "bare.json")
    assert "its certificate" in Told(capsys, "join", "welcome", north.file, tmp_path / "bare.json").error


def test_a_request_says_what_the_sites_file_says_now(north: Site, tmp_path: Path, capsys: Capture) -> None:
    north.set(people=50)
    found = Told(capsys, "join", "request", north.file, "--out", tmp_path / "r.json")
    assert found.code == 2 and "declared_population is 50 now and 20 on the card" in found.error
    assert Told(capsys, "keys", "renew", north.file, "--days", 30).code == 0
    assert Told(capsys, "join", "request", north.file, "--out", tmp_path / "r.json").code == 0
    assert Card.read(tmp_path / "r.json", "site").population == 50
    dated(north, issued=past(9), valid_until=past(1)).write(north.keys.card_file)
    late = Told(capsys, "join", "request", north.file, "--out", tmp_path / "r.json")
    assert late.code == 3 and "fedmotion keys renew" in late.error


@pytest.fixture
def plan(hub: Coordinator, north: Site, tmp_path: Path) -> Plan:
    north.join(hub)
    made = hub.plan(code=installed(), noise_multiplier=8.0, sites_per_person=2)
    hub.write(tmp_path / "plan.json", made)
    return made


def test_a_plan_in_plain_words(plan: Plan, north: Site, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "plan.json"
    told = Told(capsys, "join", "show", file, north.file)
    for said in (
        plan.digest(), "coordinator hub at 127.0.0.1:9443", "north (20)", "length 0.5 at most",
        "standard deviation 4 ", "8 times what one person can change", "drawn with chance 0.5",
        "at all of up to 2 sites together", "trust local", f"this site runs fedmotion {installed()}",
        "left before this plan: epsilon 100 at delta 0.001", f"--hash {plan.digest()}",
    ):  # fmt: skip
        assert said in told.out, said
    found = json.loads(Told(capsys, "join", "show", file, north.file, "--json").out)
    assert found["could_agree"] and not found["agreed"] and found["hash"] == plan.digest()
    ledger = found["ledger"]
    assert ledger["before"]["epsilon"] - ledger["after"]["epsilon"] == pytest.approx(found["cost"]["epsilon"])
    assert "give SITE.toml" in Told(capsys, "join", "show", file).out


def test_what_a_method_remembers_is_said(plan: Plan) -> None:
    cost = {"epsilon": 1.0, "accountant": "any"}
    told = "\n".join(words(replace(plan, method="gs_wgan"), cost, "nobody"))
    assert "stays at this site: what the method learns of each person" in told and "join retract" in told
    assert not any("stays at" in "\n".join(words(replace(plan, method=m), cost, "")) for m in ("dp_sgd", "?"))


def test_a_steward_agrees_by_hash_and_can_take_it_back(
    plan: Plan, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    file, digest = tmp_path / "plan.json", plan.digest()
    for wrong in ("", digest[:-1], "0" * 64):
        refused = Told(capsys, "join", "agree", north.file, file, "--hash", wrong)
        assert refused.code == 3 and "nothing is agreed to" in refused.error
    assert not north.membership.agreed(digest)
    assert Told(capsys, "join", "agree", north.file, file, "--hash", digest.upper()).code == 0
    assert north.membership.agreed(digest)
    assert Told(capsys, "join", "agree", north.file, file, "--hash", digest).code == 0
    assert "has agreed to it" in Told(capsys, "join", "show", file, north.file).out
    memory = Memory(SiteFile.read(north.file).ledger)
    memory.keep(digest, 1, {"unit": b"learned"}, {"unit": ("person",)})
    assert Told(capsys, "join", "retract", north.file, "--hash", digest).code == 0
    assert not north.membership.agreed(digest)
    assert memory.before(digest, 2, ["unit"]) == [b""], "what a critic learned outlives the agreement"
    assert Told(capsys, "join", "retract", north.file, "--hash", digest).code == 2
    assert Told(capsys, "join", "retract", north.file, "--hash", "x").code == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"noise_multiplier": 0.05}, "the budget is 100"),
        ({"noise_multiplier": 0.0}, "the budget is 100"),
        ({"delta": 0.01}, "the budget is 100 at 0.001"),
        ({"unit": "record"}, "unit record is not user"),
        ({"method": "other"}, "method 'other' is not among"),
        ({"trust": "central"}, "central trust"),
        ({"code": "9.9.9"}, "asks for fedmotion 9.9.9"),
    ],
)  # fmt: skip
def test_a_plan_that_the_gate_would_refuse_cannot_be_agreed_to(
    changes: dict[str, object], why: str, hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    north.join(hub)
    plan = hub.plan(**{"code": installed(), "noise_multiplier": 8.0, **changes})
    hub.write(tmp_path / "plan.json", plan)
    told = Told(capsys, "join", "agree", north.file, tmp_path / "plan.json", "--hash", plan.digest())
    assert told.code == 3 and why in told.error
    assert not north.membership.agreed(plan.digest())
    assert why in Told(capsys, "join", "show", tmp_path / "plan.json", north.file).out


def test_a_plan_of_another_coordinator_cannot_be_agreed_to(
    hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    rogue = Coordinator(tmp_path / "rogue")
    card = north.keys.card()
    rogue.roster.accept(card, card.fingerprint)
    north.join(hub)
    plan = rogue.plan()
    rogue.write(tmp_path / "plan.json", plan)
    told = Told(capsys, "join", "agree", north.file, tmp_path / "plan.json", "--hash", plan.digest())
    assert told.code == 3 and "another coordinator" in told.error
    assert (
        "that this site has not joined"
        in Told(capsys, "join", "show", tmp_path / "plan.json", north.file).out
    )


def test_words_of_a_coordinator_cannot_pass_for_lines_of_ours(
    hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    north.join(hub)
    options = {"a": "\x1b[2J\ncost: nothing", "b": "\u202enothing", "c": "x" * 10_000}
    plan = replace(hub.plan(), options=options, method="dp\nsgd")
    hub.write(tmp_path / "plan.json", plan)
    out = Told(capsys, "join", "show", tmp_path / "plan.json").out
    assert "\x1b" not in out and "\u202e" not in out and "\ncost: nothing" not in out
    assert max(map(len, out.splitlines())) < 500


def test_nothing_is_heavy_in_the_commands_of_keys_and_cards() -> None:
    code = (
        "import sys, common.keys_cli, client.joining, server.admission_cli;"
        "print([n for n in ('torch', 'flwr', 'scipy', 'numpy', 'dp_accounting') if n in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_rotation_goes_on_with_a_new_request(
    plan: Plan, hub: Coordinator, north: Site, tmp_path: Path, capsys: Capture
) -> None:
    old = north.keys.card()
    told = Told(capsys, "keys", "rotate", north.file)
    new = north.keys.card()
    assert old.fingerprint in told.out and new.fingerprint in told.out and "ledger is untouched" in told.out
    Told(capsys, "join", "request", north.file, "--out", tmp_path / "r.json")
    command = ("join", "accept", hub.file, tmp_path / "r.json", "--fingerprint", new.fingerprint)
    refused = Told(capsys, *command)
    assert refused.code == 3 and old.fingerprint in refused.error and new.fingerprint in refused.error
    assert Told(capsys, *command, "--replace").code == 0
    assert revoked(hub.keys.holder.folder) == {old.key}
    assert hub.plan().roster[0].key == new.key != plan.roster[0].key
    assert load_key(north.keys.identity).public_key() == north.membership.key.public_key()
