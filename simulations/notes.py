"""What somebody should know about a run before it starts, from public facts alone: one line each."""

from __future__ import annotations

from collections.abc import Sequence

from client.site import SiteFile
from common.plan import Plan
from server.budget import small_group
from simulations.corpus import Corpus


def notes(plan: Plan, sites: Sequence[SiteFile], public: Corpus | None) -> list[str]:
    """The lines for a prepared run; none where nothing is unusual."""
    found = [
        small_group(plan, len(sites), sum(site.declared_population for site in sites)),
        _labels_without_motions(plan, public),
    ]
    return [line for line in found if line is not None]


def _labels_without_motions(plan: Plan, public: Corpus | None) -> str | None:
    if public is None or plan.codec["modality"]["kind"] != "skeleton":
        return None
    seen = set(public.labels.unique().tolist())
    missing = [label for index, label in enumerate(plan.labels) if index not in seen]
    if not missing:
        return None
    return (
        f"no public motion is labelled {', '.join(missing)}: what is generated for that starts from all"
        " public motions together and may look like plain walking; give labelled ones with --public"
    )
