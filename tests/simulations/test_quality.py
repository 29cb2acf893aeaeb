"""What is said of generated motion: each figure finds the fault it is named after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from common.generator.denoisers.mlp import ResidualMLP
from common.generator.generator import Generator
from common.motion.population import BASIC_ACTIONS, PRIVATE, PUBLIC, synthesise
from common.motion.recording import SKELETON
from common.motion.sensors import SENSOR
from simulations.corpus import Corpus, corpus
from simulations.evaluation.classifier import Classifier
from simulations.evaluation.movement import (
    bone_deviation,
    distance_of,
    jerk,
    skate_ratio,
    spectral_distance,
)
from simulations.evaluation.quality import Reference, Yardstick
from tests.common.generator.sequences import FramesCodec


def _people(first: int, count: int) -> Corpus:
    return corpus(synthesise(PRIVATE, 0, range(first, first + count), motions=4), SKELETON, BASIC_ACTIONS)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(held_out=_people(0, 60), trained=_people(100, 60))


@pytest.fixture(scope="module")
def yardstick(reference: Reference) -> Yardstick:
    public = corpus(synthesise(PUBLIC, 1, range(60), motions=4), SKELETON, BASIC_ACTIONS)
    return Yardstick.of(reference, public, SKELETON, BASIC_ACTIONS)


def test_real_people_measure_well_and_each_fault_shows_in_its_figure(
    reference: Reference, yardstick: Yardstick
) -> None:
    real = yardstick.measure(reference.held_out)
    assert real["frechet"] == 0 and real["spectral"] == 0 and real["jerk"] == 0
    windows = reference.held_out.windows
    random = torch.Generator().manual_seed(0)
    slid = windows.clone()
    slid[..., 0] += torch.linspace(0, 3, windows.shape[1])[:, None]
    shaken = windows + 0.005 * torch.randn(windows.shape, generator=random)
    slow = windows[:, torch.arange(windows.shape[1]) // 2]
    faults = {
        name: yardstick.measure(Corpus(changed, reference.held_out.labels))
        for name, changed in {"slid": slid, "shaken": shaken, "slow": slow}.items()
    }

    def value(row: dict[str, float | None], figure: str) -> float:
        found = row[figure]
        assert found is not None
        return found

    assert value(faults["slid"], "skate") > value(real, "skate") + 0.2
    assert value(faults["shaken"], "bones") > 10 * value(real, "bones") + 0.005
    assert value(faults["shaken"], "jerk") > 50
    assert value(faults["slow"], "spectral") > 0.02
    assert all(value(fault, "frechet") > 0 for fault in faults.values())


def test_the_classifier_knows_actions_and_does_not_know_false_labels(
    reference: Reference, yardstick: Yardstick
) -> None:
    known = yardstick.accuracy(reference.held_out)
    assert known is not None and known > 0.9
    wrong = Corpus(reference.held_out.windows, (reference.held_out.labels + 1) % len(BASIC_ACTIONS))
    mistaken = yardstick.accuracy(wrong)
    assert mistaken is not None and mistaken < 0.1
    taught = [yardstick.teaches(other) for other in (reference.trained, reference.held_out, wrong)]
    assert all(share is not None for share in taught)
    assert min(taught[0] or 0, taught[1] or 0) > 0.9 and (taught[2] or 0) < 0.1
    one = reference.trained.labels == 0
    assert yardstick.teaches(Corpus(reference.trained.windows[one], reference.trained.labels[one])) is None
    nameless = Corpus(wrong.windows, torch.full_like(wrong.labels, len(BASIC_ACTIONS)))
    assert yardstick.accuracy(nameless) is None


def test_movement_by_hand() -> None:
    still = torch.zeros(1, 30, 22, 3)
    still[0, :, :, 1] = torch.arange(22) * 0.05
    still[0, :, 10:12, 1] = 0.0
    assert skate_ratio(still) == 0 and float(jerk(still)) == 0 and bone_deviation(still) == 0
    gliding = still.clone()
    gliding[..., 2] += torch.arange(30)[:, None] * 0.05  # 1 m/s along the floor
    assert skate_ratio(gliding) == pytest.approx(1.0)
    cubed = still.clone()
    cubed[..., 0] += (torch.arange(30, dtype=torch.float32)[:, None] / 20) ** 3
    assert float(jerk(cubed)) == pytest.approx(6.0, rel=1e-2)
    assert distance_of(torch.zeros(4), torch.ones(7)) == 1.0


def test_the_spectral_distance_of_two_tones_is_the_way_between_them() -> None:
    time = torch.arange(64) / 64
    tones = [torch.sin(2 * np.pi * hertz * time)[None, :, None] for hertz in (4, 20)]
    assert spectral_distance(tones[0], tones[0]) == 0
    assert spectral_distance(tones[0], tones[1]) == pytest.approx(16 / 32, abs=1e-6)


def test_a_classifier_of_separate_clouds() -> None:
    rng = np.random.default_rng(0)
    labels = torch.arange(300) % 3
    scores = rng.normal(size=(300, 4)) + 6 * np.eye(4)[labels.numpy()]
    assert Classifier.fit(scores, labels).accuracy(scores, labels) > 0.99


def test_sensors_have_no_bones() -> None:
    random = torch.Generator().manual_seed(0)
    windows = torch.randn(200, SENSOR.window, len(SENSOR.channels), generator=random)
    labels = torch.arange(200) % 2
    part = Corpus(windows + 5 * labels[:, None, None], labels)
    yardstick = Yardstick.of(Reference(part, part), None, SENSOR, ("a", "b"))
    row = yardstick.measure(part)
    assert set(row) == {"frechet", "accuracy", "teaches", "spectral"} and row["accuracy"] == 1.0


@dataclass(frozen=True, eq=False)
class Replay(FramesCodec):
    """Whatever is drawn, it decodes to somebody's motion of the asked label."""

    real: Corpus | None = None
    names: tuple[str, ...] = ()

    @property
    def latent(self) -> int:
        return 1

    @property
    def frames(self) -> int:
        return 1

    def decode(self, latents: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        assert self.real is not None
        wanted = [self.names.index(self.labels[label]) for label in labels.tolist()]
        rows = [int(torch.nonzero(self.real.labels == label)[0]) for label in wanted]
        return self.real.windows[rows][:, : self.modality.window]


def test_a_generator_may_order_its_labels_otherwise(reference: Reference, yardstick: Yardstick) -> None:
    """One that was pre-trained knows the same actions under other numbers."""
    turned = tuple(reversed(BASIC_ACTIONS))
    codec = Replay(labels=turned, modality=SKELETON, real=reference.trained, names=BASIC_ACTIONS)
    denoiser = ResidualMLP(labels=len(turned), channels=1, width=2, depth=0)
    generator = Generator(codec, denoiser, denoiser.init(0), codec.label_prior())
    found = yardstick.generated(generator, 30)["accuracy"]
    assert found is not None and found > 0.9
