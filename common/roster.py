"""The sites of a run: names and keys that people have compared, fixed in the plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from common.query import NAME, is_name, require
from common.witness import is_hex

MOST_MEMBERS = 1000
COORDINATOR = "coordinator"
"""The server's name as sender and recipient of messages; no site may have it."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One site: its identity's Ed25519 public key in hexadecimal and its declared population.

    What it signs is believed until `valid_until` (seconds since 1970, UTC; 0: for good).
    """

    site: str
    key: str
    population: int
    valid_until: int = 0

    def __post_init__(self) -> None:
        require("site", self.site[:80], is_name(self.site), NAME)
        require("site", self.site, self.site != COORDINATOR, "another name than the server's")
        require("key", self.key[:80], is_hex(self.key, 32), "64 digits of hexadecimal")
        require("population", self.population, 1 <= self.population <= 10**9, "from 1 to 1e9")
        require("valid_until", self.valid_until, 0 <= self.valid_until < 2**53, "a time in seconds, or 0")

    @property
    def expired(self) -> bool:
        """Whether its time is over by this machine's clock."""
        return 0 < self.valid_until <= time.time()


def require_roster(roster: Sequence[Member], min_sites: int) -> None:
    """InputError unless names and keys are unique, in the order of names, and `min_sites` can be reached."""
    names, keys = [member.site for member in roster], {member.key for member in roster}
    require("roster", len(roster), len(roster) <= MOST_MEMBERS, f"at most {MOST_MEMBERS} sites")
    sorted_once = names == sorted(set(names)) and len(keys) == len(roster)
    require("roster", ", ".join(names)[:80], sorted_once, "in the order of names, no name or key twice")
    most = len(roster) or MOST_MEMBERS
    require("min_sites", min_sites, 1 <= min_sites <= most, f"from 1 to {most}, the sites of the roster")
