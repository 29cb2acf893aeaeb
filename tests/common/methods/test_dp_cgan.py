"""DP-CGAN: people teach the half that is theirs, and the server the half that is public."""

from __future__ import annotations

import torch

from common.methods.dp_cgan import DPCGAN
from tests.common.methods.game import Chance, method, moved, people, played


def _method(**options: float) -> DPCGAN:
    found = method("dp_cgan", **options)
    assert isinstance(found, DPCGAN)
    return found


def test_no_fake_travels_and_none_enters_a_persons_loss() -> None:
    rule = _method()
    state = rule.broadcast(moved(rule))
    assert not any("fakes" in name or "generator" in name for name in state.arrays)
    assert rule.examples(state, people(2), Chance(2, 0)).keys() == {"latents", "labels", "mask"}


def test_the_fake_part_is_clipped_by_groups() -> None:
    whole = _method(fake_norm=1e6)
    state = moved(whole)
    free = float(whole._fake_part(state).norm())
    assert free > 0.1
    assert float(_method(fake_norm=0.01)._fake_part(state).norm()) <= 0.01 < free


def test_the_parts_cancel_where_real_motions_are_fakes() -> None:
    """Clipped alike, at a critic that says zero; unlike norms leave a pull, which is the control."""
    rule = _method(motions=1, fake_norm=0.05, fake_groups=4096)
    state = rule.init(0)
    labels = rule.labels_of(4096, torch.Generator().manual_seed(9))
    fakes = rule.fake_of(labels, state.arrays["fakes"], torch.Generator().manual_seed(8))
    parameters = {n: v.clone().requires_grad_() for n, v in rule.parameters(state).items()}
    total = torch.zeros(rule.dimension)
    for row in range(1024):
        examples = {"latents": fakes[row][None, None], "labels": labels[row][None, None]}
        loss = rule.loss(parameters, {**examples, "mask": torch.ones(1, 1, dtype=torch.bool)}).sum()
        found = torch.autograd.grad(loss, [parameters[n] for n in rule.layout.names])
        gradient = torch.cat([part.flatten() for part in found])
        total += gradient * (0.05 / gradient.norm()).clamp_max(1.0) / 1024
    left = float((total + rule._fake_part(state)).norm())
    assert left < 0.15 * float(total.norm())
    other = _method(motions=1, fake_norm=0.1, fake_groups=4096)
    assert float((total + other._fake_part(state)).norm()) > 0.8 * float(total.norm())


def test_the_generator_comes_closer_to_the_people() -> None:
    users = people(64, shift=1.0)
    options = {"generator_steps": 4, "total_rounds": 40, "critic_rate": 3e-2, "fake_norm": 1e6}
    means = []
    for rate in (1e-7, 5e-3):
        rule = _method(generator_rate=rate, **options)
        generator = rule.generator(played(rule, users, 40))
        means.append(
            float(rule.drawn(generator.parameters, torch.arange(2).repeat(300), torch.Generator()).mean())
        )
    assert abs(means[1] - 1) < 0.6 * abs(means[0] - 1)
