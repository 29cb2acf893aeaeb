"""The integer path: contributions as whole numbers, and what their discrete Gaussian noise is worth.

The server of a secure aggregation sees (sum of integer contributions + sum of the sites'
discrete Gaussians) modulo 2^b; the modulus is post-processing. The claim is that of a
slightly smaller continuous Gaussian (`IntegerNoise.event`), a proof and no approximation:
docs/accounting.md has the argument, the tests its numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from common.accounting import MARGIN
from common.discrete_gaussian import CONVOLUTION_ERROR, MOST_STD
from common.errors import InputError
from common.event import PrivacyEvent

LEAST_SHARE = 4.0
"""Least standard deviation of one site's share, in integer units: below it sums of shares are too rough."""

KERNEL = 2.0
"""r: the part of the noise, in integer units, that rounds a continuous Gaussian to a discrete one."""

_MASK = 2**31 - 1


def toward_zero(rows: Tensor, scale: int) -> Tensor:
    """`rows` x `scale`, a power of two, rounded toward zero: `[people, dimension]` int64.

    No norm grows: clipped rows stay within `clip_norm` x `scale`, which is the
    sensitivity of their sum. `verified` makes sure of it in whole numbers.
    """
    if scale < 1 or scale & (scale - 1):
        raise ValueError(f"scale {scale} is no power of two: the product would be rounded, perhaps upward")
    return torch.trunc(rows.to(torch.float64) * scale).to(torch.int64)


class Within:
    """Whose row of whole numbers has norm at most `bound` (at most 2^31), block by block: exact.

    The squares are summed in two parts of 31 bits, so that no sum wraps around.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._low = self._high = torch.zeros(1, dtype=torch.int64)
        self._fits: Tensor | None = None

    def add(self, block: Tensor) -> None:
        """Some columns of the rows, `[people, width]` int64."""
        fits = ((block <= self._bound) & (block >= -self._bound)).all(dim=1)  # no abs: -2^63 has none
        self._fits = fits if self._fits is None else self._fits & fits
        squares = torch.where(self._fits[:, None], block, torch.zeros_like(block)).square()
        self._low, self._high = self._low.to(block.device), self._high.to(block.device)
        low = (squares & _MASK).sum(dim=1) + self._low
        self._low, self._high = low & _MASK, (squares >> 31).sum(dim=1) + (low >> 31) + self._high

    def found(self) -> Tensor:
        """`[people]` bool."""
        if self._fits is None:
            raise ValueError("no rows were added")
        high, low = self._bound**2 >> 31, self._bound**2 & _MASK
        return self._fits & ((self._high < high) | ((self._high == high) & (self._low <= low)))


def verified(rows: Tensor, bound: int) -> Tensor:
    """`rows` int64, with zeros for each row whose norm is above `bound`: exact, see `Within`."""
    within = Within(bound)
    within.add(rows)
    return torch.where(within.found()[:, None], rows, torch.zeros_like(rows))


@dataclass(frozen=True, kw_only=True)
class IntegerNoise:
    """The noise in one sum, in integer units: `shares` discrete Gaussians that the adversary does not know.

    `share_std` is the standard deviation of each; `sensitivity` the most, in L2, by which one
    contribution moves the integer sum of `dimension` coordinates.
    """

    share_std: float
    shares: int
    sensitivity: float
    dimension: int

    def __post_init__(self) -> None:
        if not self.share_std >= LEAST_SHARE:
            raise InputError(
                f"a share of noise has standard deviation {self.share_std:g} in integer units: it must be"
                f" {LEAST_SHARE:g} or more; take a larger scale"
            )
        if not self.share_std <= MOST_STD / 2:
            raise InputError(
                f"a share of noise has standard deviation {self.share_std:g} in integer units: at most"
                f" {MOST_STD / 2:g} is drawn; take a smaller scale"
            )
        if self.shares < 1 or not 0 < self.sensitivity < math.inf or self.dimension < 1:
            raise InputError("integer noise needs a share, a coordinate and a finite sensitivity above 0")

    @property
    def noise_multiplier(self) -> float:
        """sqrt(n s_1^2 - r^2) / sensitivity, rounded down: the continuous Gaussian's that bounds the cost."""
        spread = self.shares * self.share_std**2 - KERNEL**2
        return math.sqrt(spread) / self.sensitivity * (1 - 1e-12)

    @property
    def slack(self) -> float:
        """What one release adds to epsilon: each coordinate's probabilities are within exp(+-slack / 2 d).

        4 exp(-2 pi^2 r^2) for the kernel; tau = 10 sum_{k<n} exp(-2 pi^2 s_1^2 k / (k + 1)) for
        the sum of n shares (Kairouz, Liu, Steinke 2021); the sampler's own for each share.
        """
        kernel = 4 * math.exp(-2 * math.pi**2 * KERNEL**2)
        exponents = (-2 * math.pi**2 * self.share_std**2 * k / (k + 1) for k in range(1, self.shares))
        tau = 10 * sum(math.exp(exponent) for exponent in exponents)
        return 2 * self.dimension * (kernel + tau + 5 * self.shares * CONVOLUTION_ERROR)

    def event(self, sampling_rate: float, count: int, multiplicity: int = 1) -> PrivacyEvent:
        """What `count` such sums cost; `common.accounting.epsilon` of it is the claim, slack included.

        The slack of all of them must stay below `common.accounting.MARGIN`, which every
        epsilon contains; what the tables add to delta is below 1e-50 and contained as well.
        """
        if count * self.slack > MARGIN:
            raise InputError(
                f"{count} sums of {self.dimension} coordinates add {count * self.slack:.2g} to epsilon,"
                f" more than the {MARGIN:g} that is accounted for: take fewer"
            )
        return PrivacyEvent(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=sampling_rate,
            count=count,
            multiplicity=multiplicity,
        )
