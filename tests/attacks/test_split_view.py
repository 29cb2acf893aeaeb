"""A server that shows one model to some sites and another to others: found out, and nothing is unmasked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.app import RecordDict

from common.method import PublicState
from common.query import Seen
from common.wire import encode_query
from tests.federation import Federation, code_of, masked_round
from tests.small_site import make_state


def check_one_model(folder: Path) -> None:
    """A server that shows one model to some and another to others is refused at the next round, by all."""
    with Federation(folder, "east", "north", "west") as federation:
        federation.enrol()
        plan = federation.plan
        one, other, two = make_state(plan, 1), make_state(plan, 1, scale=0.9), make_state(plan, 2)
        seen = federation.round(one, sites=["east", "north"]) + federation.round(other, sites=["west"])
        shown = [[s for s in seen if s.state_digest == state.digest()] for state in (one, other)]
        for name in federation.sites:
            for told in (seen, shown[1], seen[:1], []):
                assert code_of(federation, name, round_of(federation, two, told)) == "SPLIT_VIEW"
        assert code_of(federation, "west", round_of(federation, two, shown[0])) == "SPLIT_VIEW"
        assert code_of(federation, "east", round_of(federation, two, shown[0])) == "Release"


def check_state_of_a_round(folder: Path) -> None:
    """The same round with another model is refused, though the gate was started anew in between."""
    with Federation(folder, "east", "north", "west") as federation:
        federation.enrol()
        one, other = make_state(federation.plan, 1), make_state(federation.plan, 1, scale=0.9)
        federation.release("north", one)
        federation.sites["north"].close()
        federation.sites["north"].open()
        assert code_of(federation, "north", round_of(federation, other)) == "SPLIT_VIEW"
        assert federation.sites["north"].ledger.events() == [federation.plan.event()]


def round_of(federation: Federation, state: PublicState, seen: Sequence[Seen] = ()) -> RecordDict:
    return encode_query(federation.query(state, seen), state)


def test_a_server_that_shows_sites_different_models_is_found_out(tmp_path: Path) -> None:
    check_one_model(tmp_path)


def test_a_round_has_one_model_over_restarts(tmp_path: Path) -> None:
    check_state_of_a_round(tmp_path)


def test_two_majorities_cannot_be_told_different_tales(tmp_path: Path) -> None:
    """Where 2m > n two groups of m share a site; where 2m <= n, under `local`, nobody need notice."""
    names = ("a", "b", "c", "d")
    for least, found in ((3, "SPLIT_VIEW"), (2, "Release")):
        with Federation(tmp_path / str(least), *names, min_sites=least) as federation:
            federation.enrol()
            plan = federation.plan
            one, other, two = make_state(plan, 1), make_state(plan, 1, scale=0.9), make_state(plan, 2)
            halves = [federation.round(one, sites=names[:2]), federation.round(other, sites=names[2:])]
            codes = [
                code_of(federation, name, round_of(federation, two, halves[name in names[2:]]))
                for name in names
            ]
            assert set(codes) == {found}


def check_masks(folder: Path) -> None:
    """Under `secagg` at once: who answered another model signs something else, and no mask comes off."""
    changes: dict[str, Any] = {"trust": "secagg", "min_sites": 3, "scale": 2**20}
    for scale, code in ((0.3, "Unmasked"), (0.9, "MALFORMED")):
        with Federation(folder / code, "east", "north", "west", **changes) as federation:
            federation.enrol()
            states = dict.fromkeys(federation.sites, make_state(federation.plan, 1))
            states["west"] = make_state(federation.plan, 1, scale)
            unmask = masked_round(federation, states)
            assert {code_of(federation, name, unmask) for name in states} == {code}


def test_sites_shown_different_models_give_no_mask_away(tmp_path: Path) -> None:
    check_masks(tmp_path)
