"""A site's place in a federation: its identity, its coordinator, and the plans its steward agreed to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.card import Card
from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.signing import attest, attested, load_key, public_name

KEY: Final = Path("keys") / "site.pem"
COORDINATOR: Final = "coordinator.json"
AGREED: Final = "agreed"
_AGREED: Final = "fedmotion agreed plan"


@dataclass(frozen=True, eq=False)
class Membership:
    """`site` with its identity `key`, joined to `coordinator`; `folder` holds both and `agreed/`."""

    site: str
    folder: Path
    key: Ed25519PrivateKey
    coordinator: Card

    @classmethod
    def open(cls, site: str, folder: Path) -> Membership:
        """What is in `folder`; InputError naming what is missing and the command that makes it."""
        if not (folder / KEY).is_file():
            raise InputError(f"{folder / KEY} is missing: make the site's keys with fedmotion keys init")
        if not (folder / COORDINATOR).is_file():
            raise InputError(
                f"{folder / COORDINATOR} is missing: this site has not joined; see fedmotion join --help"
            )
        card = Card.read(folder / COORDINATOR, "coordinator")
        return cls(site=site, folder=folder, key=load_key(folder / KEY), coordinator=card)

    def require_valid(self) -> None:
        """Refusal(EXPIRED) once the coordinator's card has run out by this site's clock."""
        if self.coordinator.expired:
            raise Refusal(RefusalCode.EXPIRED, "the coordinator's card has expired: ask for its new one")

    def require_agreed(self, plan: Plan) -> None:
        """Refusal unless `plan` is the coordinator's, names this site, and the steward agreed to it."""
        digest, member = plan.digest(), plan.member(self.site)
        if plan.coordinator_key != self.coordinator.key:
            raise Refusal(RefusalCode.FOREIGN, "the plan is not of the coordinator that this site joined")
        if member is None or member.key != public_name(self.key):
            raise Refusal(RefusalCode.FOREIGN, "the plan's roster lacks this site or its key")
        if member.expired:
            raise Refusal(RefusalCode.EXPIRED, "this site's own key has expired: rotate it and join again")
        if not self.agreed(digest):
            raise Refusal(
                RefusalCode.NOT_AGREED, f"plan {digest} waits for this site's agreement: fedmotion join agree"
            )

    def agree(self, plan_digest: str) -> dict[str, str]:
        """The steward's yes to one plan, for `agreed/DIGEST.json`, in the site's signature."""
        return {"plan": plan_digest, "signature": attest(self.key, _AGREED, self.site, plan_digest)}

    def agreed(self, plan_digest: str) -> bool:
        """Whether the steward said yes to this plan with this site's key."""
        try:
            fields = json.loads((self.folder / AGREED / f"{plan_digest}.json").read_text(encoding="utf-8"))
            told = str(fields["signature"]) if fields["plan"] == plan_digest else ""
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return attested(public_name(self.key), told, _AGREED, self.site, plan_digest)
