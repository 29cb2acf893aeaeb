"""Runs of other methods go on as if nothing had happened: between critic and release, in the last fit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from client.ledger import Ledger
from common.methods.moments import Moments
from tests.test_resume import charges, rows, simulate, state

SMALL = """
people = 40
motions = 1
sites = 2
rounds = 4
public_people = 100
latent = 4
test_mode = true
"""
CRITICS = 'method = "gs_wgan"\noptions = { samples = 6, width = 4, critic_width = 4, motions = 1 }\n'
FITTED = 'method = "moments"\noptions = { fit_steps = 5, width = 4, motions = 1 }\n'


def settings(folder: Path, method: str) -> Path:
    path = folder / "run.toml"
    path.write_text(SMALL + method)
    return path


def remembered(out: Path) -> dict[str, int]:
    """How many critics lie beside each ledger."""
    found = {}
    for path in sorted((out / "ledgers").glob("*.memory")):
        with closing(sqlite3.connect(path)) as memory:
            found[path.name] = memory.execute("SELECT count(*) FROM memories").fetchone()[0]
    return found


def interrupted(config: Path, out: Path) -> None:
    """Ctrl-C at one site in round 3, with its critics on disk and its release not."""
    real = Ledger.store

    def store(self: Ledger, charge: Any, payload: bytes) -> None:
        if charge.round == 3 and self.site == "site-02":
            raise KeyboardInterrupt
        real(self, charge, payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "store", store)
        assert simulate(config, "--out", out) == 130
    assert len(rows(out)) == 2 and charges(out)["site-02"] == [1, 2, 3]


def test_critics_go_on_where_a_run_was_interrupted(tmp_path: Path) -> None:
    """To the bit, each round charged once, and nothing is left of them at the end."""
    config, whole, out, lost = settings(tmp_path, CRITICS), *(tmp_path / n for n in ("whole", "cut", "lost"))
    assert simulate(config, "--out", whole) == 0
    for folder in (out, lost):
        interrupted(config, folder)
    assert all(remembered(out).values()) and len(remembered(out)) == 2
    for path in (lost / "ledgers").glob("*.memory"):
        path.unlink()
    for folder in (out, lost):
        assert simulate("--resume", "--out", folder) == 0
        assert charges(folder) == charges(whole) == {"site-01": [1, 2, 3, 4], "site-02": [1, 2, 3, 4]}
        assert not any(remembered(folder).values())
    assert rows(out) == rows(whole) and state(out) == state(whole)
    assert state(lost) != state(whole), "vacuous: critics remember nothing"


def test_a_fit_that_was_interrupted_is_made_again_for_the_same_charge(tmp_path: Path) -> None:
    config, whole, out = settings(tmp_path, FITTED), tmp_path / "whole", tmp_path / "cut"
    assert simulate(config, "--out", whole) == 0

    def fitted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moments, "fitted", fitted)
        assert simulate(config, "--out", out) == 130
    assert rows(out) == [] and charges(out) == charges(whole)
    assert simulate("--resume", "--out", out) == 0
    assert rows(out) == rows(whole) and state(out) == state(whole)
    assert charges(out) == {"site-01": [1], "site-02": [1]}
