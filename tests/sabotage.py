"""Builds with one defence taken out, by name: the check that guards it must fail on that build.

All sabotage of the real code is here, so that a change of its insides is followed in one
place. `tests/attacks/test_sabotaged_builds.py` pairs each with the checks that catch it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

import client.opened
import client.privilege
import client.users
from client import ledger_file
from client.accounts import Accounts
from client.book import Book
from client.clipping import choice
from client.clipping.bound import Rows
from client.gate import LocalGate
from client.ledger import Budget, Charge, Ledger
from client.mechanism import SampledGaussian
from client.policy import SitePolicy
from common.event import PrivacyEvent
from common.generator import diffusion, objective, trainable
from common.generator.assets import Assets
from common.generator.codecs import load_codec
from common.generator.embeddings import Embeddings
from common.noise import Source
from common.query import Query, Release
from tests.clipping import rows_of
from tests.forgeries import FORGERIES
from tests.leaks import LEAKS, Patch, Sum, wrap_sum
from tests.sabotage_critics import CRITICS
from tests.sabotage_joining import STRANGERS
from tests.sabotage_rounds import ROUNDS
from tests.sabotage_secagg import SECAGG
from tests.sabotage_users import USERS


def no_clip(patch: Patch) -> None:
    """Rows as they are: clipped to a million times C."""
    wrap_sum(patch, lambda real, given: real(**{**given, "clip_norm": given["clip_norm"] * 1e6}))


def loose_clip(patch: Patch) -> None:
    """A clip that is one per cent off."""
    wrap_sum(patch, lambda real, given: real(**{**given, "clip_norm": given["clip_norm"] * 1.01}))


def naive_clip(patch: Patch) -> None:
    """min(1, C / norm) x row in the rows' own precision, as most code has it: NaN and overflow pass."""

    def plain(_: Sum, given: dict[str, Any]) -> Tensor:
        units, total = list(given["units"]), torch.zeros(given["dimension"], dtype=torch.float64)
        if units:
            rows = rows_of(given["compute"](units), len(units))
            total += (rows * torch.clamp(given["clip_norm"] / rows.norm(dim=1, keepdim=True), max=1)).sum(0)
        return total

    wrap_sum(patch, plain)


def skip_isolation(patch: Patch) -> None:
    """Whoever shares a chunk with a person who raises or is not finite counts as nothing, too."""

    def whole(real: Sum, given: dict[str, Any]) -> Tensor:
        def compute(units: Sequence[int]) -> Rows:
            nothing = torch.zeros(len(units), given["dimension"])
            try:
                found = rows_of(given["compute"](units), len(units))
            except Exception:
                return Rows([nothing])
            return Rows([found if bool(torch.isfinite(found).all()) else nothing])

        return real(**{**given, "compute": compute})

    wrap_sum(patch, whole)


def scaled_noise(factor: float) -> Callable[[Patch], None]:
    def sabotage(patch: Patch) -> None:
        real = SampledGaussian.noise
        patch.setattr(SampledGaussian, "noise", lambda *arguments: real(*arguments) * factor)

    return sabotage


def reused_seed(patch: Patch) -> None:
    """The noise of every round under one key."""
    real = Source.key

    def key(self: Source, *purpose: str | int) -> bytes:
        return bytes(32) if purpose[0] == "noise" else real(self, *purpose)

    patch.setattr(Source, "key", key)


def silent_when_empty(patch: Patch) -> None:
    """No noise where nobody was drawn, as libraries that skip an empty batch do."""
    sample, noise = SampledGaussian.sample, SampledGaussian.noise
    drawn: list[int] = []

    def counting(self: SampledGaussian, *arguments: Any) -> list[int]:
        drawn[:] = sample(self, *arguments)
        return list(drawn)

    patch.setattr(SampledGaussian, "sample", counting)
    patch.setattr(SampledGaussian, "noise", lambda *arguments: noise(*arguments) * bool(drawn))


def everyone_drawn(patch: Patch) -> None:
    """The whole site each round, under an event that claims a sample."""
    patch.setattr(SampledGaussian, "sample", lambda self, units, *_: list(range(units)))


def one_key_for_all(patch: Patch) -> None:
    """Draws from one stream in the order of the chunk: a person's row depends on who comes before."""
    real = SampledGaussian.persons
    patch.setattr(
        SampledGaussian,
        "persons",
        staticmethod(lambda key, names: real(key, [str(place) for place in range(len(names))])),
    )


def unpaid(ledger: Ledger, query: Query) -> Charge:
    return Charge(
        id=query.round,
        plan=query.plan_digest,
        round=query.round,
        payload=None,
        tombstones=ledger.tombstones(),
    )


def no_charge(patch: Patch) -> None:
    """Releases that the ledger never hears of."""
    patch.setattr(Ledger, "charge", lambda self, query, *_: unpaid(self, query))
    patch.setattr(Ledger, "store", lambda *_: None)


def half_charge(patch: Patch) -> None:
    """The event that is charged is not the one that happened: twice the noise is claimed."""
    real = Accounts.events

    def events(self: Accounts, plan_digest: str | None = None) -> list[PrivacyEvent]:
        return [replace(e, noise_multiplier=2 * e.noise_multiplier) for e in real(self, plan_digest)]

    patch.setattr(Accounts, "events", events)


def read_before_charge(patch: Patch) -> None:
    """People are read, then charged: a crash in between leaves what was read unpaid."""
    real = LocalGate._release

    def release(self: LocalGate, query: Any, state: Any, shares: Any) -> Release:
        self._loaded(self._accepted(query.plan_digest))
        return real(self, query, state, shares)

    patch.setattr(LocalGate, "_release", release)


def forgetful_ledger(patch: Patch) -> None:
    """Final bytes are not kept: a repeat is a fresh draw under an old charge."""
    patch.setattr(Ledger, "store", lambda *_: None)


def unlimited_ledger(patch: Patch) -> None:
    patch.setattr(Accounts, "require_room", lambda *_: None)


def blind_ledger(patch: Patch) -> None:
    """Writes on to a file that is no longer there."""
    patch.setattr(Book, "require_in_place", lambda *_: None)
    patch.setattr(ledger_file, "identity", lambda path: (0, 0))


def ledger_made_anew(patch: Patch) -> None:
    real = Ledger.open.__func__  # type: ignore[attr-defined]

    def opened(cls: type[Ledger], path: Path) -> Ledger:
        if not path.exists():
            cls.create(path, "north", "user", Budget(epsilon=1.0, delta=1e-5)).close()
        return cast(Ledger, real(cls, path))

    patch.setattr(Ledger, "open", classmethod(opened))


def trusting_gate(patch: Patch) -> None:
    """Any round of any run, with any state, under an accepted plan's name."""
    patch.setattr(LocalGate, "_check", staticmethod(lambda *_: None))


def no_policy(patch: Patch) -> None:
    patch.setattr(SitePolicy, "admit", lambda *_: None)


def caption_from_a_shared_stream(patch: Patch) -> None:
    """Sentences are drawn in the order of the chunk: a person's depends on who comes before."""
    real = Embeddings.drawn

    def drawn(self: Embeddings, motions: Tensor, uniform: Tensor) -> Tensor:
        return real(self, motions, torch.rand(uniform.shape, generator=torch.Generator().manual_seed(0)))

    patch.setattr(Embeddings, "drawn", drawn)


def padding_is_motion(patch: Patch) -> None:
    """What stands after a motion's end is trained on."""
    for module in (objective, diffusion):
        patch.setattr(module, "unpadded", lambda x, *_: x)


def unchecked_base(patch: Patch) -> None:
    patch.setattr(trainable, "_check", lambda *_: None)


def arrays_of_any_name(patch: Patch) -> None:
    """A plan's arrays are read by name, and what is left over is kept."""

    def taken(cls: type[Assets], arrays: dict[str, Tensor], codec: Any, text: Any) -> Assets:
        return cls(load_codec(arrays, codec))

    patch.setattr(Assets, "from_arrays", classmethod(taken))


def unbounded_plan(patch: Patch) -> None:
    patch.setattr(client.opened, "require_affordable", lambda *_: None)


def norms_not_compared(patch: Patch) -> None:
    """Of an engine's public probes the rows alone are compared."""

    def bits(compute: Any, parameters: Any, examples: Any, units: Sequence[int]) -> list[bytes]:
        found = compute(parameters, {name: part[list(units)] for name, part in examples.items()})
        return [found.row(place).numpy().tobytes() for place in range(len(units))]

    patch.setattr(choice, "_bits", bits)


def chunk_falls_together(patch: Patch) -> None:
    """Whoever is encoded with a window that raises becomes NaN, too."""
    real = client.users._encode

    def encode(codec: Any, raw: Tensor, label: int, width: int) -> Tensor:
        found = real(codec, raw, label, width)
        return found if bool(torch.isfinite(found).all()) else torch.full_like(found, torch.nan)

    patch.setattr(client.users, "_encode", encode)


DEFECTS: Final[dict[str, Callable[[Patch], None]]] = {
    "no_clip": no_clip,
    "loose_clip": loose_clip,
    "naive_clip": naive_clip,
    "skip_isolation": skip_isolation,
    "one_key_for_all": one_key_for_all,
    "half_noise": scaled_noise(0.5),
    "no_noise": scaled_noise(0.0),
    "reused_seed": reused_seed,
    "silent_when_empty": silent_when_empty,
    "everyone_drawn": everyone_drawn,
    "no_charge": no_charge,
    "half_charge": half_charge,
    "read_before_charge": read_before_charge,
    "forgetful_ledger": forgetful_ledger,
    "unlimited_ledger": unlimited_ledger,
    "blind_ledger": blind_ledger,
    "ledger_made_anew": ledger_made_anew,
    "trusting_gate": trusting_gate,
    "no_policy": no_policy,
    "caption_from_a_shared_stream": caption_from_a_shared_stream,
    "padding_is_motion": padding_is_motion,
    "unchecked_base": unchecked_base,
    "arrays_of_any_name": arrays_of_any_name,
    "unbounded_plan": unbounded_plan,
    "norms_not_compared": norms_not_compared,
    "chunk_falls_together": chunk_falls_together,
    **LEAKS,
    **ROUNDS,
    **FORGERIES,
    **SECAGG,
    **USERS,
    **STRANGERS,
    **CRITICS,
}


def apply(name: str, patch: Patch) -> None:
    """Take the defence `name` out of the code that runs, until `patch` is undone."""
    DEFECTS[name](patch)
