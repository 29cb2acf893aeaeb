"""People and their windows: nobody's row depends on who else is there; a bad window is its owner's alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from client.datasets import DataSet
from client.exactness import unmoved
from client.position import position
from client.users import Share, Users
from common.generator.sensor_codec import SensorCodec
from common.motion.recording import Recording
from common.motion.sensors import SENSOR
from common.noise import PersonRandom
from tests.small_site import CODEC, LABELS, make_users

KEY = bytes(32)


def batch(users: Users, names: list[str], motions: int = 4) -> Any:
    units = [users.names.index(name) for name in names]
    users.encode(CODEC, "codec")
    return users.batch(units, motions, PersonRandom(KEY, names), "codec")


def test_a_persons_row_is_the_same_to_the_bit_whoever_else_is_there() -> None:
    crowd = {"ann": 3, "bob": 50, "cid": 1, "eve": 130}
    together = batch(make_users(crowd), ["eve", "bob", "ann"])
    alone = batch(make_users({"ann": 3}), ["ann"])
    assert torch.equal(together.latents[2], alone.latents[0])
    assert torch.equal(together.mask[2], alone.mask[0])
    assert torch.equal(
        together.condition.labels[2][together.mask[2]], alone.condition.labels[0][alone.mask[0]]
    )


def test_a_person_enters_with_at_most_m_windows_of_their_own() -> None:
    users = make_users({"ann": 3, "bob": 50})
    found = batch(users, ["ann", "bob"])
    assert found.mask.sum(dim=1).tolist() == [3, 4]
    own = CODEC.encode(users._raw[3:53], torch.zeros(50, dtype=torch.int64))
    for latent in found.latents[1]:
        assert bool(torch.isclose(own, latent).all(dim=1).any())
    assert len({tuple(row) for row in found.latents[1].tolist()}) == 4  # without replacement


class Moody(SensorCodec):
    """A codec that cannot encode some windows, as a hostile description can bring about."""

    def encode(self, windows: Tensor, labels: Tensor) -> Tensor:
        if bool((windows > 1000).any()):
            raise ValueError("cannot encode")
        return super().encode(windows, labels)


def test_a_window_that_cannot_be_encoded_is_its_owners_loss_alone() -> None:
    users = make_users({"ann": 3, "bob": 5, "eve": 2})
    expected = make_users({"ann": 3, "bob": 5, "eve": 2})
    users._raw[4] = 1e4  # bob's second
    users.encode(Moody(SENSOR, LABELS), "codec")
    expected.encode(CODEC, "codec")
    found, wanted = users._encoded["codec"][0], expected._encoded["codec"][0]
    assert bool(torch.isnan(found[4]).all())
    others = [i for i in range(10) if i != 4]
    assert torch.equal(found[others], wanted[others])


def test_windows_of_another_shape_than_the_codecs_raise_nothing() -> None:
    users = make_users({"ann": 3})
    users._raw = users._raw[:, :10]
    users.encode(CODEC, "codec")
    assert bool(torch.isnan(users._encoded["codec"][0]).all())


def test_each_plan_has_its_own_latents() -> None:
    users = make_users({"ann": 3})
    users.encode(CODEC, "one")
    users.encode(SensorCodec(SENSOR, ("a",), kept=2), "two")
    assert users.batch([0], 4, PersonRandom(KEY, ["ann"]), "two").latents.shape == (1, 4, 12)


def test_rows_that_move_with_their_place_are_noticed() -> None:
    values = torch.randn(64, 5)
    assert unmoved(lambda places: values[places] * 3, 64)
    edge = (torch.arange(64) >= 60)[:, None]
    assert not unmoved(lambda places: torch.where(edge, values[places] * (3 + 1e-6), values[places] * 3), 64)
    assert not unmoved(lambda places: values[places] / 0 * 0, 64)

    def raising(places: Tensor) -> Tensor:
        raise ValueError

    assert not unmoved(raising, 64)


class Few:
    """Three people in a data set."""

    def people(self) -> tuple[str, ...]:
        return tuple(f"person{i}" for i in range(300))


def test_one_persons_removal_moves_nobody_else_to_another_site() -> None:
    shares = [Share(seed=1, start=i / 4, stop=(i + 1) / 4).select(Few()) for i in range(4)]  # type: ignore[arg-type]
    assert sorted(p for share in shares for p in share) == sorted(Few().people())
    assert all(50 < len(share) < 100 for share in shares)


@pytest.mark.parametrize("person", ["", "ann", "x" * 1000, "é"])
def test_a_position_lies_in_the_unit_interval(person: str) -> None:
    assert 0 <= position(person, 0) < 1
    assert position(person, 0) != position(person, 1)


def test_no_two_people_share_a_record() -> None:
    """Of `a` with `b/walk` and `a/b` with `walk`, one withdrawal would otherwise be the other's."""
    samples = torch.zeros(SENSOR.window, len(SENSOR.channels)).numpy()
    pairs = [("a", "b/walk"), ("a/b", "walk")]
    recordings = [Recording(person=p, name=n, label=None, samples=samples) for p, n in pairs]
    users = Users.gather(recordings, cast(DataSet, SimpleNamespace(modality=SENSOR)), "record")
    assert len(users) == 2 and set(users.persons) == {"a", "a/b"}
