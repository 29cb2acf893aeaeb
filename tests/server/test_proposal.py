"""`server plan`: a plan for exactly the roster, signed, in a run folder that is whole or not there."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

import fedmotion
from common.card import Card
from common.errors import InputError, Refusal
from common.holder import Holder
from common.key_folder import KeyFolder
from common.methods import NAMES
from common.run_plan import read_run_plan
from common.signing import load_key, public_name
from common.storage import read_json
from server.admission import Roster
from server.checkpoint import KEY, Checkpoint
from server.proposal import ASKED, Proposal, lines, planned, propose
from server.rounds import Settings
from server.server_file import ServerFile
from server.shell import run
from tests.server.planned import PEOPLE, SITES, server_with


def proposed(file: Path) -> Proposal:
    return propose(ServerFile.read(file))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server_with(tmp_path_factory.mktemp("server"))


def test_the_plan_names_the_roster_and_is_this_servers(server: Path) -> None:
    made = proposed(server)
    key = load_key(made.folder / KEY)
    plan = read_run_plan(made.file, public_name(key))
    assert plan == made.plan == Checkpoint.load(made.folder, public_name(key)).plan
    assert [(member.site, member.population) for member in plan.roster] == [(site, PEOPLE) for site in SITES]
    assert (plan.trust, plan.rounds, plan.min_sites) == ("local", 3, 1)
    assert (made.folder / "keys").is_symlink() and plan.code
    assert Settings.read(made.folder).test_seed is None


def test_every_plan_is_another_run_with_another_hash(server: Path) -> None:
    first, second = proposed(server).plan, proposed(server).plan
    assert first.run_id != second.run_id and first.digest() != second.digest()


def test_it_says_in_words_what_it_asks_and_the_hash(server: Path) -> None:
    made = proposed(server)
    text = "\n".join(lines(made))
    for word in ("epsilon", f"delta {made.plan.delta:.3g}", "add or remove one unit", "PLD", "trust local"):
        assert word in text
    assert "user" in text or "person" in text
    assert made.plan.digest() in text and str(made.file) in text


def test_under_secagg_the_plan_has_a_scale_and_needs_two_sites(tmp_path: Path) -> None:
    file = server_with(tmp_path, run="")
    file.write_text(file.read_text().replace('"local"', '"secagg"'))
    plan = proposed(file).plan
    assert (plan.min_sites, plan.colluders) == (3, 1) and plan.scale > 1
    assert "sums alone" in "\n".join(lines(Proposal(plan, tmp_path, proposed(file).parameters)))


def test_auto_takes_what_the_roster_recommends_and_says_why(tmp_path: Path) -> None:
    file = server_with(tmp_path, run='method = "auto"')
    made = proposed(file)
    assert made.choice is not None and made.plan.method == made.choice.method in NAMES
    assert f"method auto: {made.choice.why}" in "\n".join(lines(made))
    asked = read_json(made.folder / ASKED)["choice"]
    assert asked["method"] == made.plan.method and asked["asked"] == "auto"
    file.write_text(file.read_text() + 'train = "lora"\n')
    with pytest.raises(InputError, match=r"run\.options and run\.train are of one method"):
        proposed(file)


def test_a_server_without_keys_is_told_how_to_make_them(tmp_path: Path) -> None:
    file = server_with(tmp_path)
    (tmp_path / "state" / KEY).unlink()
    with pytest.raises(InputError, match="is missing: make it with fedmotion keys init"):
        proposed(file)


def test_a_revoked_site_is_left_out_and_an_expired_one_is_named(tmp_path: Path) -> None:
    file = server_with(tmp_path)
    folder = ServerFile.read(file).folder
    Roster(folder).revoke("north")
    assert [member.site for member in proposed(file).plan.roster] == ["east", "west"]
    keys = KeyFolder(Holder.read(tmp_path / "west" / "SITE.toml"))
    old = replace(keys.card(), valid_until=int(time.time()) - 5, issued=0)
    old.sign(load_key(keys.identity)).write(folder / "roster" / "west.json")
    assert Card.read(folder / "roster" / "west.json", "site").expired
    with pytest.raises(Refusal, match=r"west.*valid until"):
        proposed(file)


@pytest.mark.parametrize(
    ("run_table", "said"),
    [
        ("min_sites = 4", "the roster has 3 sites that may take part, and the run needs 4"),
        ("options = { width = 999 }", "made with 16: leave it out"),
        ("options = { widht = 9 }", "did you mean"),
        ("delta = 0.5", "not below 1/60"),
    ],
)
def test_settings_that_make_no_plan_are_one_line_and_leave_nothing(
    run_table: str, said: str, tmp_path: Path
) -> None:
    file = server_with(tmp_path, run=run_table)
    with pytest.raises(InputError, match=said) as caught:
        proposed(file)
    assert "\n" not in str(caught.value)
    assert (
        not list((tmp_path / "state" / "runs").glob("*")) if (tmp_path / "state" / "runs").exists() else True
    )


def test_what_is_missing_is_named_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = server_with(tmp_path, sites=())
    assert run(fedmotion.COMMANDS, ["server", "plan", str(file)]) == 2
    assert "the roster has 0 sites" in capsys.readouterr().err
    (tmp_path / "start" / "pretrained.safetensors").unlink()
    assert run(fedmotion.COMMANDS, ["server", "plan", str(file)]) == 2
    assert "fedmotion pretrain" in capsys.readouterr().err
    with pytest.raises(InputError, match="no run is planned"):
        planned(ServerFile.read(file), None)
