"""The clipped sum in whole numbers: bounded, exact, the same in any chunks, nobody's fault another's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from client.clipping import integers
from client.clipping.bound import Contributions, Rows
from client.clipping.ghost import Factors, Mixed
from common.integer_noise import toward_zero, verified
from tests.clipping import clip_rows, written

C, SCALE = 0.5, 2**16
WIDTHS = (8, 4, 2, 1)


def total(values: Tensor, scale: int = SCALE, widths: Sequence[int] = WIDTHS) -> Tensor:
    people = range(len(values))
    return integers.integer_sum(written(values.clone()), people, values.shape[1], C, scale, widths)


def norm(whole: Tensor) -> float:
    return math.sqrt(sum(int(x) ** 2 for x in whole))


def rows(people: int, dimension: int, size: float = 3.0) -> Tensor:
    return size * torch.randn(people, dimension, generator=torch.Generator().manual_seed(people))


def test_each_row_is_clipped_and_rounded_toward_zero() -> None:
    values = rows(13, 300)
    values[3] *= 1e-4  # within the clip already
    expected = toward_zero(clip_rows(values, C), SCALE)
    assert torch.equal(verified(expected, int(C * SCALE)), expected)
    assert torch.equal(total(values), expected.sum(dim=0))
    assert total(values).dtype == torch.int64


@pytest.mark.parametrize("widths", [(16, 8, 4, 2, 1), (4, 1), (1,)])
def test_chunks_and_order_move_no_bit(widths: tuple[int, ...]) -> None:
    values = rows(29, 5000)
    turned = values[torch.randperm(29, generator=torch.Generator().manual_seed(0))]
    assert torch.equal(total(values), total(turned, widths=widths))


@pytest.mark.parametrize("harm", [math.nan, math.inf, -math.inf, 3e38])
def test_a_person_who_is_not_finite_counts_as_nothing(harm: float) -> None:
    values = rows(5, 40)
    without = torch.cat([values[:2], values[3:]])
    values[2, 7] = harm
    found = total(values)
    assert torch.equal(found, total(without)) or (harm == 3e38 and norm(found - total(without)) <= C * SCALE)


def test_a_person_who_raises_counts_as_nothing() -> None:
    values = rows(6, 40)

    def compute(units: Sequence[int]) -> Rows:
        if 4 in units:
            raise ValueError("a damaged recording")
        return Rows([values[list(units)]])

    found = integers.integer_sum(compute, range(6), 40, C, SCALE, (8, 4, 1))
    assert torch.equal(found, total(values[[0, 1, 2, 3, 5]]))


def test_parts_of_any_width_make_the_same_sum() -> None:
    values = rows(7, 600)

    def compute(units: Sequence[int]) -> Rows:
        chosen = values[list(units)]
        return Rows([chosen[:, :1], chosen[:, 1:513], chosen[:, 513:]])

    found = integers.integer_sum(compute, range(7), 600, C, SCALE, (4, 1))
    assert torch.equal(found, total(values))


def test_rows_that_are_not_written_out_are_clipped_by_what_they_round_to() -> None:
    """A Gram norm is not to the bit the norm of the row that its engine writes out."""
    random = torch.Generator().manual_seed(0)
    left, right = (torch.randn(6, 9, width, generator=random) for width in (5, 7))

    def compute(units: Sequence[int]) -> Contributions:
        chosen = list(units)
        return Mixed([Factors(left[chosen], right[chosen]), Rows([left[chosen, 0]])], [35, 5])

    plain = torch.stack([compute([u]).row(0) for u in range(6)])
    found = integers.integer_sum(compute, range(6), 40, C, SCALE, (4, 1))
    assert torch.equal(found, total(plain))


def test_nobody_is_an_empty_sum() -> None:
    found = integers.integer_sum(written(rows(1, 12)), [], 12, C, SCALE, WIDTHS)
    assert torch.equal(found, torch.zeros(12, dtype=torch.int64))


def check_rounding(_: Path) -> None:
    """A clipped row whose coordinates all stand above a half keeps its bound, and counts.

    Rounded to nearest it would be longer than C x scale: not verified, it is the zero vector; not
    even looked at, it moves the sum by more than what is charged for.
    """
    dimension, scale = 1250, 2**8  # coarse: C x scale is 128, and each coordinate 3.62
    found = total(torch.ones(1, dimension), scale)
    assert 0 < norm(found) <= C * scale


def test_rounding_never_lengthens_a_row_and_loses_nobody(tmp_path: Path) -> None:
    check_rounding(tmp_path)


@pytest.mark.parametrize("scale", [2**8, SCALE])
def test_the_bound_is_reached_and_never_passed(scale: int) -> None:
    values = torch.zeros(1, 3)
    values[0, 0] = 1e6
    assert norm(total(values, scale)) <= C * scale
    assert norm(total(values, SCALE)) >= 0.999 * C * SCALE
