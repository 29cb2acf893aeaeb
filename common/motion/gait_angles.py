"""Joint angles of walking and running as Fourier series over the stride.

theta(phi) = a0 + sum_k a_k cos(2 pi k phi) + b_k sin(2 pi k phi), k = 1..5, with phi = 0 at right
foot strike and the left side half a stride later (after Troje, J. Vision 2:371, 2002; five
harmonics follow Skejo et al., J. Biomech. 115:110187, 2021). The walking coefficients were fitted
to the averaged normal gait of the OpenSim tutorial, the running ones to Hamner, Seth & Delp 2010.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from common.motion.anthropometry import Floats
from common.motion.forward import ANKLE, CORE, HIP, KNEE, SIDE, TILT

HARMONICS: Final = 5
TERMS: Final = 1 + 2 * HARMONICS
_Row = tuple[float, ...]
_ZERO: Final[_Row] = (0.0,) * TERMS


def _flat(value: float) -> _Row:
    return (value, *_ZERO[1:])


# Degrees: a0, a1..a5, b1..b5; the right side.
_WALK: Final[dict[str, _Row]] = {
    "hip_flexion": (8.09, 20.60, -3.92, 0.05, -0.17, -0.15, -3.18, -1.03, 1.60, -0.22, 0.21),
    "knee": (20.29, -2.01, -14.28, 0.00, -0.71, -0.25, -19.22, 8.11, 4.15, 0.36, 0.61),
    "ankle": (1.01, -2.28, 1.05, -3.44, 2.02, -0.31, 4.79, -5.87, 0.49, 0.02, -0.97),
    "hip_adduction": (1.68, 0.42, 0.10, -1.22, 0.13, -0.12, 4.06, -0.78, 0.30, -0.05, -0.19),
    "hip_rotation": (-0.02, -0.51, 0.05, 0.09, 0.09, -0.62, 2.37, 2.10, 0.51, -0.31, -0.25),
    "shoulder_flexion": (-2.0, -13.5, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "shoulder_abduction": (7.0, 0, 0.6, 0, 0, 0, 0, 0, 0, 0, 0),
    "shoulder_rotation": (22.0, -3.0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "elbow": (22.0, -8.0, 0, 0, 0, 0, -4.0, 0, 0, 0, 0),
    "pelvis_list": (0, -1.65, 0, 1.07, 0, 0.03, -2.63, 0, -0.26, 0, 0.07),
    "pelvis_rotation": (0, 1.61, 0, 0.62, 0, 0.26, 2.67, 0, -0.12, 0, 0.14),
    "pelvis_tilt": (-2.00, 0, 0, 0, -0.05, 0, 0, 0.46, 0, 0.02, 0),
    "lumbar_extension": (-1.5, 0, 0.4, 0, 0, 0, 0, -0.4, 0, 0, 0),
    "lumbar_bending": (0, 1.0, 0, -0.5, 0, 0, 1.6, 0, 0.1, 0, 0),
    "lumbar_rotation": (0, -6.5, 0, -0.3, 0, 0, -2.6, 0, 0, 0, 0),
    "neck_flexion": _flat(1.5),
    "neck_rotation": (0, 4.0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
}
_RUN: Final[dict[str, _Row]] = {
    "hip_flexion": (11.86, 28.97, -7.58, -2.51, 0.09, -0.27, -17.16, 4.48, 2.47, 0.45, 0.33),
    "knee": (51.35, -10.28, -13.40, -4.70, -0.01, -0.32, -27.18, 23.87, 2.57, 0.87, 0.72),
    "ankle": (-0.73, 17.41, -10.06, -2.79, 0.84, -0.19, 4.62, 5.03, -2.05, 0.21, 0.66),
    "hip_adduction": (2.05, 5.35, 0.42, -2.00, 0.40, -0.14, 7.54, -0.40, 0.84, -0.37, 0.69),
    "hip_rotation": _ZERO,
    "shoulder_flexion": (-14.0, -12.59, -4.65, -0.25, -0.23, 0.07, 9.17, 4.76, 0.01, -0.40, 0.23),
    "shoulder_abduction": (17.0, 1.49, 1.17, -0.25, 0, 0, 5.02, -0.57, 0.03, 0.28, 0.15),
    "shoulder_rotation": (38.0, -4.0, 0, 0, 0, 0, 2.0, 0, 0, 0, 0),
    "elbow": (87.85, -14.98, 5.75, -0.33, 0.22, -0.02, 13.14, -8.88, 1.35, 0.51, -0.09),
    "pelvis_list": (0, -3.08, 0, 1.67, 0, 0.07, -3.60, 0, -0.68, 0, -0.71),
    "pelvis_rotation": (0, -1.11, 0, -0.79, 0, 0.04, -1.02, 0, -0.17, 0, -0.16),
    "pelvis_tilt": (-1.19, 0, 1.06, 0, 0.07, 0, 0, 3.18, 0, -0.17, 0),
    "lumbar_extension": (-7.27, 0, -0.33, 0, 0.23, 0, 0, -5.67, 0, 0.34, 0),
    "lumbar_bending": (0, 2.1, 0, -1.1, 0, 0, 2.5, 0, 0.4, 0, 0),
    "lumbar_rotation": (0, -14.72, 0, 0.79, 0, 0, 6.06, 0, 0.23, 0, 0),
    "neck_flexion": _flat(5.0),
    "neck_rotation": (0, 13.0, 0, 0, 0, 0, -4.0, 0, 0, 0, 0),
}
CHANNELS: Final = (*SIDE, *CORE)
"""One angle of either side, or of the axis of the body: what one row of coefficients drives."""

WALK_STANCE: Final = 0.62
RUN_STANCE: Final = 0.351
"""Share of the stride on the floor in the recordings behind the coefficients."""

_KNEE_FLOOR = np.deg2rad(3.0)
_KNEE_SOFTNESS = np.deg2rad(1.5)


def table(running: bool) -> Floats:
    """Published coefficients in radians, `[17, 11]` in the order of `CHANNELS`."""
    rows = _RUN if running else _WALK
    return np.deg2rad(np.array([rows[name] for name in CHANNELS], dtype=np.float64))


def basis(phase: Floats) -> Floats:
    """[1, cos 2 pi k phi, sin 2 pi k phi], `[..., 11]`."""
    angle = 2 * np.pi * phase[..., None] * np.arange(1, HARMONICS + 1)
    return np.concatenate([np.ones((*phase.shape, 1)), np.cos(angle), np.sin(angle)], axis=-1)


def shift_phase(coefficients: Floats, delay: Floats) -> Floats:
    """The same curves later by `delay` strides (broadcast over all but the last axis)."""
    k = np.arange(1, HARMONICS + 1)
    cos, sin = np.cos(2 * np.pi * k * delay[..., None]), np.sin(2 * np.pi * k * delay[..., None])
    a, b = coefficients[..., 1 : 1 + HARMONICS], coefficients[..., 1 + HARMONICS :]
    return np.concatenate([coefficients[..., :1], a * cos - b * sin, a * sin + b * cos], axis=-1)


def window(phase: Floats, start: Floats, rise: Floats, end: Floats, fall: Floats) -> Floats:
    """Smooth periodic window: 0 to 1 over `rise` from `start`, 1 to 0 over `fall` from `end`."""
    around = unwrap(phase, (start + rise + end) / 2)
    return ease((around - start) / rise) * (1 - ease((around - end) / fall))


def unwrap(phase: Floats, middle: Floats) -> Floats:
    """The representative of each phase nearest to `middle`."""
    return np.asarray(np.mod(phase - middle + 0.5, 1.0) - 0.5 + middle)


def ease(share: Floats) -> Floats:
    """Minimum-jerk transition s(tau) = 10 tau^3 - 15 tau^4 + 6 tau^5 (Flash & Hogan 1985), clamped."""
    tau = np.clip(share, 0.0, 1.0)
    return np.asarray(tau**3 * (10.0 + tau * (-15.0 + 6.0 * tau)))


def side_phase(phase: Floats) -> Floats:
    """Stride phase of the left and right foot, `[B, T, 2]`, each 0 at its own strike."""
    return np.stack([phase + 0.5, phase], axis=-1)


def angles(phase: Floats, coefficients: Floats, stance: Floats, recorded: float) -> tuple[Floats, Floats]:
    """Angles at stride phases `[B, T]`: `core` `[B, T, 8]` and `sides` `[B, T, 2, 9]`.

    `coefficients` `[B, 2, 17, 11]`, the second axis left and right (the axis of the body reads the
    right one); `stance` `[B]` share of the stride on the floor, `recorded` that share where the
    coefficients come from: each side is read earlier or later so that push-off meets the end of
    stance. The foot is levelled while it stands flat, whatever style adds to the chain above it.
    """
    late = stance[:, None, None] - recorded
    own = side_phase(phase)
    terms = basis(own - late * np.sin(np.pi * own) ** 2)
    core = basis(phase) @ np.swapaxes(coefficients[:, 1, len(SIDE) :], -1, -2)
    chains = coefficients[:, :, : len(SIDE)]
    sides = np.moveaxis(np.moveaxis(terms, 2, 1) @ np.swapaxes(chains, -1, -2), 1, 2)
    knee = sides[..., KNEE]
    sides[..., KNEE] = _KNEE_FLOOR + _KNEE_SOFTNESS * np.logaddexp(0.0, (knee - _KNEE_FLOOR) / _KNEE_SOFTNESS)
    share = stance[:, None, None]
    level = window(own, 0.06 * share, 0.16 * share, 0.50 * share, 0.20 * share)
    pitch = core[..., TILT, None] + sides[..., HIP] - sides[..., KNEE] + sides[..., ANKLE]
    sides[..., ANKLE] -= level * pitch
    return core, sides
