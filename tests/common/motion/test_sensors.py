from __future__ import annotations

import numpy as np

from common.motion.sensors import SENSOR, fill_window, label_runs


def test_runs_follow_the_labels_and_keep_gravity() -> None:
    times = np.arange(1040) / 104.0
    values = np.zeros((1040, 6))
    values[:, 2] = 9.81
    labels = ["SEATED"] * 312 + ["WALKING"] * 416 + ["SEATED"] * 312
    runs = label_runs(times, values, labels, SENSOR.rate)
    assert [run.label for run in runs] == ["SEATED", "WALKING", "SEATED"]
    assert [len(run.samples) for run in runs] == [150, 200, 150]
    assert all(run.samples.dtype == np.float32 for run in runs)
    assert all(np.allclose(run.samples[:, 2], 9.81, atol=1e-3) for run in runs)


def test_nothing_is_interpolated_over_a_gap() -> None:
    times = np.concatenate([np.arange(200), np.arange(200) + 500]) / 100.0
    values = np.where(times < 3, 0.0, 1.0)[:, None]
    runs = label_runs(times, values, None, 50.0)
    assert [len(run.samples) for run in runs] == [100, 100]
    assert np.allclose(runs[0].samples, 0) and np.allclose(runs[1].samples, 1)


def test_the_padding_rule_looks_at_the_run_alone() -> None:
    run = np.arange(40, dtype=np.float32)[:, None]
    filled = fill_window(run, 64)
    assert filled is not None and len(filled) == 64
    assert np.array_equal(filled[:40], run) and np.array_equal(filled[40:], run[:15:-1])
    assert fill_window(run[:32], 64) is not None
    assert fill_window(run[:31], 64) is None
    assert fill_window(np.zeros((100, 1), np.float32), 64) is not None
