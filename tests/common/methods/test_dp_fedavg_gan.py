"""DP-FedAvg-GAN: a person's delta is that of plain SGD, whoever stands beside; the server adds the mean."""

from __future__ import annotations

import torch
from torch import Tensor

from common.methods.dp_fedavg_gan import DPFedAvgGAN
from tests.common.methods.game import Chance, method, moved, people, played

PAPER: dict[str, float | str] = {
    "loss_kind": "wasserstein",
    "penalty": 10.0,
    "server": "sgd",
    "critic_rate": 1.0,
}


def _method(**options: float | str) -> DPFedAvgGAN:
    found = method("dp_fedavg_gan", **options)
    assert isinstance(found, DPFedAvgGAN)
    return found


def _plain(rule: DPFedAvgGAN, parameters: dict[str, Tensor], row: dict[str, Tensor]) -> Tensor:
    """One person's delta by `Critic.apply` and a loop over motions and fakes."""
    theta = dict(parameters)
    for step in range(rule.local_steps):
        theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        each = []
        for m in torch.nonzero(row["mask"])[:, 0].tolist():
            x, y = row["latents"][m], row["labels"][m]
            cost = -rule.critic.apply(theta, x, y)
            for k in range(step * rule.replicas, (step + 1) * rule.replicas):
                fake, share = row["fakes"][m, k], row["between"][m, k]
                middle = (share * x + (1 - share) * fake).requires_grad_()
                score = rule.critic.apply(theta, middle, y)
                (slope,) = torch.autograd.grad(score, middle, create_graph=True)
                penalty = rule.penalty * (slope.norm() - 1) ** 2
                cost = cost + (rule.critic.apply(theta, fake, y) + penalty) / rule.replicas
            each.append(cost)
        found = torch.autograd.grad(torch.stack(each).mean(), list(theta.values()))
        theta = {n: v - rule.local_rate * g for (n, v), g in zip(theta.items(), found, strict=True)}
    return torch.cat([(theta[n] - parameters[n]).detach().flatten() for n in rule.layout.names])


def test_a_delta_is_that_of_a_persons_own_sgd() -> None:
    rule = _method(**{**PAPER, "local_steps": 3, "replicas": 2, "local_rate": 0.02, "critic_depth": 2})
    state, users = moved(rule), people(4)
    examples, parameters = rule.examples(state, users, Chance(4, 0)), rule.parameters(state)
    found = rule.contributions(parameters, examples)
    assert found.shape == (4, rule.dimension)
    for u in range(4):
        expected = _plain(rule, parameters, {name: value[u] for name, value in examples.items()})
        assert float((found[u] - expected).norm()) <= 1e-4 * float(expected.norm())


def test_a_delta_keeps_its_bits_beside_others() -> None:
    rule = _method()
    state, users = moved(rule), people(16)
    examples = rule.examples(state, users, Chance(16, 0))
    whole = rule.contributions(rule.parameters(state), examples)
    turned = {name: value.flip(0) for name, value in examples.items()}
    assert torch.equal(rule.contributions(rule.parameters(state), turned).flip(0), whole)
    spoilt = {name: value.clone() for name, value in examples.items()}
    spoilt["latents"][1:] = torch.nan
    assert torch.equal(rule.contributions(rule.parameters(state), spoilt)[0], whole[0])


def test_a_critic_that_says_nothing_has_a_slope_and_no_nan() -> None:
    rule = _method(**PAPER)
    state, users = rule.init(0), people(3)
    found = rule.contributions(rule.parameters(state), rule.examples(state, users, Chance(3, 0)))
    assert bool(torch.isfinite(found).all())
    assert float(found.norm()) > 0


def test_the_server_adds_the_mean_delta() -> None:
    rule = _method(memory=1.0, spectral=1e6, critic_rate=2.0, server="sgd")
    state, delta = moved(rule), torch.full((rule.dimension,), 0.01)
    before, after = rule.parameters(state), rule.parameters(rule.update(state, delta, 0.0))
    assert all(torch.allclose(after[name], before[name] + 0.02, atol=1e-6) for name in before)
    adam = rule.parameters(
        _method(memory=1.0, spectral=1e6, critic_rate=0.5, server="adam").update(state, delta, 0.0)
    )
    assert all(bool((adam[name] > before[name] + 0.1).all()) for name in before)


def test_the_generator_comes_closer_to_the_people() -> None:
    users = people(64, shift=1.0)
    means = []
    for rate in (1e-7, 5e-3):
        rule = _method(generator_rate=rate, generator_steps=4, total_rounds=40)
        generator = rule.generator(played(rule, users, 40))
        means.append(
            float(rule.drawn(generator.parameters, torch.arange(2).repeat(300), torch.Generator()).mean())
        )
    assert abs(means[1] - 1) < 0.6 * abs(means[0] - 1)
