"""Builds of secure aggregation with one defence taken out: see `tests.sabotage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from client.attempt import Attempt, Masks
from client.clipping import integers
from client.gate import LocalGate
from client.mechanism import SampledGaussian
from common.discrete_gaussian import DiscreteGaussian
from common.integer_noise import Within
from common.secagg.masks import add_mask, signed, words_of
from common.secagg.messages import Confirm, Confirmed, Keys, Unmask, Unmasked
from tests.leaks import Sum, wrap_sum

Patch = pytest.MonkeyPatch


def unsigned_lists(patch: Patch) -> None:
    """No round of consistency: a site gives its shares for the list it was shown, whoever else saw it."""
    patch.setattr(Attempt, "_require_signed", lambda *_: None)


def any_model(patch: Patch) -> None:
    """What is signed is the list alone, whatever model the site was shown."""
    real, signs = Confirmed.signed_by, Confirmed.sign
    patch.setattr(Confirmed, "signed_by", lambda self, public, asked, _: real(self, public, asked, ""))
    patch.setattr(
        Confirmed, "sign", staticmethod(lambda identity, site, asked, _: signs(identity, site, asked, ""))
    )


def lists_forgotten(patch: Patch) -> None:
    """A site that does not remember what it gave: another list, other shares."""
    real = Attempt.unmask

    def unmask(self: Attempt, asked: Unmask) -> Unmasked:
        dealt = self._dealt
        plain = Confirm(**{name: getattr(asked, name) for name in Confirm.__dataclass_fields__})
        self._confirmed = (plain, Confirmed.sign(self._identity, self._site, plain, self._state))
        try:
            return real(self, asked)
        finally:
            self._dealt, self._unmasked = dealt, None

    patch.setattr(Attempt, "unmask", unmask)


def unsigned_keys(patch: Patch) -> None:
    patch.setattr(Keys, "signed_by", lambda *_: True)


def any_number(patch: Patch) -> None:
    """Two sites are enough, whatever the plan says."""
    patch.setattr(Attempt, "_require_enough", lambda *_: None)


def without_own_mask(patch: Patch) -> None:
    """Masks of pairs alone, as the simplest schemes have them."""

    def onto(self: Masks, total: Tensor) -> Tensor:
        words = words_of(total, self.bits)
        for key, sign in self.pairs:
            add_mask(words, key, sign)
        return signed(words)

    patch.setattr(Masks, "onto", onto)


def unmasked(patch: Patch) -> None:
    patch.setattr(Masks, "onto", lambda self, total: signed(words_of(total, self.bits)))


def thin_shares(patch: Patch) -> None:
    """Each site adds a share for all n sites to be honest and present."""

    def share(self: SampledGaussian, round: int) -> Tensor:
        honest = self.plan.min_sites - self.plan.colluders
        variance = self.plan.share_variance * honest / len(self.plan.roster)
        stream = self._stream("noise", round, 0)
        return torch.from_numpy(DiscreteGaussian(variance).draw(stream, self.plan.dimension))

    patch.setattr(SampledGaussian, "share", share)


def noised_once(patch: Patch) -> None:
    """A further attempt at a round sends the vector of the first under new masks."""
    real = LocalGate._noised_sum
    kept: dict[int, Tensor] = {}

    def noised_sum(self: LocalGate, round: int, *arguments: Any) -> Tensor:
        if round not in kept:
            kept[round] = real(self, round, *arguments)
        return kept[round]

    patch.setattr(LocalGate, "_noised_sum", noised_sum)


def to_nearest(patch: Patch) -> None:
    """Rounding as most code has it: a row may become longer, and is then nobody's."""

    def rounded(rows: Tensor, scale: int) -> Tensor:
        return torch.round(rows.to(torch.float64) * scale).to(torch.int64)

    patch.setattr(integers, "toward_zero", rounded)


def to_nearest_unverified(patch: Patch) -> None:
    to_nearest(patch)
    patch.setattr(Within, "found", lambda self: torch.ones_like(self._fits))


def no_integer_clip(patch: Patch) -> None:
    """Rows as they are: clipped to a thousand times C, and verified against that."""
    wrap_sum(patch, wider, "integer_sum")


def wider(real: Sum, given: dict[str, Any]) -> Tensor:
    return real(**{**given, "clip_norm": given["clip_norm"] * 1000})


SECAGG: Final[dict[str, Callable[[Patch], None]]] = {
    "unsigned_lists": unsigned_lists,
    "any_model": any_model,
    "lists_forgotten": lists_forgotten,
    "unsigned_keys": unsigned_keys,
    "any_number": any_number,
    "without_own_mask": without_own_mask,
    "unmasked": unmasked,
    "thin_shares": thin_shares,
    "noised_once": noised_once,
    "to_nearest": to_nearest,
    "to_nearest_unverified": to_nearest_unverified,
    "no_integer_clip": no_integer_clip,
}
