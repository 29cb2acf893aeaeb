"""Which engine computes a plan's contributions, how many units at once: decided on public probes.

None of this can change a guarantee: the bound in `client.clipping.bound` holds for
whatever an engine returns. What is checked here is that it returns the gradients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import torch
from torch import Tensor

from client.clipping.bound import Rows
from client.clipping.cost import memory
from client.clipping.direct import looped, mapped
from client.clipping.fold import UnfoldedError
from client.clipping.ghost import Ghost
from client.clipping.keep import Keep
from client.clipping.opacus_engine import PerSample
from client.clipping.remembered import remembered
from client.clipping.step import Examples, PerUnit, Step
from client.speed import Engine, Speed
from common.errors import InputError
from common.method import RememberingMethod, VectorMethod

_AUTOMATIC: Final[tuple[Engine, ...]] = ("keep", "vmap", "loop")
_VECTOR_COPIES: Final = 4  # of a unit's examples and vector, while it is computed
_TOLERANCE: Final = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.1}


@dataclass(frozen=True, eq=False)
class Chosen:
    """An engine with the numbers of units that it may compute at once, largest first."""

    engine: Engine | Literal["direct"]
    compute: PerUnit
    widths: tuple[int, ...]


Probe = Callable[[int], Examples]
"""A number of public, made-up units to their examples."""


def choose(step: Step, parameters: Mapping[str, Tensor], probe: Probe, speed: Speed) -> Chosen:
    """The engine that `speed` asks for, or the first that agrees with a plain backward pass for each unit.

    Units are computed together where each keeps its bits wherever it stands and however
    many there are, else singly. Raises InputError where the engine asked for by name does not agree.
    """
    if speed.precision == "bfloat16" and speed.engine not in ("auto", "keep", "ghost"):
        raise InputError(f"precision = bfloat16 goes with engine auto, keep or ghost, not {speed.engine}")
    most = max(1, min(speed.units, speed.memory // _bytes_per_unit(step, parameters, probe)))
    width = 2 ** (most.bit_length() - 1)
    for engine in _AUTOMATIC if speed.engine == "auto" else (speed.engine,):
        compute = _engine(engine, step, parameters, probe(2), speed)
        if compute is not None and _agrees(compute, step, parameters, probe(width), speed):
            return Chosen(engine, compute, _widths(compute, parameters, probe(width)))
    raise InputError(f"engine = {speed.engine} cannot compute {step.method.name}: use engine = auto")


def written(method: VectorMethod, parameters: Mapping[str, Tensor], probe: Probe, speed: Speed) -> Chosen:
    """`method`'s own vectors, of as many units at once as each keeps its bits among."""

    def compute(parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
        if isinstance(method, RememberingMethod):
            return remembered(method, parameters, examples)
        return Rows([method.contributions(parameters, examples)])

    one = probe(1)
    size = sum(value.nbytes for value in one.values()) + 4 * method.dimension
    if isinstance(method, RememberingMethod):
        size += 4 * method.held
    if _VECTOR_COPIES * size > memory(speed.device) // 4:
        raise InputError(f"one person takes {_VECTOR_COPIES * size / 2**30:.1f} GiB: choose smaller options")
    most = max(1, min(speed.units, speed.memory // (_VECTOR_COPIES * size)))
    width = 2 ** (most.bit_length() - 1)
    return Chosen("direct", compute, _widths(compute, parameters, probe(width)))


def _bytes_per_unit(step: Step, parameters: Mapping[str, Tensor], probe: Probe) -> int:
    """What one unit more takes: its gradient, and twice what a backward pass keeps of it."""
    kept = [_bytes_kept(step, parameters, probe(units)) for units in (1, 2)]
    return 2 * (kept[1] - kept[0]) + step.dimension * next(iter(parameters.values())).element_size()


def _bytes_kept(step: Step, parameters: Mapping[str, Tensor], example: Examples) -> int:
    """What a backward pass keeps, weights that are not trained among it."""
    kept = {id(value): value.nbytes for value in example.values()}

    def pack(value: Tensor) -> Tensor:
        kept[value.data_ptr()] = value.nbytes
        return value

    values = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        step.method.loss(values, example)
    return sum(kept.values())


def _engine(
    engine: Engine, step: Step, parameters: Mapping[str, Tensor], examples: Examples, speed: Speed
) -> PerUnit | None:
    autocast = speed.precision == "bfloat16"
    if engine in ("keep", "ghost"):
        rest = _without_rule(step, parameters, examples, autocast)
        if rest == frozenset(parameters):
            return None
        return (Keep if engine == "keep" else Ghost)(step, rest, autocast)
    if engine == "opacus":
        return PerSample(step)
    return partial(mapped if engine == "vmap" else looped, step)


def _without_rule(
    step: Step, parameters: Mapping[str, Tensor], examples: Examples, autocast: bool
) -> frozenset[str]:
    """The parameters that some operation uses for which there is no rule."""
    rest: frozenset[str] = frozenset()
    while rest != frozenset(parameters):
        try:
            Keep(step, rest, autocast)(parameters, examples)
        except UnfoldedError as found:
            rest |= frozenset(found.names)
        except Exception:
            return frozenset(parameters)
        else:
            break
    return rest


def _agrees(
    compute: PerUnit, step: Step, parameters: Mapping[str, Tensor], examples: Examples, speed: Speed
) -> bool:
    """Whether `compute` gives the first and the last unit the gradient of its own loss."""
    units = _count(examples)
    dtype = torch.bfloat16 if speed.precision == "bfloat16" else next(iter(parameters.values())).dtype
    try:
        found = compute(parameters, examples)
    except Exception:
        return False
    for unit in {0, units - 1}:
        alone = looped(step, parameters, {name: part[unit : unit + 1] for name, part in examples.items()})
        expected = alone.row(0)
        if not bool((found.row(unit) - expected).norm() <= _TOLERANCE[dtype] * expected.norm()):
            return False
    return True


def _widths(compute: PerUnit, parameters: Mapping[str, Tensor], examples: Examples) -> tuple[int, ...]:
    """How many units of `examples` at once, halved and halved, give each the same bits in every place."""
    most = _count(examples)
    alike = _bits(compute, parameters, examples, range(most))
    turned = [(place + 1) % most for place in range(most)]
    if _bits(compute, parameters, examples, turned) != [*alike[1:], *alike[:1]]:
        return (1,)
    widths, half = [most], most // 2
    while half >= 1:
        first, last = range(half), range(most - half, most)
        if all(_bits(compute, parameters, examples, u) == alike[u.start : u.stop] for u in (first, last)):
            widths.append(half)
        half //= 2
    return tuple(widths)


def _bits(
    compute: PerUnit, parameters: Mapping[str, Tensor], examples: Examples, units: Sequence[int]
) -> list[bytes]:
    """A digest of each unit's contribution and norm when `units` are computed together in this order."""
    found = compute(parameters, {name: part[list(units)] for name, part in examples.items()})
    norms = found.norms().cpu()
    parts = ((found.row(place).cpu(), norms[place : place + 1]) for place in range(len(units)))
    return [hashlib.blake2b(row.numpy().tobytes() + norm.numpy().tobytes()).digest() for row, norm in parts]


def _count(examples: Examples) -> int:
    return len(next(iter(examples.values())))
