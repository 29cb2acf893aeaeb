"""A person's captions are that person's alone: drawn from their own randomness, and in no other row."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from client.datasets import DataSet
from client.users import Users
from common.errors import Refusal, RefusalCode
from common.generator.assets import Assets
from common.generator.condition import Condition
from common.generator.embeddings import Embeddings
from common.generator.generator import Generator
from common.generator.text import TextEncoder, label_sentence
from common.method import UserBatch, digest_arrays
from common.methods import build
from common.motion.recording import Recording
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from common.plan import Plan
from common.wire import decode_plan, encode_plan
from tests.common.generator.encoders import encoder
from tests.small_site import CODEC, LABELS, OPTIONS, ask, make_gate, make_plan, make_state, new_ledger

TEXT = encoder("template", LABELS)
ASSETS = Assets(CODEC, text=TEXT)
SAID = {
    "ann": ("a person walks slowly", "a man marches fast", "a woman walks in a circle"),
    "bob": ("a man jumps twice",),
    "cid": (),
    "eve": ("she sits down", "somebody sits"),
}


def people(said: dict[str, tuple[str, ...]] = SAID, label: str | None = "walk", seed: int = 0) -> Users:
    """Four windows for each person, all with the same captions."""
    recordings = []
    for name, captions in said.items():
        random = np.random.default_rng([seed, *name.encode()])
        samples = random.normal(size=(4 * SENSOR.window, len(SENSOR.channels))).astype(np.float32)
        recordings.append(Recording(person=name, name="a", label=label, samples=samples, captions=captions))
    return Users.gather(recordings, cast(DataSet, SimpleNamespace(modality=SENSOR)), "user")


def batch(
    users: Users, names: list[str], key: bytes = bytes(32), text: TextEncoder | None = TEXT
) -> UserBatch:
    users.encode(CODEC, "plan", text)
    units = [users.names.index(name) for name in names]
    return users.batch(units, 4, PersonRandom(key, names), "plan")


def shown(condition: Condition, row: int) -> set[tuple[float, ...]]:
    return {tuple(text) for text in condition.text[row].tolist()}


def test_each_motion_is_shown_under_one_of_its_own_sentences() -> None:
    found = batch(people(), list(SAID)).condition
    assert found.text.shape == (4, 4, 32)
    for row, name in enumerate(SAID):
        own = {tuple(text) for text in TEXT.encode(SAID[name]).tolist()}
        assert shown(found, row) <= (own or {tuple(TEXT.encode([label_sentence("walk")])[0].tolist())})


def test_without_caption_and_label_a_motion_says_nothing() -> None:
    found = batch(people({"ann": ()}, label=None), ["ann"]).condition
    assert torch.equal(found.text, torch.zeros(1, 4, 32))
    assert batch(people(), ["ann"], text=None).condition.text.shape == (1, 4, 0)


def test_which_sentence_is_drawn_follows_from_the_person_and_the_round_alone() -> None:
    alone = [batch(people({"ann": SAID["ann"]}), ["ann"], bytes([k]) * 32) for k in range(20)]
    together = [batch(people(), ["eve", "ann", "bob"], bytes([k]) * 32) for k in range(20)]
    for one, several in zip(alone, together, strict=True):
        assert torch.equal(one.condition.text[0], several.condition.text[1])
    drawn = torch.cat([one.condition.text[0] for one in alone])
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert len(counts) == 3 and int(counts.min()) > 10


def test_one_persons_captions_move_no_other_row() -> None:
    changed = {**SAID, "ann": ("kicks", "\ud800", "waves " * 10**4, "runs")}
    before, after = (batch(people(said), list(SAID)) for said in (SAID, changed))
    assert torch.equal(before.condition.text[1:], after.condition.text[1:])
    assert torch.equal(before.latents, after.latents)
    assert not torch.equal(before.condition.text[0], after.condition.text[0])  # the control


class Moody:
    """An encoder that fails on some sentences."""

    size = 32

    def encode(self, sentences: Any) -> torch.Tensor:
        if "jumps" in sentences[0]:
            raise ValueError("cannot read")
        return TEXT.encode(sentences)


def test_a_sentence_that_cannot_be_read_is_its_owners_loss_alone() -> None:
    expected = Embeddings.of(list(SAID.values()), TEXT)
    found = Embeddings.of(list(SAID.values()), cast(TextEncoder, Moody()))
    assert bool(torch.isnan(found.table[3]).all())
    rows = [0, 1, 2, 4, 5, 6]
    assert torch.equal(found.table[rows], expected.table[rows])


def test_nothing_but_label_captions_and_length_of_a_motion_conditions_the_generator() -> None:
    """Style enters in words or not at all: other movements of other people give the same condition."""
    one = batch(people({"ann": ("a person walks slowly",)}), ["ann"])
    other = batch(people({"zoe": ("a person walks slowly",)}, seed=9), ["zoe"])
    assert not torch.equal(one.latents, other.latents)
    for mine, theirs in zip(one.condition, other.condition, strict=True):
        assert torch.equal(mine, theirs)
    assert Condition._fields == ("labels", "text", "lengths")
    asked = set(inspect.signature(Generator.sample).parameters)
    assert not {name for name in asked if "person" in name or "user" in name or "style" in name}
    changed = batch(people({"ann": ("a person runs",)}), ["ann"])
    assert not torch.equal(one.condition.text, changed.condition.text)  # the control


def plan_with_text(**changes: Any) -> Plan:
    return make_plan(
        text=ASSETS.text_description(), arrays_digest=digest_arrays(ASSETS.arrays()),
        dimension=build("dp_sgd", OPTIONS, ASSETS).dimension, **changes,
    )  # fmt: skip


def test_a_plan_with_text_arrives_and_is_answered(tmp_path: Path) -> None:
    plan, arrays = decode_plan(encode_plan(plan_with_text(), ASSETS.arrays()))
    assert plan == plan_with_text() and plan.digest() == plan_with_text().digest() != make_plan().digest()
    again = Assets.from_arrays(arrays, plan.codec, plan.text)
    assert again.text is not None and torch.equal(again.text.labels, TEXT.labels)
    with new_ledger(tmp_path / "ledger") as ledger:
        gate = make_gate(ledger, people())
        gate.accept(plan, arrays)
        method = build(plan.method, plan.options, ASSETS)
        state = method.broadcast(method.init(0))
        assert gate.release(ask(plan, state), state).total.shape == (plan.dimension,)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"kind": "clip"},
        {"kind": "minilm"},
        {"kind": "template", "vocabulary_sha256": "0" * 64},
        {**TEXT.description(), "size": 10**9},
    ],
)
def test_a_text_encoder_that_does_not_build_costs_nothing(tmp_path: Path, text: dict[str, Any]) -> None:
    plan = make_plan(text=text, arrays_digest=digest_arrays(ASSETS.arrays()))
    with new_ledger(tmp_path / "ledger") as ledger:
        gate = make_gate(ledger, people())
        with pytest.raises(Refusal) as caught:
            gate.accept(plan, ASSETS.arrays())
        assert caught.value.code is RefusalCode.MALFORMED
        state = make_state(make_plan(), 1)
        with pytest.raises(Refusal):
            gate.release(ask(plan, state), state)
        assert ledger.events() == []


def test_one_person_with_captions_moves_the_clipped_sum_by_the_clip_norm_at_most(tmp_path: Path) -> None:
    plan = plan_with_text(noise_multiplier=0.0, sampling_rate=1.0)
    method = build(plan.method, plan.options, ASSETS)
    state = method.broadcast(method.init(0))
    sums = []
    for number, left_out in enumerate((None, "ann", "cid")):
        said = {name: captions for name, captions in SAID.items() if name != left_out}
        with new_ledger(tmp_path / str(number), epsilon=float("inf")) as ledger:
            gate = make_gate(ledger, people(said), seed=1)
            gate.accept(plan, ASSETS.arrays())
            sums.append(gate.release(ask(plan, state), state).total)
    moved = [float((sums[0] - less).norm()) for less in sums[1:]]
    assert all(0 < distance <= plan.clip_norm for distance in moved), moved
