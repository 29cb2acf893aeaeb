"""A site's place in a federation: its identity, its coordinator, and the plans its steward agreed to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.card import Card, date_of
from common.errors import InputError, Refusal, RefusalCode
from common.key_folder import AGREED as AGREED
from common.signing import attest, attested, load_key, public_name
from common.storage import write_json, writing

if TYPE_CHECKING:
    from common.plan import Plan

KEY: Final = Path("keys") / "site.pem"
COORDINATOR: Final = "coordinator.json"
_AGREED: Final = "fedmotion agreed plan"


@dataclass(frozen=True, eq=False)
class Membership:
    """`site` with its identity `key`, joined to `coordinator`; `folder` holds both and `agreed/`.

    `population` is what the site declares: a plan must name the same (None: whoever opens it does not say).
    """

    site: str
    folder: Path
    key: Ed25519PrivateKey
    coordinator: Card
    population: int | None = None

    @classmethod
    def open(cls, site: str, folder: Path, population: int | None = None) -> Membership:
        """What is in `folder`; InputError naming what is missing and the command that makes it."""
        if not (folder / KEY).is_file():
            raise InputError(f"{folder / KEY} is missing: make the site's keys with fedmotion keys init")
        if not (folder / COORDINATOR).is_file():
            raise InputError(
                f"{folder / COORDINATOR} is missing: this site has not joined; see fedmotion join --help"
            )
        card = Card.read(folder / COORDINATOR, "coordinator")
        return cls(
            site=site, folder=folder, key=load_key(folder / KEY), coordinator=card, population=population
        )

    def require_valid(self) -> None:
        """Refusal(EXPIRED) once the coordinator's card has run out by this site's clock."""
        self.coordinator.require_current("the coordinator's", "ask for its new one (fedmotion join welcome)")

    def require_agreed(self, plan: Plan) -> None:
        """Refusal unless `plan` fits this site, and the steward agreed to it; asked at every message."""
        self.require_fit(plan)
        digest = plan.digest()
        if not self.agreed(digest):
            raise Refusal(
                RefusalCode.NOT_AGREED, f"plan {digest} waits for this site's agreement: fedmotion join agree"
            )

    def require_fit(self, plan: Plan) -> None:
        """Refusal unless `plan` is the coordinator's, names this site as it is now, and the code it runs."""
        member = plan.member(self.site)
        if plan.coordinator_key != self.coordinator.key:
            raise Refusal(RefusalCode.FOREIGN, "the plan is not of the coordinator that this site joined")
        if member is None or member.key != public_name(self.key):
            raise Refusal(RefusalCode.FOREIGN, "the plan's roster lacks this site or its key")
        if member.expired:
            raise Refusal(
                RefusalCode.EXPIRED,
                f"the plan believes this site until {date_of(member.valid_until)}: renew its keys, send a new"
                " request and agree to a new plan",
            )
        if plan.trust == "central":
            raise Refusal(
                RefusalCode.POLICY, "under central trust the server adds the noise: simulation alone"
            )
        if self.population not in (None, member.population):
            raise Refusal(
                RefusalCode.POLICY,
                f"the plan counts on {member.population} people here, and the site declares"
                f" {self.population}: renew its keys, send a new request and agree to a new plan",
            )
        if plan.code not in ("", installed()):
            raise Refusal(
                RefusalCode.POLICY,
                f"the plan asks for fedmotion {plan.code}, and this site runs {installed()}: install it",
            )

    def agree(self, plan_digest: str) -> dict[str, str]:
        """The steward's yes to one plan, for `agreed/DIGEST.json`, in the site's signature."""
        return {"plan": plan_digest, "signature": attest(self.key, _AGREED, self.site, plan_digest)}

    def keep_agreement(self, plan_digest: str) -> Path:
        """Write the steward's yes to one plan, on disk when this returns."""
        folder = self.folder / AGREED
        with writing(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{plan_digest}.json"
        write_json(path, self.agree(plan_digest))
        return path

    def withdraw_agreement(self, plan_digest: str) -> bool:
        """Take the yes back: every later message under the plan is refused; False where there was none."""
        path = self.folder / AGREED / f"{plan_digest}.json"
        there = path.is_file()
        with writing(path):
            path.unlink(missing_ok=True)
        return there

    def agreed(self, plan_digest: str) -> bool:
        """Whether the steward said yes to this plan with this site's key."""
        try:
            fields = json.loads((self.folder / AGREED / f"{plan_digest}.json").read_text(encoding="utf-8"))
            told = str(fields["signature"]) if fields["plan"] == plan_digest else ""
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return attested(public_name(self.key), told, _AGREED, self.site, plan_digest)


def first_agreement(folder: Path) -> Path | None:
    """One of the agreements kept in a federation's folder; None where the site never agreed to a plan."""
    return next(iter(sorted((folder / AGREED).glob("*.json"))), None)


def installed() -> str:
    """The version of the site's own code."""
    return version("fedmotion")
