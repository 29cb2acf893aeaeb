"""What of a run's generator was trained on the sites' people, and where the rest comes from."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from common.player.markup import card, facts
from server.budget import percent

_PARTS = {
    "all": "all of them",
    "attention": "the projections of attention",
    "lora": "a low-rank change of the weights (LoRA), one factor of which is public and fixed",
    "bias_norm": "biases and norms",
    "condition": "what reads label, text and noise level",
}


def training_section(run: Mapping[str, Any]) -> str:
    """A card from the `parameters` and `public` of run.json; nothing for a run that has neither."""
    parameters, public = run.get("parameters"), run.get("public")
    rows = []
    if parameters:
        train = str(parameters["train"])
        trained = f"{parameters['private']:,} of {parameters['all']:,}: {_PARTS.get(train, train)}"
        rows.append(("Trained on the sites' people", escape(trained)))
        if parameters["noise"] > 0:
            share = f"{percent(parameters['noise'])} of the signal: {parameters['verdict']}"
            rows.append(("Noise that is left", escape(share)))
    if public:
        rows += [
            ("Started from", f"public motions: {escape(str(public['origin']))}"),
            ("Pre-training", f"{public['steps']:,} steps on {public['windows']:,} windows"),
            ("SHA-256 of the motions", f"<code>{escape(str(public['sha256']))}</code>"),
        ]
    return card("What was trained", facts(rows)) if rows else ""
