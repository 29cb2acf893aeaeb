"""Distances between sets of motions, from plain statistics: no trained network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from common.motion.features import to_features

Matrix = NDArray[np.float64]

_BANDS = 12  # Fourier bins kept of a window: up to 4 Hz at 3 s


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Frechet distance between Gaussians fitted to the rows of `a` `[n, d]` and `b` `[m, d]`.

    |mu_a - mu_b|^2 + Tr(A + B - 2 (A^1/2 B A^1/2)^1/2) (Dowson and Landau, 1982). The last
    trace is the sum of singular values of A^1/2 B^1/2, which needs no square root of a
    product and no shrinkage. Biased in n: compare equal n.
    """
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (a, b))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"expected two matrices of equal width and two rows, got {x.shape} and {y.shape}")
    mean = x.mean(axis=0) - y.mean(axis=0)
    A, B = _covariance(x), _covariance(y)
    cross = np.linalg.svd(_root(A) @ _root(B), compute_uv=False).sum()
    return max(0.0, float(mean @ mean + np.trace(A) + np.trace(B) - 2 * cross))


def motion_statistics(joints: Tensor) -> Tensor:
    """Joints `[n, T, 22, 3]` metres to posture, velocity and spectral statistics `[n, statistics]`.

    Means and standard deviations over time of the 67-d vector without its travel, of its
    frame differences, of root speed and turning, and the amplitude spectrum (1/3 to 4 Hz at
    3 s) of local positions with root height.
    """
    features = to_features(joints)
    pose = features[..., 3:]
    speed = (pose[:, 1:] - pose[:, :-1]).abs()
    travel = torch.cat([features[..., :3], features[..., :3].abs()], dim=-1)
    amplitude = torch.fft.rfft(pose - pose.mean(dim=1, keepdim=True), dim=1).abs()
    spectrum = amplitude[:, 1 : _BANDS + 1] / pose.shape[1]
    parts = [
        pose.mean(dim=1), pose.std(dim=1), speed.mean(dim=1), speed.std(dim=1),
        travel.mean(dim=1), travel.std(dim=1), spectrum.flatten(1),
    ]  # fmt: skip
    return torch.cat(parts, dim=1)


def sensor_statistics(windows: Tensor) -> Tensor:
    """Windows `[n, T, channels]` in comparable units to posture, velocity and spectral statistics."""
    change = (windows[:, 1:] - windows[:, :-1]).abs()
    amplitude = torch.fft.rfft(windows - windows.mean(dim=1, keepdim=True), dim=1).abs()
    spectrum = amplitude[:, 1 : _BANDS + 1] / windows.shape[1]
    parts = [windows.mean(dim=1), windows.std(dim=1), change.mean(dim=1), change.std(dim=1)]
    return torch.cat([*parts, spectrum.flatten(1)], dim=1)


def _covariance(rows: Matrix) -> Matrix:
    return np.atleast_2d(np.cov(rows, rowvar=False))


def _root(covariance: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(covariance)
    root: Matrix = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root
