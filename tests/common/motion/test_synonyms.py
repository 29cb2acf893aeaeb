from __future__ import annotations

import pytest

from common.motion.people import ACTIONS
from common.motion.synonyms import SYNONYMS, action_of, label_table


def test_every_action_has_its_names_and_no_name_has_two() -> None:
    assert tuple(SYNONYMS) == ACTIONS
    names = [name for action, others in SYNONYMS.items() for name in (action.replace("_", " "), *others)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("label", "action"),
    [
        ("WALKING", "walk"), ("Walk", "walk"), ("STANDING_UP", "stand"), ("SITTING_DOWN", "sit"),
        ("SEATED", "seated"), ("Turning", "turn"), ("sit-to-stand", "stand"), ("PickUp", "pick_up"),
        ("pick_up", "pick_up"), ("Sitting", "seated"), ("sit", "sit"), ("cycling", None), ("", None),
        ("日本", None),
    ],
)  # fmt: skip
def test_labels_in_other_spellings_are_known(label: str, action: str | None) -> None:
    assert action_of(label) == action


def test_a_vocabulary_becomes_a_table() -> None:
    assert label_table(("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")) == {
        "seated": "SEATED", "stand": "STANDING_UP", "walk": "WALKING", "turn": "TURNING",
        "sit": "SITTING_DOWN",
    }  # fmt: skip
    assert label_table(("walking", "Walk", "swim")) == {"walk": "Walk"}
    assert label_table(()) == {}
