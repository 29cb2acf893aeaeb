"""The coordinator's rounds: whoever does not answer is left out, and the log keeps to the checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

import client.app
import server.app
from client.site import SiteFile
from common.errors import RefusalCode
from common.parcel import encode_refusal, folded
from common.plan import Plan
from common.storage import exclusive
from server.checkpoint import Checkpoint
from server.journal import append_row, forget_rows_after, metrics_row
from simulations.grid import run_in_process
from simulations.prepare import LOCK
from tests.server.nodes import ROUNDS


def site_that_is(away: dict[int, set[int]]) -> ClientApp:
    """The ClientApp, whose site `partition` is unavailable in the rounds `away[partition]`."""
    app = ClientApp()
    asked: dict[int, int] = {}

    @app.query("plan")
    def accept(message: Message, context: Context) -> Message:
        return client.app.accept(message, context)

    @app.train()
    def release(message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        asked[partition] = asked.get(partition, 0) + 1
        if asked[partition] in away.get(partition, set()):
            return Message(folded(encode_refusal(RefusalCode.UNAVAILABLE)), reply_to=message)
        return client.app.release(message, context)

    return app


def coordinate(folder: Path, away: dict[int, set[int]]) -> dict[str, object]:
    files = sorted((folder / "sites").glob("*.toml"))
    gates = {file: SiteFile.read(file).open_door() for file in files}
    client.app.resident.update(gates)
    try:
        with exclusive(folder / LOCK):
            run_in_process(server.app.app, site_that_is(away), len(files), {"run-dir": str(folder)})
    finally:
        for file, gate in gates.items():
            del client.app.resident[file]
            gate.close()
    outcome: dict[str, object] = json.loads((folder / "outcome.json").read_text())
    return outcome


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_site_that_does_not_answer_is_left_out_of_that_round_alone(folder: Path) -> None:
    outcome = coordinate(folder, {1: {2}})
    assert outcome["rounds"] == ROUNDS and outcome["stopped"] is None
    assert outcome["refusals"] == {"UNAVAILABLE": 1}
    assert [row["sites"] for row in rows(folder)] == [3, 2, 3]


def test_a_round_without_an_answer_stops_the_run_and_it_goes_on_later(folder: Path) -> None:
    outcome = coordinate(folder, {0: {2}, 1: {2}, 2: {2}})
    assert (outcome["rounds"], outcome["stopped"]) == (1, "no site answered round 2")
    assert Checkpoint.load(folder).state.round == 1 and len(rows(folder)) == 1
    outcome = coordinate(folder, {})
    assert (outcome["rounds"], outcome["stopped"]) == (ROUNDS, None)
    assert [row["round"] for row in rows(folder)] == [1, 2, 3]


def test_a_row_beyond_the_checkpoint_is_written_once(folder: Path) -> None:
    """A crash between the row and the checkpoint: the round is done again."""
    coordinate(folder, {0: {2}, 1: {2}, 2: {2}})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"round": 2, "sites": 3}\n{"round": 3, "si')
    coordinate(folder, {})
    assert [row["round"] for row in rows(folder)] == [1, 2, 3]
    assert all("epsilon" in row for row in rows(folder))


def test_rows_are_whole_lines_up_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    forget_rows_after(path, 3)
    assert not path.exists()
    for round in (1, 2, 3):
        append_row(path, {"round": round})
    forget_rows_after(path, 2)
    assert path.read_text() == '{"round": 1}\n{"round": 2}\n'
    forget_rows_after(path, 0)
    assert path.read_text() == ""
    with pytest.raises(ValueError, match="Out of range"):
        append_row(path, {"round": math.nan})


def test_the_last_row_claims_what_the_plan_reserved() -> None:
    plan = Plan(
        run_id="r", method="dp_sgd", options={}, dimension=1, clip_norm=1.0, noise_multiplier=2.0,
        sampling_rate=0.5, unit="user", trust="local", rounds=4, steps_per_round=1, delta=1e-5, codec={},
        arrays_digest="", labels=(),
    )  # fmt: skip
    found = [metrics_row(plan, round, 2, 5.0) for round in (1, 4)]
    assert 0 < found[0]["epsilon"] < 5.0 and found[0]["epsilon"] + found[0]["epsilon_left"] == 5.0
    assert (found[1]["epsilon"], found[1]["epsilon_left"]) == (5.0, 0.0)
    assert metrics_row(plan, 1, 2, math.inf)["epsilon_left"] is None
