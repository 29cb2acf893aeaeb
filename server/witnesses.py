"""The newest ledger head that the coordinator has seen of each site, countersigned and kept with the run."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError, Refusal, RefusalCode
from common.query import Acceptance
from common.signing import public_name
from common.storage import read_json, write_json
from common.witness import Head, Witness

WITNESSES = "witnesses.json"


class Witnesses:
    """What this coordinator vouches to have seen under one plan; `witnesses.json` in the run folder.

    A crash may lose the newest heads: the sites' chains hold the older ones as well.
    """

    def __init__(self, folder: Path, key: Ed25519PrivateKey, plan_digest: str) -> None:
        self._path = folder / WITNESSES
        self._key = key
        self._plan = plan_digest
        self._sites: dict[str, dict[str, str]] = {}
        if self._path.exists():
            self._load()

    def _load(self) -> None:
        damaged = InputError(f"{self._path} is damaged: restore the run folder")
        try:
            for site, fields in read_json(self._path)["sites"].items():
                witness = Witness(head=fields["head"], signature=fields["countersignature"])
                if not witness.signed_by(public_name(self._key), self._plan, site):
                    raise damaged
                self._sites[site] = dict(fields)
        except (AttributeError, KeyError, TypeError):
            raise damaged from None

    def enrol(self, acceptance: Acceptance) -> None:
        """Note a site's key and, the first time, its head; raises Refusal for what it did not sign.

        A key other than before means another ledger under the same name: ROLLED_BACK.
        """
        site, known = acceptance.site, self._sites.get(acceptance.site)
        if known is not None and known["key"] != acceptance.site_key:
            raise Refusal(RefusalCode.ROLLED_BACK, f"{site} has another ledger than before")
        if known is None:
            self._see(site, acceptance.site_key, acceptance.head)

    def see(self, site: str, head: Head | None) -> None:
        """Countersign the head that came with a release; raises Refusal for what the site did not sign."""
        self._see(site, self._sites[site]["key"], head)

    def _see(self, site: str, key: str, head: Head | None) -> None:
        if head is None or not head.signed_by(key, site):
            raise Refusal(RefusalCode.MALFORMED, f"{site} shows no head of its ledger in its signature")
        witness = Witness.countersign(self._key, self._plan, site, head)
        self._sites[site] = {
            "key": key,
            "head": head.hash,
            "signature": head.signature,
            "countersignature": witness.signature,
        }

    def of(self, site: str) -> Witness:
        """What goes with the next query to `site`."""
        fields = self._sites[site]
        return Witness(head=fields["head"], signature=fields["countersignature"])

    def save(self) -> None:
        """On disk when this returns."""
        write_json(self._path, {"plan": self._plan, "sites": dict(sorted(self._sites.items()))})
