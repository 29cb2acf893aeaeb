"""The motion codec: public, one row at a time, and close to what it encodes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.generator.codec import LATENT_BOUND
from common.generator.codecs import load_codec
from common.generator.entry import Choice, residual
from common.generator.events import Event, sample
from common.generator.fourier import Fourier
from common.generator.handed import Handed, mirror, sidedness
from common.generator.motion_codec import MotionCodec, fit_motion_codec
from common.motion.features import from_features, to_features
from common.motion.population import BASIC_ACTIONS, PUBLIC
from tests.common.people import crowd

People = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def others() -> People:
    return crowd(PUBLIC, 77, 40)


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_public_motions_are_nearly_standard_normal(codec: MotionCodec, public: People) -> None:
    latents = codec.encode(*public)
    walks = latents[public[1] == 0]
    assert latents.shape == (len(public[0]), codec.latent)
    assert walks.mean(dim=0).abs().max() < 0.1
    assert (walks.std(dim=0) < 1.1).all()


def test_each_row_comes_from_that_row_alone(codec: MotionCodec, others: People) -> None:
    together = codec.encode(*others)
    alone = torch.cat([codec.encode(others[0][i : i + 1], others[1][i : i + 1]) for i in range(12)])
    assert torch.allclose(together[:12], alone, atol=2e-4)  # the order of sums differs


def test_a_broken_row_spoils_no_other(codec: MotionCodec, others: People) -> None:
    spoilt = others[0].clone()
    spoilt[3] = torch.nan
    latents = codec.encode(spoilt, others[1])
    keep = torch.arange(len(spoilt)) != 3
    assert torch.equal(latents[keep], codec.encode(*others)[keep])


def test_latents_stay_within_the_public_bound(codec: MotionCodec, others: People) -> None:
    latents = codec.encode(others[0] * 40, others[1])
    assert latents.abs().max() <= LATENT_BOUND


def test_one_off_actions_come_back(codec: MotionCodec, others: People) -> None:
    windows, labels = others
    rows = labels == BASIC_ACTIONS.index("squat")
    back = codec.decode(codec.encode(windows[rows], labels[rows]), labels[rows], _random())
    expected = from_features(to_features(windows[rows]))
    assert back.shape == expected.shape
    assert (back - expected).norm(dim=-1).mean() < 0.03


def test_gait_comes_back_at_another_phase(codec: MotionCodec, others: People) -> None:
    windows, labels = others
    rows = labels == BASIC_ACTIONS.index("walk")
    back = codec.decode(codec.encode(windows[rows], labels[rows]), labels[rows], _random())
    expected = from_features(to_features(windows[rows]))
    travel = (back[:, -1, 0] - back[:, 0, 0]).norm(dim=-1) - (expected[:, -1, 0] - expected[:, 0, 0]).norm(
        dim=-1
    )
    assert travel.abs().mean() < 0.15
    assert (back[..., 0, 1].mean(dim=1) - expected[..., 0, 1].mean(dim=1)).abs().mean() < 0.02


def test_each_action_gets_a_transform_that_suits_it(codec: MotionCodec) -> None:
    kinds = {name: codec.entries[codec.of[i]].kinds for i, name in enumerate(BASIC_ACTIONS)}
    assert kinds["walk"] == kinds["run"] == (Fourier.kind,)
    assert kinds["squat"] == kinds["jump"] == (Event.kind,)
    assert kinds["wave"] == kinds["kick"] == (Handed.kind,)


def test_motions_of_all_actions_choose_one_by_one(codec: MotionCodec, others: People) -> None:
    """Without labels, walks are periodic and squats are not: the sign of the first number says so."""
    pooled = codec.entries[-1]
    assert isinstance(pooled, Choice)
    assert pooled.kinds == (Fourier.kind, Event.kind)
    sides = pooled.encode(to_features(others[0]))[:, 0] > 0
    walks, squats = (others[1] == BASIC_ACTIONS.index(name) for name in ("walk", "squat"))
    assert sides[walks].float().mean() > 0.9
    assert sides[squats].float().mean() < 0.1


def test_a_choice_leaves_less_unsaid_than_either_alone(codec: MotionCodec, others: People) -> None:
    pooled, features = codec.entries[-1], to_features(others[0])
    assert isinstance(pooled, Choice)
    left = [float(residual(e.restored(e.encode(features), features), features).mean())
            for e in (pooled, pooled.first, pooled.second)]  # fmt: skip
    assert left[0] < 0.8 * min(left[1:])


def test_a_latent_between_two_choices_decodes_to_a_motion(codec: MotionCodec) -> None:
    """A generator draws the first number from a density: each draw is one of the two, near the ground."""
    null = torch.full((400,), codec.label_index(None))
    latents = torch.randn(400, codec.latent, generator=_random())
    latents[:, 0] = torch.linspace(-3, 3, 400)
    joints = codec.decode(latents, null, _random())
    assert torch.isfinite(joints).all()
    assert (joints[..., 0, 1] > 0.2).all() and (joints[..., 0, 1] < 1.6).all()
    pooled = codec.entries[-1]
    assert isinstance(pooled, Choice)
    share = float((torch.randn(20_000, generator=_random()) > pooled.threshold).float().mean())
    assert share == pytest.approx(pooled.share, abs=0.12)


def test_label_without_public_motions_shares_the_pooled_entry(codec: MotionCodec, others: People) -> None:
    climb, none = codec.label_index("climb"), codec.label_index(None)
    assert codec.of[climb] == codec.of[none] == len(codec.entries) - 1
    both = [codec.encode(others[0], torch.full_like(others[1], label)) for label in (climb, none)]
    assert torch.equal(*both)
    prior = codec.label_prior()
    assert prior.sum() == pytest.approx(1.0)
    assert prior[climb] > 0
    assert prior[none] == 0


def test_unknown_label_names_the_vocabulary(codec: MotionCodec) -> None:
    with pytest.raises(InputError, match=r"unknown label 'swim'.*walk, run"):
        codec.label_index("swim")


def test_arrays_and_description_rebuild_the_codec(codec: MotionCodec, others: People) -> None:
    again = load_codec(codec.arrays(), json.loads(json.dumps(codec.description())))
    latents = codec.encode(*others)
    assert torch.equal(again.encode(*others), latents)
    decoded = [one.decode(latents, others[1], _random()) for one in (codec, again)]
    assert torch.equal(*decoded)
    assert len(codec.public_sha256) == 64


def test_fit_depends_on_the_public_corpus_alone_and_is_repeatable(public: People) -> None:
    windows, labels = public[0][:80], torch.zeros(80, dtype=torch.int64)
    first, second = (fit_motion_codec(windows, labels, ["any"], 8) for _ in range(2))
    assert first.description() == second.description()
    assert all(torch.equal(first.arrays()[name], value) for name, value in second.arrays().items())
    changed = fit_motion_codec(windows + 0.001, labels, ["any"], 8)
    assert changed.public_sha256 != first.public_sha256


def test_too_small_a_corpus_is_refused(public: People) -> None:
    with pytest.raises(InputError, match="holds 10 motions"):
        fit_motion_codec(public[0][:10], public[1][:10], BASIC_ACTIONS, 8)
    with pytest.raises(InputError, match="latent=1"):
        fit_motion_codec(*public, BASIC_ACTIONS, 1)


def test_unknown_codec_is_refused() -> None:
    with pytest.raises(InputError, match="unknown codec 'wavelet'"):
        load_codec({}, {"kind": "wavelet"})


def test_phase_is_taken_out_of_gait(public: People) -> None:
    walks = to_features(public[0][public[1] == 0])
    transform = Fourier.fit(walks, 20.0, slow=2, harmonics=4, envelope=1)
    coefficients = transform.forward(walks)
    later = transform.forward(transform.inverse(coefficients, torch.Generator().manual_seed(9)))
    assert (later[:, 0] - coefficients[:, 0]).abs().median() < 0.01  # the frequency
    assert (later - coefficients).abs().mean() < 0.01


def test_mirror_is_its_own_inverse_and_changes_the_side(public: People) -> None:
    kicks = to_features(public[0][public[1] == BASIC_ACTIONS.index("kick")])
    assert torch.equal(mirror(mirror(kicks)), kicks)
    assert torch.allclose(sidedness(mirror(kicks)), -sidedness(kicks), atol=1e-5)


def test_mirrored_features_are_those_of_the_mirrored_person(public: People) -> None:
    windows = public[0][:20]
    swap = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
    reflected = windows[:, :, swap] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(to_features(reflected), mirror(to_features(windows)), atol=1e-5)


def test_left_handers_stay_left_handed(public: People) -> None:
    kicks = to_features(public[0][public[1] == BASIC_ACTIONS.index("kick")])[:6]
    transform = Handed(Event(60, path=24, pace=20, idle=0.25))
    for features, sign in ((kicks, 1.0), (mirror(kicks), -1.0)):
        back = transform.inverse(transform.forward(features), _random())
        assert (sidedness(back) * sign * sidedness(kicks).sign() > 0.5).all()


def test_cubic_sampling_hits_the_frames() -> None:
    signal = torch.randn(3, 9, 4, generator=_random())
    whole = torch.arange(9.0).expand(3, -1)
    assert torch.allclose(sample(signal, whole), signal, atol=1e-6)
    assert torch.allclose(sample(signal, whole + 100), signal[:, -1:].expand(-1, 9, -1), atol=1e-6)


@pytest.mark.parametrize("of", [(0,), (0, 1, 2, 99), (0, 1, -1, 0)])
def test_labels_that_name_no_entry_are_refused(codec: MotionCodec, of: tuple[int, ...]) -> None:
    """An index past the entries would leave latents unwritten: memory, not motion."""
    named = (*of, *[0] * (len(codec.labels) + 1 - len(of))) if len(of) > 1 else of
    with pytest.raises(InputError, match="entries"):
        replace(codec, of=named)
