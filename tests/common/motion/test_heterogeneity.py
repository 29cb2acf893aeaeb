"""Sites that differ, by public numbers alone."""

from __future__ import annotations

import numpy as np
import pytest

from common.motion.heterogeneity import STRONGEST, at_site
from common.motion.population import PRIVATE, PRIVATE_ALL, ground_truth


def test_without_heterogeneity_sites_are_the_same() -> None:
    assert at_site(PRIVATE, 0.0, 3, 5) is PRIVATE


def test_sites_are_drawn_by_seed_and_number() -> None:
    one = at_site(PRIVATE, 1.0, 3, 5)
    assert one == at_site(PRIVATE, 1.0, 3, 5)
    assert len({at_site(PRIVATE, 1.0, seed, site) for seed in (3, 4) for site in (5, 6)}) == 4


@pytest.mark.parametrize("heterogeneity", [0.2, 2.0])
def test_the_mix_of_actions_is_dirichlet_with_alpha_one_over_it(heterogeneity: float) -> None:
    mixes = np.array([at_site(PRIVATE, heterogeneity, 1, site).action_mix for site in range(600)])
    np.testing.assert_allclose(mixes.sum(axis=1), 1)
    share, alpha = 1 / 6, 6 / heterogeneity
    np.testing.assert_allclose(mixes.mean(axis=0), share, atol=0.03)
    np.testing.assert_allclose(mixes.var(axis=0), share * (1 - share) / (alpha + 1), rtol=0.25)


def test_the_strongest_still_makes_sense() -> None:
    for site in range(300):
        at_site(PRIVATE_ALL, STRONGEST, 0, site).check()


def test_mean_traits_move_and_nobodys_own_randomness_does() -> None:
    people = range(60)
    base = ground_truth(PRIVATE, 2, people)
    moved = [ground_truth(at_site(PRIVATE, 2.0, 2, site), 2, people) for site in range(30)]
    shifts = np.array([m.stature - base.stature for m in moved])
    np.testing.assert_allclose(shifts.std(axis=1), 0, atol=1e-12)
    assert 0.2 < shifts[:, 0].std() / PRIVATE.stature_sd < 0.8
    assert all((m.left == base.left).all() and (m.male == base.male).all() for m in moved)
