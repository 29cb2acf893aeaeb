"""Every engine gives each person the gradient of that person's own loss, for every kind of layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from client.clipping.bound import clip_factors, joined_norms
from client.clipping.choice import Chosen, choose
from client.clipping.direct import looped, mapped
from client.clipping.fold import Fold, UnfoldedError
from client.clipping.ghost import Factors, Ghost
from client.clipping.keep import Keep, Written
from client.clipping.opacus_engine import PerSample
from client.clipping.step import PerUnit, Step
from client.speed import Engine, Speed
from common.errors import InputError
from common.vector import Layout
from tests.client.layers import NETWORKS, WIDTH, Layered, examples
from tests.clipping import rows_of

UNITS = 5
ENGINES = ("keep", "ghost", "vmap", "opacus")
NOT_IN_OPACUS = {"broadcast", "matmul"}


def step_of(network: Layered, loss_weight: float = 0.0) -> tuple[Step, dict[str, Tensor]]:
    parameters = network.parameters(1)
    return Step(network, Layout.of(parameters), loss_weight), parameters


def engine_of(name: str, step: Step, network: str) -> PerUnit:
    rest = frozenset({"a"}) if network == "matmul" else frozenset()
    if name == "keep":
        return Keep(step, rest)
    if name == "ghost":
        return Ghost(step, rest)
    if name == "opacus":
        return PerSample(step)
    return lambda parameters, drawn: mapped(step, parameters, drawn)


def clipped(engine: PerUnit, step: Step, parameters: dict[str, Tensor], clip_norm: float) -> Tensor:
    found, total = engine(parameters, examples(UNITS)), torch.zeros(step.dimension, dtype=torch.float64)
    found.add(clip_factors(found.norms(), clip_norm), total)
    return total


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_equals_the_loop_over_people(name: str, network: str) -> None:
    if name == "opacus" and network in NOT_IN_OPACUS:
        pytest.skip("Opacus has no layer for it")
    step, parameters = step_of(NETWORKS[network], loss_weight=0.5)
    engine = engine_of(name, step, network)
    expected = rows_of(looped(step, parameters, examples(UNITS)), UNITS)
    for _ in range(2):  # the second call uses the same buffers
        found = engine(parameters, examples(UNITS))
        assert float((rows_of(found, UNITS) - expected).abs().max()) <= 1e-12 * float(expected.abs().max())
        norms = found.norms()
        assert bool((norms >= expected.norm(dim=1) * (1 - 1e-12)).all())
        assert bool((norms <= expected.norm(dim=1) * (1 + 1e-6)).all())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engines_clipped_sum_equals_that_of_the_loop(name: str, network: str) -> None:
    if name == "opacus" and network in NOT_IN_OPACUS:
        pytest.skip("Opacus has no layer for it")
    step, parameters = step_of(NETWORKS[network])
    rows = rows_of(looped(step, parameters, examples(UNITS)), UNITS)
    clip_norm = float(rows.norm(dim=1).median())
    expected = (rows * clip_factors(rows.norm(dim=1), clip_norm)[:, None]).sum(dim=0)
    found = clipped(engine_of(name, step, network), step, parameters, clip_norm)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ENGINES)
def test_a_person_who_is_not_finite_leaves_everybody_elses_row_as_it_was(name: str) -> None:
    step, parameters = step_of(NETWORKS["linear"])
    drawn, engine = examples(UNITS), engine_of(name, step, "linear")
    clean = rows_of(engine(parameters, drawn), UNITS).clone()
    drawn["x"][2, 0, 0, 0] = torch.nan
    found = engine(parameters, drawn)
    others = [unit for unit in range(UNITS) if unit != 2]
    assert torch.equal(rows_of(found, UNITS)[others], clean[others])
    total = torch.zeros(step.dimension, dtype=torch.float64)
    norms = found.norms()
    assert not bool(torch.isfinite(norms[2]))
    found.add(clip_factors(norms, 1e9), total)
    assert torch.allclose(total, clean[others].sum(dim=0), rtol=1e-6)


def test_a_pass_that_breaks_off_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers are used again: a gradient of the broken pass would be added to somebody else's."""
    step, parameters = step_of(NETWORKS["linear"])
    engine = Keep(step)
    expected = rows_of(engine(parameters, examples(UNITS)), UNITS).clone()
    real, calls = Written.add, []

    def failing(self: Written, name: str, gradient: Tensor) -> None:
        calls.append(name)
        real(self, name, gradient)
        if len(calls) == 1:
            raise ValueError("broken off")

    monkeypatch.setattr(Written, "add", failing)
    with pytest.raises(ValueError, match="broken off"):
        engine(parameters, examples(UNITS, seed=5))
    assert torch.equal(rows_of(engine(parameters, examples(UNITS)), UNITS), expected)


def test_auto_takes_book_keeping_and_leaves_the_rest_to_vmap() -> None:
    for network in NETWORKS.values():
        step, parameters = step_of(network)
        chosen = pick(network, "auto")
        assert chosen.engine == "keep"
        found = rows_of(chosen.compute(parameters, examples(UNITS)), UNITS)
        expected = rows_of(looped(step, parameters, examples(UNITS)), UNITS)
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def pick(network: Layered, engine: Engine, memory: int = 2**30) -> Chosen:
    step, parameters = step_of(network)
    return choose(step, parameters, examples, Speed(engine=engine, memory=memory))


def test_an_engine_that_leaves_a_layer_out_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a skipped layer looks like: less work, and a gradient that is not the loss's."""

    def forgetful(self: Fold, output: Tensor, then: object) -> Tensor:
        return output

    monkeypatch.setattr(Fold, "watch", forgetful)
    assert pick(NETWORKS["linear"], "auto").engine == "vmap"
    with pytest.raises(InputError, match="engine = keep cannot compute"):
        pick(NETWORKS["linear"], "keep")


def test_a_loss_that_mixes_people_is_computed_one_by_one() -> None:
    """With statistics of the whole batch, one person would move everybody's gradient."""

    def mixed(p: dict[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        hidden = torch.nn.functional.linear(x, p["a"])
        return hidden - hidden.mean(dim=0, keepdim=True)

    network = Layered({"a": (WIDTH, WIDTH)}, mixed)  # type: ignore[arg-type]
    assert pick(network, "auto").engine == "vmap"
    with pytest.raises(InputError):
        pick(network, "keep")


def test_a_use_without_a_rule_is_refused_by_name() -> None:
    step, parameters = step_of(NETWORKS["matmul"])
    with pytest.raises(UnfoldedError, match="a: no rule for matmul"):
        Keep(step)(parameters, examples(UNITS))


def test_memory_bounds_how_many_people_are_computed_at_once() -> None:
    assert pick(NETWORKS["linear"], "auto").widths[0] == 64
    assert 1 <= pick(NETWORKS["linear"], "auto", memory=50_000).widths[0] < 64
    assert pick(NETWORKS["linear"], "auto", memory=1).widths == (1,)


def test_bfloat16_gives_the_gradient_to_its_precision() -> None:
    network = NETWORKS["attention"]
    step, parameters = step_of(network)
    narrow = {name: value.to(torch.float32) for name, value in parameters.items()}
    drawn = examples(UNITS, torch.float32)
    expected = rows_of(looped(step, narrow, drawn), UNITS)
    found = rows_of(Keep(step, autocast=True)(narrow, drawn), UNITS)
    assert 0 < float((found - expected).norm()) <= 0.05 * float(expected.norm())


def test_ghost_never_reports_less_than_the_norm_of_what_cancels() -> None:
    """In single precision the Gram matrix loses rows that cancel; its error bound keeps the norm above."""
    step, parameters = step_of(
        Layered({"a": (4, WIDTH)}, lambda p, x, labels: torch.nn.functional.linear(x, p["a"]))
    )
    drawn = examples(1)
    drawn["mask"][:] = True
    drawn["x"][:, 1] = -drawn["x"][:, 0]
    found = Ghost(step)(parameters, drawn)
    assert bool((found.norms() >= rows_of(found, 1).norm(dim=1)).all())
    left = torch.tensor([[[1e8], [1e8], [1.0]]], dtype=torch.float32)
    right = torch.tensor([[[1.0], [-1.0], [1.0]]], dtype=torch.float32)
    assert float(Factors(left, right).norms()) >= 1.0


def test_joined_norms_keep_their_bits_however_many_units_there_are() -> None:
    """A reduction adds the parts in an order that follows from the number of units: the control moves."""
    random = torch.Generator().manual_seed(0)
    parts = [torch.rand(64, generator=random, dtype=torch.float64) for _ in range(11)]

    def moved(join: Callable[[list[Tensor]], Tensor]) -> int:
        alone = torch.cat([join([part[unit : unit + 1] for part in parts]) for unit in range(64)])
        return int((alone != join(parts)).sum())

    assert moved(joined_norms) == 0
    assert moved(lambda norms: torch.linalg.vector_norm(torch.stack(norms), dim=0)) > 0
