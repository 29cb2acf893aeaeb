"""Sentences become bounded vectors, each from itself alone, whatever is in it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import InputError
from common.generator.text import MOST_CHARACTERS, TextEncoder, bounded, label_sentence, plain, sides
from common.generator.text_encoders import load_text, make_text
from common.generator.vocabulary import concepts
from tests.common.generator.encoders import KINDS, LABELS, encoder, unread_minilm

TEMPLATE = encoder("template")
HOSTILE = ("", " \n\t", "\0", "\ud800 walks", "walk\u202eklaw", "🕺" * 200, "ﷺ" * 500, "e\u0301" * 400, 
           "<script>", "w" * 10**6, "walk " * 10**5)  # fmt: skip


def norms_in_float32(vectors: Tensor) -> Tensor:
    """The largest float32 norm among several orders of summing."""
    orders = [
        vectors,
        vectors.flip(1),
        vectors.sort(dim=1).values,
        vectors.sort(dim=1, descending=True).values,
    ]
    running = [order.square().cumsum(dim=1)[:, -1].sqrt() for order in orders]
    return torch.stack([*running, vectors.norm(dim=1)]).amax(dim=0)


@pytest.mark.parametrize("size", [2, 3, 32, 512])
@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1.0, 1e150])
def test_a_bounded_vectors_norm_never_exceeds_one(size: int, scale: float) -> None:
    random = torch.Generator().manual_seed(size)
    vectors = torch.randn(500, size, generator=random, dtype=torch.float64) * scale
    found = bounded(vectors)
    assert float(norms_in_float32(found).max()) <= 1.0
    assert float(found.double().norm(dim=1).min()) > 0.9998
    assert torch.equal(bounded(torch.zeros(2, size)), torch.zeros(2, size))


def test_control_without_the_margin_some_norm_exceeds_one() -> None:
    vectors = torch.randn(500, 512, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = (vectors / vectors.norm(dim=1, keepdim=True)).to(torch.float32)
    assert float(norms_in_float32(exact).max()) > 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_has_the_same_bits_whatever_stands_beside_it(kind: str) -> None:
    sentence = "a person jogs in a circle"
    others = ["someone waves", "a much longer sentence about a person who walks and then sits down", "", "x"]
    alone = encoder(kind).encode([sentence])[0]
    for place in range(len(others) + 1):
        together = encoder(kind).encode([*others[:place], sentence, *others[place:]])
        assert torch.equal(together[place], alone)
    assert float(norms_in_float32(together).max()) <= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_is_read_in_bounds_and_raises_nothing(kind: str) -> None:
    found = encoder(kind).encode(HOSTILE)
    assert bool(torch.isfinite(found).all()) and float(found.norm(dim=1).max()) <= 1.0
    assert torch.equal(found[0], torch.zeros(32))
    assert all(len(plain(text)) <= MOST_CHARACTERS for text in HOSTILE)


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_any_text_is_read_in_bounds(text: str) -> None:
    (found,) = TEMPLATE.encode([text])
    assert float(found.norm()) <= 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("a person walks slowly", "someone strolls at a slow pace", "a person runs slowly"),
        ("a man waves with the left hand", "a man waves goodbye", "a man kicks with the left foot"),
        ("she jumps twice", "a woman hops", "she waves twice"),
        ("a person runs forward", "a man is sprinting", "a person jumps forward"),
    ],
)
def test_an_action_is_nearer_to_itself_than_to_another_under_the_same_words(
    kind: str, one: str, same: str, other: str
) -> None:
    a, b, c = encoder(kind).encode([one, same, other])
    assert float(a @ b) > float(a @ c)
    named = [LABELS[int((encoder(kind).labels[:-1] @ v).argmax())] for v in (a, b, c)]
    assert named[0] == named[1] != named[2]


@pytest.mark.parametrize("kind", KINDS)
def test_sides_ways_and_speeds_are_told_apart(kind: str) -> None:
    said = encoder(kind).encode(
        ["a person waves with the left hand", "a person waves with the right hand",
         "a person walks slowly", "a person walks fast", "a person walks in a circle"]
    )  # fmt: skip
    assert float((said @ said.T - 2 * torch.eye(5)).max()) < 0.995


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_that_travelled_says_the_same(kind: str) -> None:
    sent = encoder(kind)
    again = load_text(sent.arrays(), json.loads(json.dumps(sent.description())), LABELS)
    assert again is not None and again.size == 32
    assert torch.equal(again.encode(["a person jogs"]), sent.encode(["a person jogs"]))
    assert torch.equal(again.labels[:-1], sent.encode([label_sentence(label) for label in LABELS]))
    assert torch.equal(again.labels[-1], torch.zeros(32))


def test_none_is_no_encoder() -> None:
    assert make_text("none", 32, LABELS) is None and load_text({}, {}, LABELS) is None
    with pytest.raises(InputError, match="without its description"):
        load_text({"labels": torch.zeros(6, 4)}, {}, LABELS)


@pytest.mark.parametrize("sent", [TEMPLATE, unread_minilm(len(LABELS))])
@pytest.mark.parametrize(
    "change",
    [
        {"labels": torch.zeros(6, 513)},
        {"labels": torch.zeros(6, 1)},
        {"labels": torch.zeros(6)},
        {"labels": torch.zeros(5, 32)},
        {"labels": torch.zeros(6, 32, dtype=torch.float64)},
        {"labels": torch.full((6, 32), 0.2)},
        {"labels": torch.full((6, 32), math.nan)},
        {"axes": torch.zeros(384, 7)},
        {"axes": torch.full((384, 8), math.inf)},
        {"mean": torch.zeros(383)},
        {"more": torch.zeros(1)},
        {"description": {"kind": "clip"}},
        {"description": {"kind": ["template"]}},
        {"description": {"kind": "template"}},
        {"description": {"kind": "template", "vocabulary_sha256": "0"}},
        {"description": {"kind": "minilm", "weights_sha256": "0"}},
        {"description": {"size": 10**9}},
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(sent: TextEncoder, change: dict[str, object]) -> None:
    description = change.get("description", sent.description())
    arrays = sent.arrays() | {name: value for name, value in change.items() if name != "description"}
    with pytest.raises((InputError, KeyError)):
        load_text(arrays, description, LABELS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("he is jogging round and round", ["run", "slow", "circle"]),
        ("this is his own", []),
        ("she stands up", ["stand up"]),
        ("he stands and kicks", ["kick", "standing"]),
        ("picking a box up", ["pick up", "up"]),
        ("she sits still", ["seated"]),
    ],
)
def test_words_mean_what_they_say(sentence: str, meant: list[str]) -> None:
    assert concepts(sentence.split()) == meant


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("walk " * 70, "too long"),
        ("w" * 600, "too long"),
        ("!!! 🙂", "no word of the text '!!! 🙂' is known"),
    ],
)
def test_a_prompt_that_says_nothing_or_too_much_is_named(kind: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        encoder(kind).prompt(text)
    assert "\n" not in str(caught.value)


def test_the_closed_vocabulary_says_what_it_knows() -> None:
    with pytest.raises(InputError, match="'a xyzzy' is known: this run's text says walk, run"):
        TEMPLATE.prompt("a xyzzy")


def test_a_size_out_of_range_is_named() -> None:
    with pytest.raises(InputError, match="text_size is 1: it must be from 2 to 512"):
        make_text("template", 1, LABELS)


def test_a_side_that_is_left_open_is_either() -> None:
    assert sides("a person jogs in a circle") == (
        "a person jogs in a circle to the left",
        "a person jogs in a circle to the right",
    )
    for told in ("a person walks", "runs in a circle to the left", "walks clockwise around", "leaves"):
        assert sides(told) == (told,)
