"""Private evolution: votes that find where people are, weigh persons alike, and forget nobody's label."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.assets import Assets
from common.generator.candidates import Denoised, Performed, Prior
from common.generator.identity_codec import IdentityCodec
from common.generator.scale import Scale
from common.generator.sensor_codec import SensorCodec
from common.method import PublicState
from common.methods import build
from common.methods.private_evolution import PrivateEvolution
from common.motion.recording import SKELETON, Modality

WATCH = Modality(kind="sensor", rate=50.0, window=64, channels=("acc_x",))
CODEC = SensorCodec(WATCH, ("a", "b"))
LEARNT = (torch.zeros(1, 1), torch.ones(1, 1))
QUICK = {"candidates": 40, "fit_steps": 2, "width": 8, "depth": 0}


def _method(assets: Assets | None = None, **options: float | str) -> PrivateEvolution:
    method = build("private_evolution", {**QUICK, **options}, assets or Assets(CODEC))
    assert isinstance(method, PrivateEvolution)
    return method


def _votes(method: PrivateEvolution, state: PublicState, x: Tensor, labels: Tensor) -> Tensor:
    """Histograms `[users, n]` of people whose motions are `x` `[users, M, latent]`."""
    mask = torch.ones(labels.shape, dtype=torch.bool)
    parameters = method.parameters(method.broadcast(state))
    return method.contributions(parameters, {"latents": x, "labels": labels, "mask": mask})


def _people(count: int) -> tuple[Tensor, Tensor]:
    """Two motions each: label a about +1.5 in the first number of a latent, b about -1.5."""
    random = torch.Generator().manual_seed(2)
    x = 0.5 * torch.randn(count, 2, CODEC.latent, generator=random)
    x[:, 0, 0] += 1.5
    x[:, 1, 0] -= 1.5
    return x, torch.tensor([0, 1]).expand(count, 2)


def _found(method: PrivateEvolution, shuffled: int | None = None, noise: float = 0.0) -> tuple[float, float]:
    """The mean of the first number under either label, of the crowd as weighted after the last votes."""
    state, (x, labels) = method.init(0), _people(300)
    random = torch.Generator().manual_seed(shuffled or 0)
    while True:
        mean = _votes(method, state, x, labels).mean(dim=0)
        mean = mean[torch.randperm(len(mean), generator=random)] if shuffled is not None else mean
        mean = mean + noise * torch.randn(len(mean), generator=random)
        if state.round + 1 == method.total_rounds:
            break
        state = method.update(state, mean, noise)
    latents = method._crowd(state)[1]
    weights = method._weights(latents, mean, noise).float()
    high, low = (
        float((weights[own] * latents[own, 0]).sum() / weights[own].sum())
        for own in (method._crowd_labels == label for label in (0, 1))
    )
    return high, low


def test_votes_find_where_people_are_and_shuffled_votes_do_not() -> None:
    method = _method(siblings=16, total_rounds=4)
    high, low = _found(method)
    assert high > 1
    assert low < -1
    gaps = [high - low for high, low in (_found(method, shuffled=seed) for seed in range(8))]
    assert abs(sum(gaps) / len(gaps)) < 0.7


def test_under_noise_votes_still_find_it() -> None:
    high, low = _found(_method(siblings=16, total_rounds=4), noise=0.02)
    assert high > 0.7
    assert low < -0.7


def test_a_crowd_that_votes_like_itself_stays_as_it_is() -> None:
    method = _method(candidates=30, siblings=8)
    state = method.init(0)
    latents = method._crowd(state)[1]
    own = torch.bincount(method._nearest(latents, method._crowd_labels, latents[:30]), minlength=30)
    weights = method._weights(latents, own.float() / own.sum(), 0.0)
    for label in (0, 1):
        rows = method._crowd_labels == label
        assert torch.allclose(weights[rows], weights[rows].mean(), atol=1e-6)


def test_a_prolific_person_has_no_more_weight() -> None:
    method = _method()
    state, (x, labels) = method.init(0), _people(50)
    once = _votes(method, state, x[:1], labels[:1])
    often = _votes(method, state, x[:1].repeat(1, 40, 1), labels[:1].repeat(1, 40))
    assert torch.allclose(once, often, atol=1e-6)
    many = _votes(method, state, x.reshape(1, 100, -1), labels.reshape(1, 100))
    assert float(many.norm()) == pytest.approx(1, abs=1e-6)


def test_a_motion_votes_for_the_nearest_candidate_of_its_own_label() -> None:
    method = _method()
    state = method.init(0)
    candidates, names = state.arrays["candidates"], method._labels
    x, labels = _people(20)
    found = _votes(method, state, x[:, :1], labels[:, :1]).argmax(dim=1)
    for row, place in enumerate(found.tolist()):
        apart = (candidates - x[row, 0]).square().sum(dim=1)
        assert place == int(torch.where(names == 0, apart, torch.inf).argmin())
    nameless = _votes(method, state, x[:, :1], torch.full((20, 1), 2)).argmax(dim=1)
    assert torch.equal(nameless, torch.cdist(x[:, 0], candidates).argmin(dim=1))


def test_a_label_without_votes_keeps_its_share_of_the_crowd() -> None:
    method = _method()
    state = method.init(0)
    weights = method._weights(method._crowd(state)[1], torch.zeros(method.dimension), 0.0)
    for label in (0, 1):
        assert float(weights[method._crowd_labels == label].sum()) == pytest.approx(0.5)


def test_a_round_may_be_done_again_and_the_last_one_trains_the_generator() -> None:
    method = _method(total_rounds=2)
    before = method.init(4)
    mean = _votes(method, before, *_people(30)).mean(dim=0)
    first = method.update(before, mean, 0.01)
    assert first.digest() == method.update(before, mean, 0.01).digest()
    last = method.update(first, mean, 0.01)
    moved = [n for n in last.arrays if not torch.equal(last.arrays[n], first.arrays[n])]
    assert moved
    assert all(name.startswith("denoiser/") for name in moved)


def test_procedural_people_vary_less_by_a_smaller_degree() -> None:
    codec = IdentityCodec(("squat", "climb"), SKELETON, Scale.fixed(SKELETON))
    method = _method(Assets(codec), candidates=6, siblings=1)
    source, labels = method._source, method._labels
    assert isinstance(source, Performed)
    state = method.init(0)
    assert torch.equal(source.latents(state.arrays["codes"], labels), state.arrays["candidates"])
    assert torch.equal(method._crowd(state)[1], state.arrays["candidates"])
    codes = state.arrays["parents"]
    apart = []
    for degree in (0.05, 0.9):
        varied = source.varied(codes, labels, LEARNT, degree, torch.Generator().manual_seed(1))
        latents = source.latents(varied, labels)
        assert bool(torch.isfinite(latents).all())
        apart.append(float((latents - state.arrays["candidates"]).square().mean()))
    assert apart[0] < 0.5 * apart[1]


def test_a_pre_trained_base_varies_its_own_candidates() -> None:
    start = build("dp_sgd", {"width": 8, "depth": 0}, Assets(CODEC))
    base = start.parameters(start.init(0))
    method = _method(Assets(CODEC, base))
    assert isinstance(method._source, Denoised)
    state = method.init(0)
    # An untrained denoiser is that of N(0, 1).
    assert 0.7 < float(state.arrays["candidates"].std()) < 1.3
    random = torch.Generator().manual_seed(0)
    near = method._source.varied(state.arrays["parents"], method._labels, LEARNT, 0.1, random)
    assert float((near - state.arrays["parents"]).square().mean()) < 0.1


def test_what_there_is_no_source_for_is_said_in_one_line() -> None:
    assert isinstance(_method()._source, Prior)
    with pytest.raises(InputError, match="source = base needs a public generator"):
        _method(source="base").init(0)
    with pytest.raises(InputError, match="source = people makes skeletons"):
        _method(source="people").init(0)
    with pytest.raises(InputError, match="'private_evolution' is 2: one for each"):
        _method(Assets(SensorCodec(WATCH, ("a", "b", "c"))), candidates=2)
