"""The time of a training is that of all its attempts, killed ones up to their last round."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from server.rounds import METRICS
from simulations.stopwatch import FILE, seconds, timed


def test_attempts_add_up(tmp_path: Path) -> None:
    assert seconds(tmp_path) is None
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), timed(tmp_path):
            time.sleep(0.06)
            raise KeyboardInterrupt
    assert 0.1 < (seconds(tmp_path) or 0) < 30


def test_a_killed_attempt_counts_up_to_its_last_round(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"seconds": 5.0, "since": 1000.0}))
    assert seconds(tmp_path) == 5.0, "no round was done"
    (tmp_path / METRICS).write_text("")
    os.utime(tmp_path / METRICS, (1007.5, 1007.5))
    assert seconds(tmp_path) == 12.5
    with timed(tmp_path):
        pass
    assert 12.5 <= (seconds(tmp_path) or 0) < 30
