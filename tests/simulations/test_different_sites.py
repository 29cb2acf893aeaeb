"""Sites that differ: each site's people are of its own population, and nobody's removal moves anyone."""

from __future__ import annotations

from collections import Counter

import numpy as np

from simulations.config import Simulation
from simulations.partition import deal
from simulations.prepare import data_options, open_people


def mixes(heterogeneity: float) -> list[Counter[str | None]]:
    """How often each action is performed at each of four sites."""
    settings = {"people": 400, "sites": 4, "heterogeneity": heterogeneity, "seed": 3, "holdout": 0.1}
    config = Simulation.model_validate(settings)
    data = open_people(config)
    return [Counter(r.label for r in data.recordings(site.share.select(data))) for site in deal(config, data)]


def apart(counts: list[Counter[str | None]]) -> float:
    """Mean total variation between the mixes of two sites, without the walk that everybody starts with."""
    actions = sorted({str(a) for count in counts for a in count} - {"walk"})
    shares = np.array([[count[action] for action in actions] for count in counts], dtype=np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    return float(np.mean([abs(a - b).sum() / 2 for i, a in enumerate(shares) for b in shares[:i]]))


def test_sites_differ_as_they_are_told_to() -> None:
    assert apart(mixes(0.0)) < 0.12 < 0.3 < apart(mixes(2.0))


def test_a_site_reads_its_people_as_the_simulation_does() -> None:
    config = Simulation.model_validate(
        {"people": 60, "heterogeneity": 2.0, "site": [{"name": "a", "share": 3}, {"name": "b"}]}
    )
    assert data_options(config).sites == (3.0, 1.0) and data_options(config).holdout == 0.2
    everybody = open_people(config)
    fewer = open_people(config.model_copy(update={"people": 40}))
    whole = {r.name: r.samples for r in everybody.recordings(everybody.people())}
    for recording in fewer.recordings(fewer.people()[::5]):
        np.testing.assert_allclose(recording.samples, whole[recording.name], atol=1e-5)
