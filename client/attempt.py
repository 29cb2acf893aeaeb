"""One attempt at a securely aggregated round, as one site goes through it: keys, shares, masks, one list.

Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning" (2017), with its
round of consistency. Formal guarantee: where 2m > n + c, of no honest site do a server and c sites come
to know both secrets, and what they can take the masks off is the sum of all survivors of one list, which
m sites signed, having answered one model: it holds the noise of m - c honest sites at least. Each step
happens once; what is secret is in this object's memory alone, and is gone with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from torch import Tensor

from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.roster import Member
from common.secagg.agreement import commitment, opened, own_key, pair_key, public_half, sealed
from common.secagg.masks import add_mask, pair_sign, signed, words_of
from common.secagg.messages import (
    Advertise,
    Cohort,
    Confirm,
    Confirmed,
    Keys,
    Share,
    Shared,
    Shares,
    Unmask,
    Unmasked,
)
from common.secagg.shamir import SHARE, split, well_formed


@dataclass(frozen=True, kw_only=True, eq=False)
class Secrets:
    """What a site makes for one attempt and never writes down."""

    cipher: X25519PrivateKey
    mask: X25519PrivateKey
    seed: bytes

    @classmethod
    def fresh(cls) -> Secrets:
        return cls(cipher=X25519PrivateKey.generate(), mask=X25519PrivateKey.generate(), seed=os.urandom(32))


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Another site's shares for this one: of its mask's seed, of its mask key. At most one ever leaves."""

    seed: bytes
    key: bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Masks:
    """The masks of one attempt with the sites whose shares this one holds: for one vector, of `state`."""

    own: bytes
    pairs: tuple[tuple[bytes, int], ...]
    bits: int
    dealt: Mapping[str, Dealt]
    state: str

    def onto(self, total: Tensor) -> Tensor:
        """`total` `[dimension]` int64 under all masks modulo 2^bits: int32 or int64, uniform words."""
        words = words_of(total, self.bits)
        add_mask(words, self.own, 1)
        for key, sign in self.pairs:
            add_mask(words, key, sign)
        return signed(words)


class Attempt:
    """`site`'s part in the attempt `asked` under `plan`, in the order share, masks, use, confirm, unmask."""

    def __init__(self, plan: Plan, site: str, identity: Ed25519PrivateKey, asked: Advertise) -> None:
        self.asked = asked
        self._plan = plan
        self._site = site
        self._identity = identity
        secrets = Secrets.fresh()
        self._secrets: Secrets | None = secrets
        self.keys = Keys(
            **asdict(asked),
            site=site,
            cipher_key=public_half(secrets.cipher),
            mask_key=public_half(secrets.mask),
        ).signed(identity)
        self._cohort: Cohort | None = None
        self._shared: Shared | None = None
        self._kept: Dealt | None = None
        self._dealt: Mapping[str, Dealt] | None = None
        self._state = ""
        self._confirmed: tuple[Confirm, Confirmed] | None = None
        self._unmasked: tuple[tuple[str, ...], Unmasked] | None = None

    def share(self, cohort: Cohort) -> Shared:
        """Shares of both secrets for the others of `cohort`, which is the only one of this attempt."""
        if self._shared is not None:
            if cohort != self._cohort:
                raise _stale("this attempt has another cohort")
            return self._shared
        self._require_cohort(cohort)
        secrets = self._living()
        names = [keys.site for keys in cohort.keys]
        indices, least = [self._index(name) for name in names], self._plan.min_sites
        seeds, keys = (
            dict(zip(names, split(secret, least, indices), strict=True))
            for secret in (secrets.seed, secrets.mask.private_bytes_raw())
        )
        boxes = [
            self._sealed(seeds[other.site] + keys[other.site], other, secrets)
            for other in cohort.keys
            if other.site != self._site
        ]
        self._cohort = cohort
        self._kept = Dealt(seed=seeds[self._site], key=keys[self._site])
        self._shared = Shared(
            site=self._site,
            cohort=cohort.digest(),
            shares=tuple(boxes),
            commitment=commitment(secrets.seed, cohort, self._site),
        )
        return self._shared

    def masks(self, cohort_digest: str, shares: Sequence[Shares], state_digest: str) -> Masks:
        """The masks for this attempt's one vector, between the senders of `shares` and this site.

        Refusal unless all shares open, and with this site's own are of m sites or more.
        """
        if self._dealt is not None:
            raise _stale("this attempt's masks are on a vector already")
        cohort, kept, secrets = self._cohort, self._kept, self._living()
        if cohort is None or kept is None or cohort.digest() != cohort_digest:
            raise _stale("this site shared nothing with that cohort")
        public = {keys.site: keys for keys in cohort.keys}
        dealt = {self._site: kept}
        for box in shares:
            if box.sender in dealt or box.sender not in public or box.recipient != self._site:
                raise Refusal(
                    RefusalCode.MALFORMED, f"{box.sender[:64]!r} has no share for this site, or two"
                )
            dealt[box.sender] = self._open(box, public[box.sender], secrets)
        self._require_enough(len(dealt), "sites shared")
        pairs = [
            (
                pair_key(secrets.mask, public[other].mask_key, cohort, self._site, other),
                pair_sign(self._site, other),
            )
            for other in dealt
            if other != self._site
        ]
        return Masks(
            own=own_key(secrets.seed, cohort, self._site),
            pairs=tuple(pairs),
            bits=self._plan.modulus_bits,
            dealt=dealt,
            state=state_digest,
        )

    def use(self, masks: Masks) -> None:
        """From here on `masks` are on this attempt's vector: no other is ever masked."""
        if self._dealt is not None:
            raise _stale("this attempt's masks are on a vector already")
        self._dealt, self._state = masks.dealt, masks.state

    def confirm(self, asked: Confirm) -> Confirmed:
        """This site's signature of a list of survivors: of one list, with itself and m sites or more."""
        if self._confirmed is not None:
            told, confirmed = self._confirmed
            if told != asked:
                raise _stale("this site signed another list")
            return confirmed
        if self._cohort is None or self._dealt is None or asked.cohort != self._cohort.digest():
            raise _stale("this site sent no vector to that cohort")
        names = set(asked.survivors)
        ordered = asked.survivors == tuple(sorted(names))
        if not ordered or self._site not in names or not names <= set(self._dealt):
            raise Refusal(RefusalCode.MALFORMED, "not a list of sites whose masks meet, this one among them")
        self._require_enough(len(names), "sites survived")
        confirmed = Confirmed.sign(self._identity, self._site, asked, self._state)
        self._confirmed = (asked, confirmed)
        return confirmed

    def unmask(self, asked: Unmask) -> Unmasked:
        """One share of each site's: its seed's if it is on the list that m sites signed, else its mask key's.

        All secrets are forgotten then; the same question again gets the same answer.
        """
        if self._unmasked is not None:
            survivors, unmasked = self._unmasked
            if (survivors, unmasked.cohort) != (asked.survivors, asked.cohort):
                raise _stale("this attempt is over")
            return unmasked
        if self._confirmed is None or self._dealt is None or not asked.repeats(self._confirmed[0]):
            raise _stale("this site did not sign that list")
        self._require_signed(asked)
        shares = [
            Share(of=site, survivor=alive, value=dealt.seed if alive else dealt.key)
            for site, dealt in sorted(self._dealt.items())
            for alive in (site in asked.survivors,)
        ]
        unmasked = Unmasked(site=self._site, cohort=asked.cohort, shares=tuple(shares))
        self._unmasked = (asked.survivors, unmasked)
        self._secrets = self._kept = self._shared = None
        self._dealt = {}
        return unmasked

    def _require_cohort(self, cohort: Cohort) -> None:
        if not cohort.repeats(self.asked):
            raise _stale("the cohort is of another attempt")
        if self.keys not in cohort.keys:
            raise Refusal(RefusalCode.MALFORMED, "the cohort lacks this site's keys, or has others of it")
        for keys in cohort.keys:
            member = self._plan.member(keys.site)
            if member is None:
                raise Refusal(RefusalCode.OUTSIDE_PLAN, f"{keys.site} is not in the plan's roster")
            require_unexpired(member)
            if not keys.repeats(self.asked) or not keys.signed_by(member.key):
                raise Refusal(RefusalCode.MALFORMED, f"{keys.site} did not sign these keys for this attempt")
        self._require_enough(len(cohort.keys), "sites are in the cohort")

    def _require_signed(self, asked: Unmask) -> None:
        """That m sites of the list signed it, each once, with the keys of the plan's roster."""
        signers = set()
        for confirmed in asked.confirmed:
            member = self._plan.member(confirmed.site)
            if member is None or confirmed.site not in asked.survivors or confirmed.site in signers:
                raise Refusal(
                    RefusalCode.MALFORMED, f"{confirmed.site[:64]!r} has no signature to give, or two"
                )
            require_unexpired(member)
            if not confirmed.signed_by(member.key, asked, self._state):
                raise Refusal(
                    RefusalCode.MALFORMED, f"{confirmed.site} did not sign this list, or saw another model"
                )
            signers.add(confirmed.site)
        self._require_enough(len(signers), "sites signed")

    def _sealed(self, plain: bytes, other: Keys, secrets: Secrets) -> Shares:
        box = sealed(plain, secrets.cipher, other.cipher_key, self.asked, self._site, other.site)
        return Shares(sender=self._site, recipient=other.site, sealed=box)

    def _open(self, box: Shares, sender: Keys, secrets: Secrets) -> Dealt:
        plain = opened(box.sealed, secrets.cipher, sender.cipher_key, self.asked, box.sender, self._site)
        dealt = Dealt(seed=plain[:SHARE], key=plain[SHARE:])
        if not (well_formed(dealt.seed) and well_formed(dealt.key)):
            raise Refusal(RefusalCode.MALFORMED, f"what {box.sender} sealed are no shares")
        return dealt

    def _require_enough(self, count: int, what: str) -> None:
        if count < self._plan.min_sites:
            raise Refusal(RefusalCode.OUTSIDE_PLAN, f"{count} {what}, the plan needs {self._plan.min_sites}")

    def _index(self, site: str) -> int:
        """Where the shares of every secret are evaluated for `site`: its place in the roster, from 1."""
        return 1 + [member.site for member in self._plan.roster].index(site)

    def _living(self) -> Secrets:
        if self._secrets is None:
            raise _stale("this attempt is over")
        return self._secrets


def require_unexpired(member: Member) -> None:
    """Refusal(EXPIRED) once a site's word is not believed any more, by this site's clock."""
    if member.expired:
        raise Refusal(RefusalCode.EXPIRED, f"the key of {member.site} in the plan's roster has expired")


def _stale(reason: str) -> Refusal:
    return Refusal(RefusalCode.STALE, reason)
