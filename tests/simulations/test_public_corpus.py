"""The public corpus speaks the data's language, for skeletons and for sensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.datasets import DataSet
from client.datasets.base import Findings
from common.errors import InputError
from common.motion.population import ACTIONS
from common.motion.recording import SKELETON, Modality, Recording
from common.motion.sensors import SENSOR
from simulations.config import Simulation
from simulations.corpus import corpus
from simulations.evaluation.evaluator import Evaluator
from simulations.prepare import open_people
from simulations.public_corpus import public_corpus

HAR = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "sp-sw-har"
WATCH = ("SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING")


class Declared:
    """A data set that declares what it holds and holds nothing."""

    origin = "declared"
    skipped: list[str] = []  # noqa: RUF012
    findings = Findings()
    unknown_people = None

    def __init__(self, modality: Modality, labels: tuple[str, ...]) -> None:
        self.modality, self.labels = modality, labels

    def people(self) -> tuple[str, ...]:
        return ()

    def column(self, name: str) -> dict[str, str]:
        return {}

    def recordings(self, people: Collection[str]) -> Iterator[Recording]:
        return iter(())


def settings(**said: object) -> Simulation:
    return Simulation.model_validate({"public_people": 100, **said})


def test_sensors_get_windows_of_every_label_that_is_known() -> None:
    corpus = public_corpus(settings(data="somewhere"), Declared(SENSOR, WATCH))
    assert corpus is not None and corpus.windows.shape[1:] == (64, 6)
    counts = np.bincount(corpus.labels.numpy(), minlength=6)
    assert (counts[:5] >= 64).all() and counts[5] == 0
    felt = corpus.windows[corpus.labels == 0][:, :, :3].norm(dim=-1)
    assert abs(float(felt.mean()) - 9.81) < 0.2, "seated"


@pytest.mark.parametrize(
    ("modality", "labels"),
    [(replace(SENSOR, channels=("acc_x", "gyro_x")), WATCH), (SENSOR, ("cycling",)), (SENSOR, ())],
)
def test_sensors_for_which_nobody_can_stand_in_have_none(modality: Modality, labels: tuple[str, ...]) -> None:
    assert public_corpus(settings(data="somewhere"), Declared(modality, labels)) is None


def test_other_rates_and_windows_are_met() -> None:
    modality = replace(SENSOR, rate=25.0, window=40)
    corpus = public_corpus(settings(data="somewhere"), Declared(modality, ("Walking",)))
    assert corpus is not None and corpus.windows.shape[1:] == (40, 6)


def test_public_motions_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "ann_1.npy", np.zeros((70, 22, 3), np.float32))
    with pytest.raises(InputError, match="different modalities"):
        public_corpus(settings(data="somewhere", public=tmp_path), Declared(SENSOR, WATCH))


def test_skeletons_get_the_labels_of_the_data_and_what_else_these_name() -> None:
    labels = ("Pick Up", "Running", "swim", "walk")
    corpus = public_corpus(settings(data="somewhere", motions=7), Declared(SKELETON, labels))
    assert corpus is not None
    counts = np.bincount(corpus.labels.numpy(), minlength=5)
    assert counts.tolist() == [100, 100, 0, 100, 400]


@pytest.mark.parametrize("actions", ["basic", "all"])
def test_procedural_data_have_public_people_who_do_the_same(actions: str) -> None:
    config = settings(people=10, motions=13, actions=actions)
    data: DataSet = open_people(config)
    assert set(data.labels) == set(ACTIONS if actions == "all" else ACTIONS[:6])
    corpus = public_corpus(config, data)
    assert corpus is not None
    assert (np.bincount(corpus.labels.numpy(), minlength=len(data.labels)) > 0).all()


@pytest.mark.skipif(not HAR.is_dir(), reason="needs the SP-SW-HAR recordings in ../shared/data/sp-sw-har")
def test_virtual_watches_are_nearer_to_real_ones_than_no_walking_at_all() -> None:
    """The right label's virtual windows are nearer to real ones than another label's are."""
    config = settings(data=str(HAR))
    data = open_people(config)
    public = public_corpus(config, data)
    assert public is not None
    evaluator = Evaluator.fit(public.windows, data.modality)
    real = corpus(data.recordings(data.people()), data.modality, data.labels)
    for label, other in (("WALKING", "SEATED"), ("SEATED", "WALKING"), ("SITTING_DOWN", "WALKING")):
        mine, theirs = (public.windows[public.labels == data.labels.index(name)] for name in (label, other))
        windows = real.windows[real.labels == data.labels.index(label)]
        assert evaluator.frechet(windows, mine) < evaluator.frechet(windows, theirs)
