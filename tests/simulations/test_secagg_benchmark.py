"""The table of what a secure sum costs: the real protocol, on vectors of noise."""

from __future__ import annotations

from simulations.benchmarks.secagg import measured


def test_a_secure_sum_takes_five_questions_of_each_site_and_few_more_bytes() -> None:
    sites, dimension = 3, 1000
    local, _ = measured(sites, "local", dimension)
    secure, _ = measured(sites, "secagg", dimension)
    assert (local.questions, secure.questions) == (sites, 5 * sites)
    assert 4 * dimension * sites < local.sent < secure.sent < local.sent + 3000 * sites
