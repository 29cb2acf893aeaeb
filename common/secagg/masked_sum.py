"""The coordinator's half: masked vectors are added as they come, and the masks taken off their sum.

Exact: what comes out is the sum of the survivors' whole numbers. What is noticed: a share that is not its
dealer's (against the mask key and the seed's commitment), and a site that masked wrongly (its sum is out
of range, see `common.secagg.sizes.SPARE`). What nobody can notice: a site that lies in its own vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from torch import Tensor

from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.plan import Plan
from common.secagg.agreement import commitment, own_key, pair_key, public_half
from common.secagg.masks import add_mask, centred, pair_sign, words_of, zeros
from common.secagg.messages import Cohort, Shared, Unmasked
from common.secagg.shamir import joined, well_formed
from common.secagg.sizes import largest_sum


class MaskedSum:
    """One attempt's sum, `[dimension]` words: `add` the survivors', `hear` their shares, then `total`.

    `shared` are the answers to `cohort` that came, whose shares the sites were sent with the query.
    """

    def __init__(self, plan: Plan, cohort: Cohort, shared: Sequence[Shared]) -> None:
        self._plan = plan
        self._cohort = cohort
        self._digest = cohort.digest()
        self._keys = {keys.site: keys for keys in cohort.keys}
        self._commitments = {answer.site: answer.commitment for answer in shared}
        if len(self._commitments) < len(shared) or not set(self._commitments) <= set(self._keys):
            raise InputError("a site that is not of the cohort shared, or one shared twice")
        self._indices = {member.site: place for place, member in enumerate(plan.roster, 1)}
        self._words = zeros(plan.dimension, plan.modulus_bits)
        self._added: set[str] = set()
        self._heard: dict[str, dict[str, bytes]] = {}
        self._believed: tuple[str, ...] = ()

    @property
    def survivors(self) -> tuple[str, ...]:
        """Whose vectors are in the sum, in the order of names."""
        return tuple(sorted(self._added))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Whose masks the survivors may carry though their vectors did not come."""
        return tuple(sorted(set(self._commitments) - self._added))

    def add(self, site: str, masked: Tensor) -> None:
        """Add one site's masked words; Refusal(MALFORMED) unless it is its first and only vector."""
        if site not in self._commitments or site in self._added or self._heard:
            raise Refusal(RefusalCode.MALFORMED, f"{site} has no vector to add")
        if masked.shape != (self._plan.dimension,):
            raise Refusal(RefusalCode.MALFORMED, f"{site}'s vector is not of the plan's dimension")
        self._words += words_of(masked, self._plan.modulus_bits)
        self._added.add(site)

    def hear(self, reply: Unmasked) -> None:
        """Keep a survivor's shares; Refusal(MALFORMED) unless one of each site, of the right secret."""
        kinds = {share.of: share.survivor for share in reply.shares}
        expected = {site: site in self._added for site in self._commitments}
        formed = all(well_formed(share.value) for share in reply.shares)
        if reply.site not in self._added or reply.site in self._heard or reply.cohort != self._digest:
            raise Refusal(RefusalCode.MALFORMED, f"{reply.site} has no shares to give")
        if kinds != expected or len(reply.shares) != len(expected) or not formed:
            raise Refusal(RefusalCode.MALFORMED, f"{reply.site} gives other shares than it was asked for")
        self._heard[reply.site] = {share.of: share.value for share in reply.shares}

    def total(self) -> Tensor:
        """The sum, `[dimension]` int64; FedmotionError, and nothing is released, where it does not come out.

        Of each site one secret is put together: the seed of a survivor, the mask key of another.
        """
        least = self._plan.min_sites
        if len(self._heard) < least:
            raise FedmotionError(f"{len(self._heard)} sites gave their shares, {least} are needed")
        words = self._words.copy()
        for site in self.survivors:
            seed = self._secret(site, self._is_seed)
            add_mask(words, own_key(seed, self._cohort, site), -1)
        for site in self.dropped:
            key = X25519PrivateKey.from_private_bytes(self._secret(site, self._is_mask_key))
            for other in self.survivors:
                pair = pair_key(key, self._keys[other].mask_key, self._cohort, site, other)
                add_mask(words, pair, -pair_sign(other, site))
        total = centred(words)
        if int(total.abs().max()) > largest_sum(self._plan) or int(total.min()) == -(2**63):
            raise FedmotionError("the sum is out of range: a site masked its vector wrongly")
        return total

    def _is_seed(self, site: str, found: bytes) -> bool:
        return commitment(found, self._cohort, site) == self._commitments[site]

    def _is_mask_key(self, site: str, found: bytes) -> bool:
        return public_half(X25519PrivateKey.from_private_bytes(found)) == self._keys[site].mask_key

    def _secret(self, of: str, right: Callable[[str, bytes], bool]) -> bytes:
        """The secret of `of` that is `right`, from any of `_tries`."""
        for names in self._tries():
            try:
                found = joined({self._indices[name]: self._heard[name][of] for name in names})
            except InputError:
                continue
            if right(of, found):
                self._believed = names
                return found
        raise FedmotionError(f"the shares of {of}'s secret do not fit it: {of} or a site that gave one lied")

    def _tries(self) -> Iterator[tuple[str, ...]]:
        """Threshold-sized sets of sites: the one that served last, then neighbours in a ring.

        Where more answered than are needed, some set leaves out any one that lies.
        """
        if self._believed:
            yield self._believed
        names, size = sorted(self._heard), self._plan.min_sites
        for start in range(len(names)):
            yield tuple(names[(start + step) % len(names)] for step in range(size))
