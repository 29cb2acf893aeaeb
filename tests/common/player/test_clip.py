"""What a page carries of a motion comes back to the half step, whatever its size, and stays small."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import InputError
from common.motion.population import PRIVATE, synthesise
from common.motion.skeleton import JOINTS, PARENTS
from common.player.clip import Clip, packed
from common.player.pages import player_page


def unpacked(data: dict[str, Any]) -> list[NDArray[np.float64]]:
    """The reading side, written from the format alone: sums over time twice, then along the bones."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(data["data"]), wbits=-15), np.uint8)
    motions, start = [], 0
    for clip in data["clips"]:
        count = clip["frames"] * JOINTS * 3
        low, high = planes[start : start + 2 * count].reshape(2, count).astype(np.int64)
        start += 2 * count
        signless = (low | high << 8).reshape(JOINTS, 3, -1)
        whole = np.where(signless % 2, -(signless + 1) // 2, signless // 2)
        whole = whole.cumsum(axis=2).cumsum(axis=2)
        for joint in range(1, JOINTS):
            whole[joint] += whole[PARENTS[joint]]
        wrapped = (whole + 32768) % 65536 - 32768
        motions.append(wrapped.transpose(2, 0, 1) * clip["step"])
    assert start == len(planes)
    return motions


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_positions_come_back_to_half_a_step(scale: float) -> None:
    recordings = synthesise(PRIVATE, 3, range(2))
    clips = [
        Clip("far", "real", (np.add(r.samples, (3.0, 0.0, -8.0)) * scale).astype(np.float32)[: 20 + 5 * k])
        for k, r in enumerate(recordings)
    ]
    data: dict[str, Any] = packed(clips)
    for clip, facts, back in zip(clips, data["clips"], unpacked(data), strict=True):
        joints = clip.joints.astype(np.float64)
        assert facts["step"] >= 0.001
        expected = joints - joints[0, 0] * (1.0, 0.0, 1.0)
        np.testing.assert_allclose(back, expected, atol=0.51 * facts["step"])


def test_leaps_through_the_whole_range_wrap_and_come_back() -> None:
    rng = np.random.default_rng(5)
    joints = rng.uniform(-30.0, 30.0, (7, JOINTS, 3)).astype(np.float32)
    joints[0, 0] = 0.0
    data: dict[str, Any] = packed([Clip("leaps", "real", joints), Clip("still", "real", joints[:1])])
    leaps, still = unpacked(data)
    np.testing.assert_allclose(leaps, joints, atol=0.00051)
    np.testing.assert_allclose(still, joints[:1], atol=0.00051)


def test_sixty_four_restless_motions_are_less_than_a_megabyte() -> None:
    """Noise of 2 mm a frame on top of what people do: more than recordings have."""
    rng = np.random.default_rng(0)
    recordings = list(synthesise(PRIVATE, 3, range(8)))
    clips = []
    for k in range(64):
        joints = np.concatenate([recordings[(k + n) % len(recordings)].samples for n in range(4)])[:196]
        noise = rng.normal(scale=0.002, size=joints.shape)
        clips.append(
            Clip(f"motion {k}", "generated", (joints + noise).astype(np.float32), "walk", "a caption")
        )
    assert len(clips[0].joints) == 196
    text = player_page(clips, title="Sixty-four")
    assert len(text.encode()) < 1_000_000
    with pytest.raises(InputError, match="too much for one page: show fewer"):
        packed(clips * 4)
