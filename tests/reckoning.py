"""What a federation's files say happened, reckoned again from sites' ledgers and the server's transcript."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from client.ledger import Ledger
from common.accounting import epsilon
from common.method import PublicState
from common.signing import load_key, public_name
from server.checkpoint import KEY, Checkpoint
from tests.deployed import Federation, wait_for


def _told(federation: Federation, site: str, digest: str) -> list[dict[str, Any]]:
    """The entries of a site's ledger, checked, that are of one plan."""
    with Ledger.read(federation.folder / site / "ledger.sqlite") as ledger:
        facts = [json.loads(entry.body) for entry in ledger.entries()]
    return [fact for fact in facts if fact.get("plan") == digest]


def charges(federation: Federation, site: str, digest: str) -> Counter[int]:
    """How often each round of a plan was charged at a site."""
    told = _told(federation, site, digest)
    return Counter(fact["round"] for fact in told if fact["kind"] == "charged")


def stored(federation: Federation, site: str, digest: str) -> set[int]:
    """The rounds of a plan for which the final bytes of a release were on the site's disk."""
    told = _told(federation, site, digest)
    rounds = {fact["number"]: fact["round"] for fact in told if fact["kind"] == "charged"}
    return {rounds[fact["number"]] for fact in told if fact["kind"] == "stored"}


def transcript(run: Path) -> dict[int, list[str]]:
    """By round the sites whose releases are in the model."""
    rows = [json.loads(line) for line in (run / "transcript.jsonl").read_text().splitlines()]
    return {row["round"]: [seen["site"] for seen in row["seen"]] for row in rows}


def latest(federation: Federation) -> set[str]:
    """Whose releases are in the newest round; nobody's before the first."""
    path = federation.folder_of_run / "transcript.jsonl"
    rows = transcript(federation.folder_of_run) if path.exists() else {}
    return set(rows.get(federation.rounds_done(), ()))


def all_back(federation: Federation, seconds: float = 240) -> None:
    """Wait for a round of all sites that is not done yet: a lost SuperNode may be back after a minute."""
    before = federation.rounds_done()
    wait_for(
        "a round of all sites",
        lambda: federation.rounds_done() > before and latest(federation) == set(federation.sites),
        seconds,
    )


@contextmanager
def under_way(federation: Federation) -> Iterator[None]:
    """Server and sites started, all of them in a round; whatever runs is ended afterwards."""
    try:
        federation.start_server()
        federation.start_sites()
        all_back(federation)
        yield
    finally:
        federation.stop()


def paused(federation: Federation) -> int:
    """Let the round under way end and no other begin; how many are done then."""
    federation.command("server", "pause", federation.server)
    wait_for("a pause", lambda: federation.status_of_run()["state"] == "paused", 180)
    return federation.rounds_done()


def checkpoint_of(federation: Federation) -> Checkpoint:
    """The newest run's, which must carry the server's own signature."""
    folder = federation.folder_of_run
    return Checkpoint.load(folder, public_name(load_key(folder / KEY)))


def require_consistent(federation: Federation) -> dict[str, Counter[int]]:
    """AssertionError unless rows, checkpoint, transcript and ledgers tell of the same rounds; the charges.

    Every round stands there once; whose release is in it was charged for it, once or more often, and had
    its final bytes on disk; nobody was charged beyond what the plan reserved.
    """
    run, checkpoint = federation.folder_of_run, checkpoint_of(federation)
    plan, done = checkpoint.plan, checkpoint.state.round
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == list(range(1, done + 1))
    seen = transcript(run)
    assert sorted(seen) == list(range(1, done + 1))
    found = {site: charges(federation, site, plan.digest()) for site in federation.sites}
    kept = {site: stored(federation, site, plan.digest()) for site in federation.sites}
    for row in rows:
        sites = seen[row["round"]]
        assert len(sites) == len(set(sites)) == row["sites"] >= plan.min_sites
        assert all(found[site][row["round"]] >= 1 for site in sites), (row, sites)
        assert all(row["round"] in kept[site] for site in sites), (row, sites)
    for site, paid in found.items():
        assert sum(paid.values()) <= plan.rounds, site
        event = plan.spent(sum(paid.values())) if paid else None
        assert event is None or epsilon([event], plan.delta) <= epsilon([plan.reserved()], plan.delta)
    return found


def ended(federation: Federation) -> None:
    """Wait for the newest run's end, and for what is written then."""
    wait_for("the end of the run", federation.outcome, 600)
    wait_for("its description", (federation.folder_of_run / "run.json").exists, 120)


def require_whole(federation: Federation) -> None:
    """Every planned round is in the model, charged once where a site took part; the result generates."""
    plan, outcome = checkpoint_of(federation).plan, federation.outcome()
    assert plan.method == federation.method and outcome is not None
    assert (outcome["rounds"], outcome["stopped"]) == (plan.rounds, None), outcome
    accepted, every = set(outcome["accepted"]), dict.fromkeys(range(1, plan.rounds + 1), 1)
    assert accepted <= set(federation.sites) and len(accepted) >= plan.min_sites
    for site, paid in require_consistent(federation).items():
        assert paid == (every if site in accepted else {}), site
    told = json.loads((federation.folder_of_run / "run.json").read_text())
    assert (told["method"], told["guarantee"]) == (federation.method, "differential privacy")
    assert told["privacy"]["epsilon_spent"] <= 8.0
    out = federation.folder / f"made by {federation.method}"
    federation.run("generate", federation.folder_of_run, "--count", 2, "--format", "npy", "--out", out)
    assert len(list(out.glob("*.npy"))) == 2


def kept_releases(federation: Federation, round: int) -> dict[str, torch.Tensor]:
    """The final vector of each site's newest charge where that is of `round`, from its ledger, float64."""
    digest = checkpoint_of(federation).plan.digest()
    found = {}
    for site in federation.sites:
        with Ledger.read(federation.folder / site / "ledger.sqlite") as ledger:
            latest = ledger.accounts.plan(digest).latest
            if latest is not None and latest.round == round and latest.stored is not None:
                payload = ledger._book.attachment(latest.stored)
                values = np.frombuffer(payload, dtype="<f4").astype(np.float64)
                found[site] = torch.from_numpy(values)
    return found


def next_state(before: Checkpoint, releases: Mapping[str, torch.Tensor], twice: str = "") -> PublicState:
    """The model after one more round with these releases, by our arithmetic; one of them counted `twice`."""
    plan = before.plan
    people = sum(member.population for member in plan.roster if member.site in releases)
    total = torch.zeros(plan.dimension, dtype=torch.float64)
    for site in sorted(releases):
        total += releases[site] * (2 if site == twice else 1)
    mean = (total / (plan.sampling_rate * people)).to(torch.float32)
    return before.method().update(before.state, plan.split(mean)[0], 0.0)  # of no use to dp_sgd
