"""Book-keeping with every unit's gradient written out: the default engine."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from client.clipping.bound import Rows
from client.clipping.direct import mapped_gradients, weighted
from client.clipping.fold import Fold, Sink
from client.clipping.step import Examples, Step

_SHARED = 2**14


class Written:
    """Per-unit gradients `[units, values]` in buffers that every chunk uses again.

    So memory is not asked for anew, which for large networks costs as much as the
    arithmetic. A large parameter has a buffer of its own, into which the product is
    written; small neighbours share one, so that each pass over them is a single call.
    """

    def __init__(self, step: Step, units: int, like: Tensor) -> None:
        self._step = step
        self._parts: list[Tensor] = []
        self._places: dict[str, Tensor] = {}
        for names in _groups(step):
            places = [step.places[name] for name in names]
            start = places[0].start
            part = like.new_empty(units, places[-1].stop - start)
            self._parts.append(part)
            for name, place in zip(names, places, strict=True):
                self._places[name] = part[:, place.start - start : place.stop - start]
        self._begun: set[str] = set()

    def begin(self) -> None:
        """Forget what was written, also by a pass that did not come to its end."""
        self._begun.clear()

    def outer(self, name: str, left: Tensor, right: Tensor) -> None:
        place, right = self._places[name], right.to(left.dtype)
        if name in self._begun or left.dtype != place.dtype or not place.is_contiguous():
            self.add(name, torch.bmm(left.mT, right))
        else:
            torch.bmm(left.mT, right, out=place.view(-1, left.shape[2], right.shape[2]))
            self._begun.add(name)

    def add(self, name: str, gradient: Tensor) -> None:
        place, value = self._places[name], gradient.flatten(start_dim=1)
        if name in self._begun:
            place += value
        else:
            place.copy_(value)
            self._begun.add(name)

    def finish(self, losses: Tensor) -> Rows:
        """What was written, in the layout's order; a parameter that no loss depends on has gradient zero."""
        for name in self._places.keys() - self._begun:
            self._places[name].zero_()
        return Rows([*self._parts, *weighted(self._step, losses)])


def _groups(step: Step) -> list[list[str]]:
    """Neighbours in the layout that are small together, and large parameters by themselves."""
    groups: list[list[str]] = []
    room = 0
    for name, place in step.places.items():
        width = place.stop - place.start
        if width > room:
            groups.append([])
            room = _SHARED
        groups[-1].append(name)
        room = room - width if width <= _SHARED else 0
    return groups


class Keep:
    """Per-unit gradients by book-keeping; parameters in `rest` by vmap."""

    def __init__(self, step: Step, rest: frozenset[str] = frozenset(), autocast: bool = False) -> None:
        self._step = step
        self._rest = rest
        self._autocast = autocast
        self._written: dict[tuple[int, torch.dtype, torch.device], Written] = {}

    def __call__(self, parameters: Mapping[str, Tensor], examples: Examples) -> Rows:
        units, like = len(next(iter(examples.values()))), parameters[self._step.layout.names[0]]
        key = (units, like.dtype, like.device)
        if key not in self._written:
            self._written = {key: Written(self._step, units, like)}
        sink = self._written[key]
        sink.begin()
        return sink.finish(backward(self._step, parameters, examples, sink, self._rest, self._autocast))


def backward(
    step: Step,
    parameters: Mapping[str, Tensor],
    examples: Examples,
    sink: Sink,
    rest: frozenset[str],
    autocast: bool,
) -> Tensor:
    """One forward and backward pass that fills `sink`; the losses `[units]`."""
    fixed = {name: value.detach() for name, value in parameters.items()}
    folded = {name: value for name, value in fixed.items() if name not in rest}
    device = next(iter(fixed.values())).device.type
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        with Fold(folded, len(next(iter(examples.values()))), sink):
            losses = step.method.loss(fixed, examples)
        if losses.requires_grad:
            losses.sum().backward()
        if rest:
            moving = {name: fixed[name] for name in rest}
            for name, gradient in mapped_gradients(step, moving, folded, examples)[0].items():
                sink.add(name, gradient)
    return losses.detach()
