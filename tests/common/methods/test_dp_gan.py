"""DP-GAN: the loss of the paper, fakes of one's own labels, a game that comes closer to the data."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from common.generator.assets import under
from common.method import PublicState
from common.methods.dp_gan import DPGAN
from tests.common.methods.game import Chance, method, moved, people, played


def _method(**options: float) -> DPGAN:
    found = method("dp_gan", **options)
    assert isinstance(found, DPGAN)
    return found


def _drawn(rule: DPGAN, state: PublicState) -> Tensor:
    labels = torch.arange(2).repeat(500)
    with torch.no_grad():
        parameters = under("generator/ema/", state.arrays)
        return rule.drawn(parameters, labels, torch.Generator().manual_seed(1))


def test_the_loss_is_that_of_real_and_fake_motions() -> None:
    rule, users = _method(), people(4)
    state = moved(rule)
    examples = rule.examples(state, users, Chance(4, 0))
    parameters, labels = rule.parameters(state), examples["labels"]
    expected = []
    for u in range(4):
        each = []
        for m in range(int(users.mask[u].sum())):
            real = rule.critic.apply(parameters, users.latents[u, m], labels[u, m])
            fakes = rule.critic.apply(parameters, examples["fakes"][u, m], labels[u, m].expand(rule.replicas))
            each.append(softplus(-real) + softplus(fakes).mean())
        expected.append(torch.stack(each).mean())
    assert torch.allclose(rule.loss(parameters, examples), torch.stack(expected), atol=1e-5)


def test_fakes_are_of_a_persons_own_labels() -> None:
    rule, users = _method(label_dropout=0.0), people(6)
    bank = torch.arange(3.0)[:, None, None].expand(3, rule.bank, rule.critic.latent)
    examples = rule.examples(PublicState(0, {"fakes": bank}), users, Chance(6, 0))
    assert torch.equal(examples["fakes"][..., 0, 0].long(), users.condition.labels)


def test_an_update_done_again_is_the_same_to_the_bit() -> None:
    rule = _method()
    state, mean = rule.init(4), torch.randn(rule.dimension, generator=torch.Generator().manual_seed(0))
    assert rule.update(state, mean, 1.0).digest() == rule.update(state, mean, 1.0).digest()
    assert rule.update(state, mean, 1.0).digest() != rule.update(rule.init(5), mean, 1.0).digest()


def test_the_generator_has_a_turn_after_so_many_rounds_of_the_critic() -> None:
    rule = _method(critic_rounds=3)
    state, mean = rule.init(0), torch.ones(rule.dimension)
    for round in range(1, 7):
        after = rule.update(state, mean, 0.0)
        same = torch.equal(after.arrays["fakes"], state.arrays["fakes"])
        assert same == (round % 3 != 0)
        state = after


def test_no_layer_of_the_critic_stretches_more_than_it_may() -> None:
    mean = torch.randn(_method().dimension, generator=torch.Generator().manual_seed(0))
    for bound in (0.5, 1e6):
        rule = _method(spectral=bound, critic_rate=1.0)
        parameters = rule.parameters(rule.update(rule.init(0), mean, 0.0))
        norms = [torch.linalg.matrix_norm(v, 2) for n, v in parameters.items() if n.endswith("weight")]
        assert (float(max(norms)) <= 0.5 + 1e-5) == (bound == 0.5)


def test_the_generator_comes_closer_to_the_people() -> None:
    users = people(64, shift=1.0)
    rule = _method(generator_rate=5e-3, generator_steps=4, total_rounds=40, critic_rate=3e-2)
    near = float((_drawn(rule, played(rule, users, 40)).mean(dim=0) - 1).norm())
    still = replace(rule, generator_rate=1e-7)
    far = float((_drawn(still, played(still, users, 2)).mean(dim=0) - 1).norm())
    assert near < 0.6 * far
