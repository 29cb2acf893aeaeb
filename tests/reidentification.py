"""Who is it? An attacker that learns people from some of their motions and names them in others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.motion.people import Population
from common.motion.population import synthesise

Floats = NDArray[np.float64]
COMPONENTS = 60


def identify(known: Floats, persons: NDArray[np.int64], unknown: Floats) -> NDArray[np.int64]:
    """The person of each row of `unknown` `[m, D]`, learnt from `known` `[n, D]`.

    Linear discriminants with a covariance shrunk after Ledoit & Wolf (2004), on the first 60
    principal components of standardised features.
    """
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, unknown = (known - mean) / deviation, (unknown - mean) / deviation
    values, vectors = np.linalg.eigh(known @ known.T)
    first = np.argsort(values)[::-1][:COMPONENTS]
    basis = known.T @ (vectors[:, first] / np.sqrt(values[first]))
    known, unknown = known @ basis, unknown @ basis
    names = np.unique(persons)
    means = np.array([known[persons == name].mean(axis=0) for name in names])
    inverse = np.linalg.inv(_shrunk(known - means[np.searchsorted(names, persons)]))
    scores = unknown @ inverse @ means.T - 0.5 * np.einsum("id,de,ie->i", means, inverse, means)
    return np.asarray(names[scores.argmax(axis=1)])


def _shrunk(rows: Floats) -> Floats:
    count, size = rows.shape
    covariance = rows.T @ rows / count
    scale = np.trace(covariance) / size
    apart = ((covariance - scale * np.eye(size)) ** 2).sum()
    spread = (((rows**2).T @ (rows**2) / count - covariance**2).sum()) / count
    share = min(spread / apart, 1.0)
    return np.asarray((1 - share) * covariance + share * scale * np.eye(size))


def rank_one(population: Population, people: int, known: int, unknown: int, seed: int = 5) -> float:
    """Share of unseen 60-frame motions whose person is named; `known` motions of each action train."""
    actions = len(population.actions)
    made = synthesise(population, seed, range(people), actions * (known + unknown))
    rows = [(r.samples[:60], int(r.person[1:]), r.label) for r in made]
    poses = np.array([samples for samples, _, _ in rows], dtype=np.float64)
    poses[..., (0, 2)] -= poses[:, :, :1, (0, 2)]
    persons = np.array([person for _, person, _ in rows])
    seen: dict[tuple[int, str | None], int] = {}
    training = np.zeros(len(rows), dtype=bool)
    for row, (_, person, label) in enumerate(rows):
        seen[person, label] = seen.get((person, label), 0) + 1
        training[row] = seen[person, label] <= known
    features = poses.reshape(len(poses), -1)
    named = identify(features[training], persons[training], features[~training])
    return float((named == persons[~training]).mean())
