"""How many parameters a run trains in private, and what the budget says of so many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.methods import option_of
from server.budget import noise_in, percent, verdict
from server.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """`private` of `all` are trained; `noise` is what is left of it after all rounds, over the signal."""

    private: int
    all: int
    train: str
    noise: float
    verdict: str
    trained: bool = True

    def line(self) -> str:
        """One line to print before the training."""
        if not self.trained:
            told = f"{self.private:,} numbers are released for a generator of {self.all:,} parameters"
            return told + (
                f": noise {percent(self.noise)} of the signal" if self.noise else ", without noise"
            )
        part = f"{self.private:,} of {self.all:,} parameters are trained"
        if self.noise == 0:
            return f"{part}, without noise (train = {self.train})"
        noise = f"noise {percent(self.noise)} of the signal, {self.verdict}"
        return f"{part} in private (train = {self.train}): {noise}"


def parameters_of(folder: Path, units: int, sites: int) -> Parameters:
    """From the checkpoint in `folder`: public facts alone."""
    checkpoint = Checkpoint.load(folder)
    plan, method = checkpoint.plan, checkpoint.method()
    share = noise_in(plan, sites, units)
    return Parameters(
        private=method.dimension,
        all=sum(value.numel() for value in method.generator(checkpoint.state).parameters.values()),
        train=str(option_of(plan.method, plan.options, "train") or "all"),
        noise=share,
        verdict=verdict(share),
        trained=option_of(plan.method, plan.options, "train") is not None,
    )
