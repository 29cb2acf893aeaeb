"""Clocks that differ and dates that pass in mid-run: a gate's clock, the front's certificate, a card."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.card import Card
from common.certificate import make_front
from common.holder import Holder
from common.key_folder import KeyFolder
from common.signing import load_key
from tests.deployed import Federation, wait_for
from tests.process_tree import left_behind
from tests.reckoning import all_back, latest, paused, require_consistent, under_way

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
SHORT, CARD_SHORT = 15, 120  # seconds
Note = Callable[[str, object], None]


def _library() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Three sites, any two of which are enough; the clock of east's gate is two hours ahead if it can be."""
    folder, library = tmp_path_factory.mktemp("clock"), _library()
    (folder / "clock").write_text("+2h\n")
    strange = Path(__file__).parent / "strange"
    clock = ("env", f"PYTHONPATH={strange}", f"SKEW={folder / 'clock'}", f"SKEWED={library}")
    federation = Federation(
        folder, trust="local", rounds=500, min_sites=2, deadline=20, budget=40.0,
        around={} if library is None else {"east": clock},
    )  # fmt: skip
    federation.prepare()
    with federation.site("east").open("a") as file:
        file.write("pace = 0.0\n")  # libfaketime refuses the sleep that a pace takes
    with under_way(federation):
        yield federation


def test_a_clock_two_hours_off_works_and_one_past_the_cards_refuses_in_words(
    running: Federation, record_property: Note
) -> None:
    if _library() is None:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    assert "east" in latest(running)
    told = running.folder / "east" / "federation" / "logs" / "site" / "site.log"
    (running.folder / "clock").write_text("+400d\n")
    wait_for("a round without it", lambda: latest(running) == {"north", "west"}, 120)
    assert "EXPIRED" in told.read_text() and "card was valid until" in told.read_text()
    assert "2027" not in (running.state / "logs" / "run.log").read_text()  # a code left, and no date
    (running.folder / "clock").write_text("+2h\n")
    all_back(running)
    record_property("crash", "a clock 400 days off")


def test_a_front_certificate_that_runs_out_is_said_on_both_sides_and_renewed(
    running: Federation, record_property: Note
) -> None:
    """New connections fail once it ran out; renewed by command, the run goes on without losing a round.

    It is paused meanwhile: a run whose sites are all away for three deadlines stops, saying so.
    """
    before = paused(running)
    keys = running.state / "keys"
    authority, own = (_key(keys / name) for name in ("ca.pem", "front.key"))
    days = SHORT / 86_400
    made = make_front(own, [running.host], (keys / "ca.crt").read_bytes(), authority, days)  # type: ignore[arg-type]
    (keys / "front.crt").write_bytes(made)
    running.kill("", "front")
    ends = time.time() + SHORT + 1
    wait_for("the end of its time", lambda: time.time() > ends, SHORT + 10)
    running.kill("", "front")
    wait_for("words at the server", lambda: _says(running, "server", "which is not now"), 60)
    wait_for("words at a site", lambda: _says(running, "client", "certificate"), 120)
    running.run("keys", "renew", running.server)
    running.run("server", "stop", running.server)
    running.run("server", "resume", running.server)
    running.start_server()
    all_back(running)
    assert running.rounds_done() > before
    running.run("server", "stop", running.server)
    require_consistent(running)
    record_property("crash", "a front certificate that ran out")


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    found = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    return found


def _says(federation: Federation, side: str, words: str) -> bool:
    file = federation.server if side == "server" else federation.site("north")
    return words in federation.command(side, "status", file).out


def test_a_card_that_runs_out_in_mid_run_ends_that_sites_part_and_the_others_go_on(
    running: Federation, record_property: Note
) -> None:
    ends = int(time.time()) + CARD_SHORT
    _join_until(running, "west", ends)
    running.plan()
    running.start_server()
    all_back(running, CARD_SHORT)  # control: until then it takes part
    paused(running)
    wait_for("the end of its time", lambda: time.time() > ends, CARD_SHORT)
    running.run("server", "resume", running.server)
    running.goes_on(2)
    assert latest(running) == {"east", "north"}
    said = (running.state / "logs" / "run.log").read_text()
    assert re.search(r"west.*expired", said), said[-2000:]
    told = running.folder / "west" / "federation" / "logs" / "site" / "site.log"
    assert "the plan believes this site until" in told.read_text()
    running.run("server", "stop", running.server)
    require_consistent(running)
    record_property("crash", "a card that ran out")


def _join_until(federation: Federation, name: str, ends: int) -> None:
    """The ceremony again, with a card of the same key that is valid until `ends`."""
    site, request = federation.site(name), federation.folder / f"{name}-again.json"
    folder = KeyFolder(Holder.read(site))
    card = replace(folder.card(), valid_until=ends).sign(load_key(folder.identity))
    card.write(folder.card_file)
    federation.run("join", "request", site, "--out", request)
    own = Card.read(request, "site").fingerprint
    accepted = ("join", "accept", federation.server, request, "--fingerprint", own, "--replace")
    federation.run(*accepted, "--out", federation.folder / f"for-{name}-again.json")


def test_nothing_is_left_running_after_all_dates(running: Federation) -> None:
    running.stop()
    assert not left_behind(running.folder)
