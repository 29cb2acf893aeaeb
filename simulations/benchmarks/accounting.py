"""What one claim costs to compute and how tight it is, beside accountants of Opacus and dp-accounting."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial

from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant
from rich.table import Table

from common.accounting import CLAIM_INTERVAL, DISPLAY_INTERVAL, epsilon
from common.event import PrivacyEvent

_CASES = ((1.0, 0.01, 10_000, 1e-5), (1.0, 0.01, 1000, 1e-5), (0.8, 0.02, 2000, 1e-5), (2.0, 0.1, 500, 1e-5))


def table() -> Table:
    """Epsilon and seconds from scratch for each accountant; add or remove one unit, Poisson sampling."""
    result = Table(title="accounting: epsilon (seconds of CPU), add or remove one unit, Poisson sampling")
    names = ("ours, claim", "ours, again", "ours, display", "dp-accounting RDP", "Opacus PRV", "Opacus RDP")
    for name in ("noise, rate, steps, delta", *names):
        result.add_column(name, justify="right")
    for case in _CASES:
        event = PrivacyEvent(noise_multiplier=case[0], sampling_rate=case[1], count=case[2])
        calls: tuple[Callable[[], float], ...] = (
            partial(epsilon, [event], case[3], CLAIM_INTERVAL),
            partial(epsilon, [event], case[3], CLAIM_INTERVAL),
            partial(epsilon, [event], case[3], DISPLAY_INTERVAL),
            partial(_renyi, *case),
            partial(_opacus, "prv", *case),
            partial(_opacus, "rdp", *case),
        )
        result.add_row(", ".join(f"{value:g}" for value in case), *(_timed(call) for call in calls))
    return result


def _timed(call: Callable[[], float]) -> str:
    start = time.process_time()
    found = call()
    return f"{found:.4f} ({time.process_time() - start:.2g})"


def _renyi(noise_multiplier: float, sampling_rate: float, steps: int, delta: float) -> float:
    event = PoissonSampledDpEvent(sampling_rate, GaussianDpEvent(noise_multiplier))
    return float(RdpAccountant().compose(event, steps).get_epsilon(delta))


def _opacus(name: str, noise_multiplier: float, sampling_rate: float, steps: int, delta: float) -> float:
    from opacus.accountants import create_accountant

    accountant = create_accountant(name)
    accountant.history = [(noise_multiplier, sampling_rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on orders at the end of its list
        return float(accountant.get_epsilon(delta))
