"""The simulated sites of a federation: keys, the coordinator's card, and a steward who agrees to the plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.membership import AGREED, COORDINATOR, KEY, Membership
from common.card import Card
from common.plan import Plan
from common.roster import Member
from common.signing import create_key, load_key, public_name
from common.storage import write_json, writing

_FOR_GOOD: Final = 253_402_300_799
"""The last second of the year 9999: a simulation's cards do not run out."""


def federation_of(site: str) -> Path:
    """A simulated site's folder, beside its file."""
    return Path(f"{site}.federation")


def join_all(
    folder: Path, populations: Mapping[str, int], coordinator: Ed25519PrivateKey, seed: str | None
) -> tuple[Member, ...]:
    """Give each site of `populations` its keys and the coordinator's card, under `folder`; the roster."""
    card = Card(
        role="coordinator", name="simulation", key=public_name(coordinator), valid_until=_FOR_GOOD
    ).sign(coordinator)
    roster = []
    for site in sorted(populations):
        own = folder / federation_of(site)
        with writing(own):
            (own / AGREED).mkdir(parents=True, exist_ok=True)
        path = own / KEY
        key = load_key(path) if path.exists() else create_key(path, seed and f"{seed} {site}")
        card.write(own / COORDINATOR)
        roster.append(Member(site=site, key=public_name(key), population=populations[site]))
    return tuple(roster)


def agree_all(folder: Path, plan: Plan) -> None:
    """Every site's steward says yes to `plan`."""
    digest = plan.digest()
    for member in plan.roster:
        membership = Membership.open(member.site, folder / federation_of(member.site))
        write_json(membership.folder / AGREED / f"{digest}.json", membership.agree(digest))
