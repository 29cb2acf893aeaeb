"""A server with a colluding site against secure aggregation: what it can and cannot open (T14, T15).

The cryptography alone, without gates. Each check is put to builds without its defence by
`tests/attacks/test_sabotaged_builds.py`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from torch import Tensor

from client.attempt import Attempt
from common.errors import Refusal
from common.plan import Plan
from common.secagg.agreement import own_key, pair_key, public_half
from common.secagg.masks import Words, add_mask, centred, pair_sign, words_of, zeros
from common.secagg.messages import Cohort, Confirm, Confirmed, Shared, Unmask, Unmasked
from common.secagg.shamir import joined
from tests.secagg_bare import STATE, bare_plan, begin, boxes, listed, masked, summed, vectors_of
from tests.secagg_round import identity_of, names_of


class Attack:
    """Seven sites, five needed, the last of them the server's: everyone's masked vector has come."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = bare_plan(7, min_sites=5, dimension=64) if plan is None else plan
        self.vectors = vectors_of(self.plan)
        self.names = list(self.vectors)
        self.colluder = self.names[-1]
        self.honest = self.names[:-1]
        self.sites, self.cohort = begin(self.plan)
        self.shared: dict[str, Shared] = {n: s.share(self.cohort) for n, s in self.sites.items()}
        self.known = self.sites[self.colluder].masks(
            self.cohort.digest(), boxes(self.shared, self.colluder), STATE
        )
        self.sent: dict[str, Tensor] = {
            name: masked(self.sites[name], self.cohort, boxes(self.shared, name), self.vectors[name])
            for name in self.honest
        }
        self.replies: dict[str, list[Unmasked]] = {name: [] for name in self.honest}

    def confirmed(self, name: str, asked: Confirm) -> Confirmed:
        """An honest site's signature, asked for; the colluder's, made."""
        if name == self.colluder:
            return Confirmed.sign(identity_of(name), name, asked, STATE)
        return self.sites[name].confirm(asked)

    def ask(self, name: str, asked: Confirm, confirmed: Sequence[Confirmed]) -> bool:
        """Ask a site for its shares; whether it gave them."""
        try:
            reply = self.sites[name].unmask(Unmask(**vars(asked), confirmed=tuple(confirmed)))
        except Refusal:
            return False
        self.replies[name].append(reply)
        return True

    def secret(self, of: str, survivor: bool) -> bytes | None:
        """`of`'s seed or mask key, from the colluder's share and all that were given; None: too few."""
        places = {name: place for place, name in enumerate(self.names, 1)}
        dealt = self.known.dealt[of]
        shares = {places[self.colluder]: dealt.seed if survivor else dealt.key}
        for name, reply in ((n, r) for n, rs in self.replies.items() for r in rs):
            for share in reply.shares:
                if (share.of, share.survivor) == (of, survivor):
                    shares[places[name]] = share.value
        least = self.plan.min_sites
        return joined(dict(itertools.islice(shares.items(), least))) if len(shares) >= least else None

    def opened(self, names: Sequence[str]) -> Tensor | None:
        """The sum of the vectors of `names`, as far as the server can take masks off; None if not at all."""
        words = zeros(self.plan.dimension, self.plan.modulus_bits)
        for name in names:
            words += words_of(self.sent[name], self.plan.modulus_bits)
            seed = self.secret(name, True)
            if seed is None:
                return None
            add_mask(words, own_key(seed, self.cohort, name), -1)
        for name, other in itertools.product(names, set(self.names) - set(names)):
            if not self._take(words, name, other):
                return None
        return centred(words)

    def _take(self, words: Words, name: str, other: str) -> bool:
        """Take the mask between `name` and `other` off, with the secret key of `other`."""
        if other == self.colluder:
            key = self.sites[other]._living().mask
        elif (found := self.secret(other, False)) is not None:
            key = X25519PrivateKey.from_private_bytes(found)
        else:
            return False
        public = next(keys.mask_key for keys in self.cohort.keys if keys.site == name)
        add_mask(words, pair_key(key, public, self.cohort, other, name), -pair_sign(name, other))
        return True


def split_views(attack: Attack) -> Mapping[str, Confirm]:
    """A list of five for each honest site, itself among them: every victim is missing from four of six.

    With the colluder's share that is enough for the victims' mask keys; the three others are on all lists.
    """
    core, victims = attack.honest[:3], attack.honest[3:]
    left_out = {name: set(pair) for name, pair in zip(core, itertools.combinations(victims, 2), strict=True)}
    left_out |= {victim: set(victims) - {victim} for victim in victims}
    return {
        name: listed(attack.cohort, [n for n in attack.names if n not in out])
        for name, out in left_out.items()
    }


def check_split_view(_: Path) -> None:
    """Sites that are shown different survivors give nothing: no sum of fewer than m - c honest sites opens.

    Each site's list is long enough and each secret of one kind only, and yet, without the round in
    which m sites sign one list, three vectors would be left alone with the noise of three.
    """
    attack = Attack()
    for name, asked in split_views(attack).items():
        signatures = [attack.confirmed(name, asked), attack.confirmed(attack.colluder, asked)]
        attack.ask(name, asked, signatures)
    core = attack.honest[:3]
    assert len(core) < attack.plan.min_sites - attack.plan.colluders
    found = attack.opened(core)
    assert found is None, f"the sum of {len(core)} sites: {torch.equal(found, summed(attack.vectors, core))}"


def test_a_split_view_of_the_survivors_opens_nothing(tmp_path: Path) -> None:
    check_split_view(tmp_path)


def test_control_the_same_server_opens_the_sum_of_all_when_it_shows_one_list() -> None:
    """What the attack's arithmetic can do: with one list signed by all, the honest sites' sum comes out."""
    attack = Attack()
    asked = listed(attack.cohort, attack.names)
    signatures = [attack.confirmed(name, asked) for name in attack.names]
    assert all(attack.ask(name, asked, signatures) for name in attack.honest)
    found = attack.opened(attack.honest)
    assert found is not None and torch.equal(found, summed(attack.vectors, attack.honest))
    for alone in attack.honest:
        assert attack.opened([alone]) is None


def both_kinds(attack: Attack, name: str) -> set[str]:
    """The sites of which `name` gave both shares."""
    kinds: dict[str, set[bool]] = {}
    for reply in attack.replies[name]:
        for share in reply.shares:
            kinds.setdefault(share.of, set()).add(share.survivor)
    return {of for of, given in kinds.items() if len(given) == 2}


def check_one_share(_: Path) -> None:
    """Though all others sign whatever the server likes, a site gives one share of each of them."""
    attack = Attack()
    target, victim = attack.honest[:2]
    others = [name for name in attack.names if name not in (target, victim)]
    whole_list = listed(attack.cohort, attack.names)
    without = listed(attack.cohort, [target, *others])
    for asked in (whole_list, without, whole_list):
        signers = [name for name in (victim, *others) if name in asked.survivors]
        signatures = [Confirmed.sign(identity_of(name), name, asked, STATE) for name in signers]
        with contextlib.suppress(Refusal):
            signatures.append(attack.confirmed(target, asked))
        attack.ask(target, asked, signatures)
    assert attack.replies[target]
    assert not both_kinds(attack, target)


def test_no_site_gives_both_shares_of_another(tmp_path: Path) -> None:
    check_one_share(tmp_path)


def check_own_mask(_: Path) -> None:
    """A vector declared lost that comes late, or was kept, stays hidden when all pairwise masks are known."""
    attack = Attack()
    late, rest = attack.honest[0], attack.names[1:]
    asked = listed(attack.cohort, rest)
    signatures = [attack.confirmed(name, asked) for name in rest]
    for name in attack.honest[1:]:
        attack.ask(name, asked, signatures)
    found = attack.secret(late, False)
    assert found is not None and attack.secret(late, True) is None
    words = words_of(attack.sent[late], attack.plan.modulus_bits)
    key = X25519PrivateKey.from_private_bytes(found)
    for keys in attack.cohort.keys:
        if keys.site != late:
            pair = pair_key(key, keys.mask_key, attack.cohort, late, keys.site)
            add_mask(words, pair, -pair_sign(late, keys.site))
    assert not torch.equal(centred(words), attack.vectors[late])


def test_a_vector_that_comes_late_stays_under_its_own_mask(tmp_path: Path) -> None:
    check_own_mask(tmp_path)


def with_keys_swapped(cohort: Cohort, victim: str, key: str) -> Cohort:
    return replace(
        cohort, keys=tuple(replace(k, cipher_key=key) if k.site == victim else k for k in cohort.keys)
    )


def check_signed_keys(_: Path) -> None:
    """A server that puts a key of its own in a site's place would read the shares that are sealed for it."""
    sites, cohort = begin(bare_plan(5))
    forged = with_keys_swapped(cohort, "site001", public_half(X25519PrivateKey.generate()))
    assert refuses(sites["site000"], forged), "shares were sealed for the server"


def refuses(site: Attempt, cohort: Cohort) -> bool:
    try:
        site.share(cohort)
    except Refusal:
        return True
    return False


def test_keys_that_a_site_did_not_sign_are_refused(tmp_path: Path) -> None:
    check_signed_keys(tmp_path)


def check_small_cohorts(_: Path) -> None:
    """Fewer sites than the plan needs: no shares, no masks and no signature, each by itself."""
    plan = bare_plan(5)
    sites, cohort = begin(plan)
    site, few = sites["site000"], replace(cohort, keys=cohort.keys[: plan.min_sites - 1])
    assert refuses(site, few), "a cohort that is too small was shared with"
    attack = Attack()
    short = listed(attack.cohort, attack.names[: attack.plan.min_sites - 1])
    try:
        attack.sites[attack.names[0]].confirm(short)
    except Refusal:
        return
    raise AssertionError("a list that is too short was signed")


def test_a_cohort_of_fewer_than_the_plan_needs_is_refused(tmp_path: Path) -> None:
    check_small_cohorts(tmp_path)


def check_one_model(_: Path) -> None:
    """Sites that answered different models in one attempt take no mask off: no sum of some of them opens."""
    plan = bare_plan(5)
    vectors = vectors_of(plan)
    sites, cohort = begin(plan)
    shared = {name: site.share(cohort) for name, site in sites.items()}
    for name, site in sites.items():
        state = "a5" * 32 if name == "site000" else STATE
        masked(site, cohort, boxes(shared, name), vectors[name], state)
    asked = listed(cohort, sites)
    unmask = Unmask(**vars(asked), confirmed=tuple(site.confirm(asked) for site in sites.values()))
    for name, site in sites.items():
        with contextlib.suppress(Refusal):
            site.unmask(unmask)
            raise AssertionError(f"{name} gave its shares for vectors of two models")


def test_vectors_of_different_models_are_never_unmasked(tmp_path: Path) -> None:
    check_one_model(tmp_path)


def test_the_server_cannot_serve_two_attempts_with_one_set_of_keys() -> None:
    """Keys, shares and masks of one attempt are of no use in another of the same round."""
    plan = bare_plan(5)
    vectors = vectors_of(plan)
    sites, cohort = begin(plan)
    shared = {name: site.share(cohort) for name, site in sites.items()}
    again, second = begin(plan)
    assert not refuses(again["site000"], second)
    try:
        again["site000"].masks(second.digest(), boxes(shared, "site000"), STATE)
    except Refusal:
        pass
    else:
        raise AssertionError("shares of another attempt were taken")
    one = masked(sites["site000"], cohort, boxes(shared, "site000"), vectors["site000"])
    fresh = {name: site.share(second) for name, site in again.items()}
    two = masked(again["site000"], second, boxes(fresh, "site000"), vectors["site000"])
    assert not bool((one == two).any()) and names_of(1) == ["site000"]
