"""The bound on one unit's influence: whatever the numbers are, a row has norm at most C or is zero."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from client.clipping.bound import Rows, clipped_sum
from tests.clipping import clip_rows, written

NASTY = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    1e-40,
    6e-8,
    65504.0,
    1e38,
    -3e38,
    float("inf"),
    float("-inf"),
    float("nan"),
]
numbers = st.one_of(st.sampled_from(NASTY), st.floats(width=32))
rows_of_numbers = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(
    rows=rows_of_numbers,
    kind=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    clip_norm=st.sampled_from([1e-6, 0.1, 1.0, 1e6]),
)
@example(rows=[[1e38] * 6, [float("nan"), 1, 1, 1, 1, 1]], kind=torch.float32, clip_norm=1.0)
def test_a_clipped_row_has_norm_at_most_c_and_only_rows_that_are_not_finite_are_zero(
    rows: list[list[float]], kind: torch.dtype, clip_norm: float
) -> None:
    given_rows = torch.tensor(rows, dtype=torch.float64).to(kind)
    clipped = clip_rows(given_rows, clip_norm)
    norms = clipped.norm(dim=1)
    assert bool((norms <= clip_norm).all())
    wide = given_rows.to(torch.float64)
    finite = torch.isfinite(wide).all(dim=1)
    assert bool((clipped[~finite] == 0).all())
    small = finite & (wide.norm(dim=1) < clip_norm * (1 - 2e-4))
    assert torch.equal(clipped[small], wide[small])
    large = finite & (wide.norm(dim=1) > clip_norm)
    assert bool((norms[large] >= clip_norm * (1 - 2e-4)).all())


def test_a_hundred_thousand_random_rows_keep_the_bound() -> None:
    random = torch.Generator().manual_seed(0)
    scale = 10 ** (torch.rand(100_000, 1, generator=random) * 76 - 38)
    rows = (torch.randn(100_000, 8, generator=random) * scale).to(torch.float32)
    norms = clip_rows(rows, 0.3).norm(dim=1)
    assert 0.29994 < float(norms.max()) <= 0.3


def test_control_the_usual_clip_lets_a_nan_and_an_overflow_through() -> None:
    """What clipping by min(1, C / norm) in float32 does: the reason for selection and double norms."""
    rows = torch.tensor([[float("nan"), 1.0], [3e38, 3e38]])
    usual = rows * torch.clamp(1.0 / rows.norm(dim=1, keepdim=True), max=1.0)
    assert bool(torch.isnan(usual[0]).all())
    assert float(usual[1].norm()) == 0  # lost, where ours keeps a row of norm C
    assert float(clip_rows(rows, 1.0)[1].norm()) == pytest.approx(1.0, abs=2e-4)


def table(units: int, dimension: int = 12) -> Tensor:
    return torch.randn(units, dimension, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_the_sum_does_not_depend_on_the_size_of_chunks(chunk: int) -> None:
    values = table(30)
    expected = clip_rows(values, 1.0).sum(dim=0)
    found = clipped_sum(written(values), range(30), 12, 1.0, [chunk])
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_a_person_who_raises_is_the_only_one_left_out(chunk: int) -> None:
    values = table(10)

    def rows(units: Sequence[int]) -> Rows:
        if 3 in units:
            raise ValueError("damaged")
        return Rows([values[list(units)]])

    others = [unit for unit in range(10) if unit != 3]
    found = clipped_sum(rows, range(10), 12, 1.0, [chunk])
    assert torch.allclose(found, clip_rows(values[others], 1.0).sum(dim=0))


def test_a_person_who_is_not_finite_is_the_only_one_left_out() -> None:
    values = table(10)
    values[3, 2] = float("nan")
    others = [unit for unit in range(10) if unit != 3]
    found = clipped_sum(written(values), range(10), 12, 1.0, [16])
    assert torch.allclose(found, clip_rows(values[others], 1.0).sum(dim=0))


def test_every_chunk_has_the_same_shape_whoever_was_drawn() -> None:
    seen: set[int] = set()

    def rows(units: Sequence[int]) -> Rows:
        seen.add(len(units))
        return Rows([table(30)[list(units)]])

    for drawn in ([], [4], list(range(9)), list(range(30))):
        assert clipped_sum(rows, drawn, 12, 1.0, [8]).shape == (12,)
    assert seen == {8}


@pytest.mark.parametrize("shape", [(1,), (5,), (12, 1)])
def test_contributions_of_another_shape_count_as_nothing(shape: tuple[int, ...]) -> None:
    """A row of one number would otherwise broadcast into all coordinates, past the bound."""
    found = clipped_sum(lambda u: Rows([torch.ones(len(u), *shape)]), range(4), 12, 1.0, [16])
    assert bool((found == 0).all())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ],
)
def test_a_machine_that_fails_is_nobodys_fault(error: Exception) -> None:
    """It must not turn into zeros for whoever happened to share a chunk."""

    def rows(units: Sequence[int]) -> Rows:
        raise error

    with pytest.raises(type(error)):
        clipped_sum(rows, range(4), 12, 1.0, [16])
