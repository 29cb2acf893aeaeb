"""The roster: who is in it was compared; revoked, expired and doubled keys are in no plan."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fedmotion
from common.errors import InputError, Refusal, RefusalCode
from common.signing import load_key
from server.revocation import REVOKED, read_revoked, revoked
from server.shell import run
from tests.joined import Coordinator, Site, dated, past


@pytest.fixture
def hub(tmp_path: Path) -> Coordinator:
    return Coordinator(tmp_path)


@pytest.fixture
def north(tmp_path: Path) -> Site:
    return Site(tmp_path)


def take(hub: Coordinator, site: Site, **changes: Any) -> None:
    card = dated(site, **changes)
    hub.roster.accept(card, card.fingerprint)


def test_a_site_is_in_the_roster_once_its_card_was_compared(hub: Coordinator, north: Site) -> None:
    card = north.keys.card()
    for told in (None, "", "AAAA-AAAA", hub.keys.card().fingerprint):
        with pytest.raises(Refusal) as refused:
            hub.roster.accept(card, told)
        assert refused.value.code == RefusalCode.FOREIGN and hub.roster.members() == ()
    hub.roster.accept(card, card.fingerprint)
    (member,) = hub.roster.members()
    assert (member.site, member.key, member.population) == ("north", card.key, 20)
    assert member.valid_until == card.valid_until


def test_a_swapped_request_is_refused(hub: Coordinator, north: Site, tmp_path: Path) -> None:
    """Somebody else's card in the name of the site, with the fingerprint of the real one."""
    rogue = Site(tmp_path / "rogue", "north")
    with pytest.raises(Refusal):
        hub.roster.accept(rogue.keys.card(), north.keys.card().fingerprint)
    assert hub.roster.members() == ()


def test_a_revoked_key_is_in_no_new_plan_and_does_not_come_back(hub: Coordinator, north: Site) -> None:
    take(hub, north)
    card, news = hub.roster.revoke("north")
    assert news and hub.roster.members() == () and revoked(hub.roster.folder) == {card.key}
    assert not hub.roster.revoke("north")[1]
    with pytest.raises(Refusal, match="is revoked: the site makes a new one"):
        take(hub, north)
    _, new = north.keys.rotate()
    hub.roster.accept(new, new.fingerprint, replace=True)
    (member,) = hub.roster.members()
    assert member.key == new.key and revoked(hub.roster.folder) == {card.key}
    with pytest.raises(InputError, match="did you mean north"):
        hub.roster.revoke("nort")


def test_a_card_that_ran_out_is_refused_at_accept_and_at_a_plan(hub: Coordinator, north: Site) -> None:
    with pytest.raises(Refusal, match="was valid until") as late:
        take(hub, north, issued=past(9), valid_until=past(1))
    assert late.value.code == RefusalCode.EXPIRED
    with pytest.raises(Refusal, match="check the clock"):
        take(hub, north, issued=past(-2), valid_until=past(-9))
    take(hub, north)
    dated(north, issued=past(9), valid_until=past(1)).write(hub.roster.folder / "roster" / "north.json")
    with pytest.raises(Refusal, match="or left out: join revoke north"):
        hub.plan()
    hub.roster.revoke("north")
    assert hub.roster.members() == ()


def test_a_renewed_card_needs_no_replacing(hub: Coordinator, north: Site) -> None:
    take(hub, north)
    card = north.keys.renew(days=30)
    former = hub.roster.accept(card, card.fingerprint)
    assert former is not None and former.key == card.key and revoked(hub.roster.folder) == frozenset()
    assert abs(hub.roster.members()[0].valid_until - time.time() - 30 * 86_400) < 100


def test_one_key_is_one_site(hub: Coordinator, north: Site, tmp_path: Path) -> None:
    take(hub, north)
    with pytest.raises(Refusal, match="the identity and node key of twin is that of north"):
        take(hub, north, name="twin")
    west = Site(tmp_path, "west")
    with pytest.raises(Refusal, match="the node key of west is that of north"):
        take(hub, west, node_key=north.keys.card().node_key)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"name": "coordinator"}, "no site may be called"), ({"name": "revoked"}, "no site may be called"),
     ({"population": 0}, "population"), ({"node_key": ""}, "key of its node"),
     ({"node_key": "ssh-ed25519 AAAA"}, "key of its node")],
)  # fmt: skip
def test_a_card_that_no_run_could_use_is_named(
    changes: dict[str, Any], why: str, hub: Coordinator, north: Site
) -> None:
    with pytest.raises(InputError, match=why):
        take(hub, north, **changes)


@pytest.mark.parametrize("content", ["{", "[]", '{"fedmotion": "revoked keys"}',
    '{"fedmotion": "revoked keys", "keys": [{"key": "x", "site": "a", "at": ""}]}'])  # fmt: skip
def test_a_damaged_list_of_the_revoked_stops_everything(content: str, hub: Coordinator, north: Site) -> None:
    """Half a list would believe whoever is missing from it."""
    take(hub, north)
    (hub.roster.folder / REVOKED).write_text(content)
    with pytest.raises(InputError, match="damaged"):
        revoked(hub.roster.folder)
    with pytest.raises(InputError, match="damaged"):
        hub.roster.members()


def test_a_file_that_was_moved_about_in_the_roster_is_named(hub: Coordinator, north: Site) -> None:
    take(hub, north)
    file = hub.roster.folder / "roster" / "north.json"
    file.rename(file.with_name("south.json"))
    with pytest.raises(InputError, match="put it back under its own name"):
        hub.roster.members()


def test_the_list_says_who_is_believed(hub: Coordinator, north: Site, tmp_path: Path, capsys: Any) -> None:
    assert run(fedmotion.COMMANDS, ["join", "list", str(hub.file)]) == 0
    assert "no site has joined" in capsys.readouterr().out
    take(hub, north)
    take(hub, Site(tmp_path, "west"))
    assert run(fedmotion.COMMANDS, ["join", "revoke", str(hub.file), "west"]) == 0
    dated(north, issued=past(9), valid_until=past(1)).write(hub.roster.folder / "roster" / "north.json")
    capsys.readouterr()
    assert run(fedmotion.COMMANDS, ["join", "list", str(hub.file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["state"]) for row in rows] == [("north", "expired"), ("west", "revoked")]
    (entry,) = read_revoked(hub.roster.folder)
    assert entry.site == "west" and entry.at.endswith("Z")


def test_a_card_signed_by_another_is_no_card(hub: Coordinator, north: Site, tmp_path: Path) -> None:
    west = Site(tmp_path, "west")
    with pytest.raises(ValueError, match="its own key"):
        replace(north.keys.card(), signature="").sign(load_key(west.keys.identity))
