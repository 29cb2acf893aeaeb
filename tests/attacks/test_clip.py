"""The clip under every number there is (T1), by the clipped sum that the gate calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import client.gate
from tests.clipping import written

SUBNORMAL, LARGEST = 1e-45, 3.4028234663852886e38
NASTY = [0.0, -0.0, 1.0, SUBNORMAL, -1e-40, 6e-8, 65504.0, 1e38, LARGEST, -LARGEST]
NOT_FINITE = [math.inf, -math.inf, math.nan]
KINDS = [torch.float16, torch.bfloat16, torch.float32]
C_NORMS = [1e-6, 0.1, 1.0, 1e6]

numbers = st.one_of(st.sampled_from(NASTY), st.sampled_from(NASTY + NOT_FINITE), st.floats(width=32))
tables = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=6)
)


def summed(rows: Tensor, clip_norm: float, width: int) -> Tensor:
    """The clipped sum of `rows`, so many units computed at once; the only place that knows how to call it."""
    clipped_sum: Callable[..., Tensor] = vars(client.gate)["clipped_sum"]
    units = range(len(rows))
    return clipped_sum(written(rows), units, rows.shape[1], clip_norm, [width])


def keeps_the_bound(table: list[list[float]], kind: torch.dtype, clip_norm: float, width: int) -> None:
    """Every row alone within C, what is not finite as nothing, and the sum the sum of these."""
    rows = torch.tensor(table, dtype=torch.float64).to(kind)
    alone = torch.stack([summed(row[None], clip_norm, 1) for row in rows])
    assert bool((alone.norm(dim=1) <= clip_norm).all())
    broken = ~torch.isfinite(rows).all(dim=1)
    assert not bool(alone[broken].any())
    wide = rows[~broken].to(torch.float64)
    expected = wide * torch.clamp(clip_norm / wide.norm(dim=1, keepdim=True).clamp_min(1e-300), max=1)
    assert torch.allclose(alone[~broken], expected, rtol=2e-4, atol=0)
    together = summed(rows, clip_norm, width)
    assert float((together - alone.sum(dim=0)).norm()) <= 1e-5 * clip_norm
    without_last = summed(rows[:-1], clip_norm, width)
    assert float((together - without_last).norm()) <= clip_norm * (1 + 1e-9)


def check_clip(_: Path, cases: int) -> None:
    @settings(max_examples=cases, report_multiple_bugs=False)
    @given(
        table=tables,
        kind=st.sampled_from(KINDS),
        clip_norm=st.sampled_from(C_NORMS),
        width=st.sampled_from([1, 2, 7, 64]),
    )
    def every(table: list[list[float]], kind: torch.dtype, clip_norm: float, width: int) -> None:
        keeps_the_bound(table, kind, clip_norm, width)

    every()


def test_no_row_of_any_numbers_passes_the_bound_or_raises(tmp_path: Path) -> None:
    check_clip(tmp_path, 1000)


@pytest.mark.attack
@pytest.mark.timeout(600)
def test_ten_thousand_sites_of_any_numbers_keep_the_bound(tmp_path: Path) -> None:
    check_clip(tmp_path, 10_000)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_sites_of_any_numbers_keep_the_bound(tmp_path: Path) -> None:
    check_clip(tmp_path, 100_000)
