"""Identity cards: forged, edited, of another role or date, or compared by nobody, none is believed."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.card import Card, compare, date_of
from common.errors import InputError, Refusal, RefusalCode
from common.signing import public_name

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
NOW = int(time.time())


def card_of(**changes: Any) -> Card:
    card = Card(role="site", name="north", key=public_name(KEY), valid_until=NOW + 1000, population=7)
    return replace(card, **changes).sign(KEY)


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = card_of()
    card.write(tmp_path / "card.json")
    assert Card.read(tmp_path / "card.json", "site") == card
    assert len(card.fingerprint) == 39 and card.fingerprint.count("-") == 7


def test_a_forged_card_is_refused(tmp_path: Path) -> None:
    """Another's name and key under one's own signature, or one's own facts under another's."""
    stolen = replace(card_of(), signature=replace(card_of(), key=public_name(OTHER)).sign(OTHER).signature)
    stolen.write(tmp_path / "card.json")
    with pytest.raises(InputError, match="its signature is not its owner's"):
        Card.read(tmp_path / "card.json", "site")
    with pytest.raises(ValueError, match="its own key"):
        card_of().sign(OTHER)


def test_no_byte_of_a_card_can_be_changed(tmp_path: Path) -> None:
    """Every byte, each in two ways: what is still read says the very same, as where a space is a line."""
    path, card = tmp_path / "card.json", card_of()
    card.write(path)
    content = path.read_bytes()
    kept = 0
    for place in range(len(content)):
        for flip in (1, 64):
            path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            try:
                assert Card.read(path, "site") == card
                kept += 1
            except InputError as error:
                assert "\n" not in str(error)
    assert kept < len(content) / 10


@pytest.mark.parametrize("field", sorted(set(asdict(card_of())) - {"role", "signature"}))
def test_every_fact_is_in_fingerprint_and_signature(field: str, tmp_path: Path) -> None:
    card, path = card_of(), tmp_path / "card.json"
    value = getattr(card, field)
    others: dict[str, Any] = {"name": "south", "key": public_name(OTHER), "address": "a:1"}
    changed = replace(card, **{field: others.get(field, value + ("x" if isinstance(value, str) else 1))})
    assert changed.fingerprint != card.fingerprint
    changed.write(path)
    with pytest.raises(InputError, match="its signature is not its owner's"):
        Card.read(path, "site")


def test_a_card_of_another_role_is_refused(tmp_path: Path) -> None:
    card_of().write(tmp_path / "card.json")
    with pytest.raises(InputError, match="the card of a site, not of a coordinator"):
        Card.read(tmp_path / "card.json", "coordinator")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "{}", '{"fedmotion": "run plan"}', '{"fedmotion": "card"}', "[" * 100_000, "\x00",
     '{"fedmotion": "card", "role": "site", "name": 3, "key": [], "valid_until": "x"}'],
)  # fmt: skip
def test_what_is_no_card_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        Card.read(path, "site")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "a/b"), ("key", "ab"), ("valid_until", 0), ("population", -1), ("address", "hub:1\nfake: yes"),
     ("address", "\x1b[2J"), ("issued", NOW + 2000), ("node_key", "x" * 20_000)],
    ids=lambda value: ascii(value)[:20] if isinstance(value, str) else "number",
)  # fmt: skip
def test_a_card_that_could_mislead_is_none(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{field} is"):
        card_of(**{field: value})


def test_an_expired_card_is_refused_and_one_of_the_future_names_the_clock() -> None:
    card_of(issued=NOW).require_current("its", "renew it")
    with pytest.raises(Refusal, match=r"was valid until .*: renew it") as expired:
        card_of(valid_until=NOW - 1).require_current("its", "renew it")
    with pytest.raises(Refusal, match="check the clock") as early:
        card_of(issued=NOW + 90_000, valid_until=NOW + 100_000).require_current("its", "renew it")
    assert expired.value.code == early.value.code == RefusalCode.EXPIRED
    card_of(issued=NOW + 80_000, valid_until=NOW + 100_000).require_current("its", "renew it")
    assert date_of(0) == "1970-01-01 00:00 UTC" and date_of(2**52) == "the far future"


def test_a_fingerprint_is_compared_as_people_read_it_out() -> None:
    card = card_of()
    for told in (card.fingerprint, card.fingerprint.lower(), card.fingerprint.replace("-", " ")):
        compare(card, told, "they")
    for wrong in (None, "", card.fingerprint[:-1], card_of(population=8).fingerprint):
        with pytest.raises(Refusal) as refused:
            compare(card, wrong, "they")
        assert refused.value.code == RefusalCode.FOREIGN
        assert card.fingerprint not in str(refused.value), "nobody can copy it instead of asking"


def test_a_card_is_plain_json(tmp_path: Path) -> None:
    card_of().write(tmp_path / "card.json")
    assert json.loads((tmp_path / "card.json").read_text())["name"] == "north"
