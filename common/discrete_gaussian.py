"""The discrete Gaussian N_Z(0, s^2): P(x) proportional to exp(-x^2 / (2 s^2)) on the integers.

The noise of secure aggregation. Draws come from a stream of the operating system's
entropy and a table of cumulative probabilities with 320 bits, made in whole numbers: no
floating point takes part. A draw is within total variation `TABLE_ERROR` of N_Z(0, s^2).
Wide noise is y + m y' with independent y and y' from tables (Micciancio and Walter 2017):
each probability is then within a factor exp(+-`CONVOLUTION_ERROR`) as well.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from common.noise import Stream

Integers = NDArray[np.int64]

TABLE_ERROR = 2.0**-300
"""Total variation of one draw: 2^16 thresholds rounded down at 2^-320, and tails beyond them below 2^-330."""

CONVOLUTION_ERROR = 1e-300
"""4 exp(-2 pi^2 t^2) for each of at most five convolutions, t > 7 (see `_Wide`): below 1e-400."""

LEAST_STD, MOST_STD = 0.5, 2.0**40

_BITS = 320
_LOW = _BITS - 64
_WORK = 448  # bits behind the binary point while a table is made
_NARROW = 1024
_SMOOTH = 8
_FACTOR = 128
_BLOCK = 2**16
_OPEN = np.int16(-(2**15))


class DiscreteGaussian:
    """Draws from N_Z(0, `variance`); the tables of the last few variances are kept."""

    def __init__(self, variance: Fraction | float) -> None:
        exact = Fraction(variance)
        if not LEAST_STD**2 <= exact <= MOST_STD**2:
            raise ValueError(f"standard deviation {float(exact) ** 0.5} is not in [{LEAST_STD}, {MOST_STD}]")
        self._source = _source(exact)

    def draw(self, stream: Stream, count: int) -> Integers:
        """`[count]` int64."""
        values = np.empty(count, dtype=np.int64)
        for start in range(0, count, _BLOCK):
            block = values[start : start + _BLOCK]
            block[:] = self._source.draw(stream, len(block))
        return values


class _Table:
    """Inversion of the cumulative distribution, 16 bits first and more only where these do not decide.

    A draw is the number of thresholds not above a uniform number of 320 bits. `_guide` has
    the answer for each cell of its leading 16 bits, or `_OPEN` if a threshold lies within.
    """

    def __init__(self, variance: Fraction) -> None:
        self._thresholds, self._least = _thresholds(variance)
        self._leading = np.array([t >> _LOW for t in self._thresholds], dtype=np.uint64)
        cells = (self._leading >> np.uint64(48)).astype(np.int64)
        self._within = np.bincount(cells, minlength=2**16)
        self._below = np.cumsum(self._within) - self._within
        guide = np.where(self._within == 0, self._below + self._least, _OPEN)
        self._guide = guide.astype(np.int16)

    def draw(self, stream: Stream, count: int) -> NDArray[np.int16]:
        cells = stream.halves(count)
        values = self._guide[cells]
        undecided = np.flatnonzero(values == _OPEN)
        if undecided.size:
            values[undecided] = self._refined(stream, cells[undecided])
        return values

    def _refined(self, stream: Stream, cells: NDArray[np.uint16]) -> NDArray[np.int16]:
        """Values of cells that hold thresholds: 48 bits more, and the last 256 where these are equal."""
        leading = (cells.astype(np.uint64) << np.uint64(48)) | (stream.words(len(cells)) >> np.uint64(16))
        places = self._below[cells]
        passed = leading > self._leading[places]
        several = np.flatnonzero(passed & (self._within[cells] > 1))
        places += passed
        places[several] = np.searchsorted(self._leading, leading[several])
        tied = np.flatnonzero(self._leading[np.minimum(places, len(self._leading) - 1)] == leading)
        for index in tied:  # once in 2^48 draws at an inner threshold
            low = int.from_bytes(stream.words(_LOW // 64).tobytes(), "little")
            places[index] = bisect_right(self._thresholds, (int(leading[index]) << _LOW) | low)
        return (places + self._least).astype(np.int16)


class _Wide:
    """y + m y', with y from a table of standard deviation 8 m and y' from N_Z(0, (s / m)^2 - 64).

    Completing the square, P(x) is exp(-x^2 / (2 s^2)) times the sum over the integers of a Gaussian of
    width t = 8 sqrt(1 - 64 m^2 / s^2) > 7, which by Poisson summation depends on its
    centre by a factor within exp(+-4 exp(-2 pi^2 t^2)) only.
    """

    def __init__(self, variance: Fraction) -> None:
        self._step = next(m for m in range(2, _FACTOR + 1) if _fits(variance, m))
        self._fine = _source(Fraction((_SMOOTH * self._step) ** 2))
        self._coarse = _source(variance / self._step**2 - _SMOOTH**2)

    def draw(self, stream: Stream, count: int) -> Integers:
        coarse = self._coarse.draw(stream, count).astype(np.int64)
        return coarse * self._step + self._fine.draw(stream, count)


def _fits(variance: Fraction, step: int) -> bool:
    return step == _FACTOR or variance <= (step * _NARROW) ** 2


@lru_cache(maxsize=32)
def _source(variance: Fraction) -> _Table | _Wide:
    return _Table(variance) if variance <= _NARROW**2 else _Wide(variance)


def _thresholds(variance: Fraction) -> tuple[list[int], int]:
    """(cumulative probabilities of least, least + 1, ... in units of 2^-320 but for the last, least).

    exp(-x^2 / (2 s^2)) by its ratios, each exp(-1 / s^2) times the one before; the errors
    of 2^15 such products stay below 2^-400.
    """
    with localcontext() as context:
        context.prec = 160
        inverse = Decimal(variance.denominator) / Decimal(variance.numerator)
        ratio, factor = (int((-inverse * share).exp() * 2**_WORK) for share in (Decimal("0.5"), Decimal(1)))
    masses = [1 << _WORK]
    while masses[-1] >> (_WORK - _BITS - 20):
        masses.append(masses[-1] * ratio >> _WORK)
        ratio = ratio * factor >> _WORK
    line = masses[:0:-1] + masses
    total, passed, thresholds = sum(line), 0, []
    for mass in line[:-1]:
        passed += mass
        thresholds.append((passed << _BITS) // total)
    return thresholds, 1 - len(masses)
