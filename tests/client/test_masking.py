"""A site's part in an attempt: each step once, in order, and a fixed code for anything else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from client.attempt import Attempt, Secrets
from client.masking import Masking
from common.errors import Refusal, RefusalCode
from common.plan import Plan
from common.secagg.messages import Advertise, Cohort, Confirm, Confirmed, Shared, Unmask
from tests.secagg_bare import STATE, asked_of, bare_plan, begin, boxes, listed, masked, vectors_of
from tests.secagg_round import identity_of, names_of

PLAN = bare_plan(5)
ME, OTHER = "site000", "site001"
VECTORS = vectors_of(PLAN)


def code(act: Callable[[], object]) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.code


@pytest.fixture
def shared() -> tuple[dict[str, Attempt], Cohort, dict[str, Shared]]:
    """Five sites that have shared."""
    sites, cohort = begin(PLAN)
    return sites, cohort, {name: site.share(cohort) for name, site in sites.items()}


Sharing = tuple[dict[str, Attempt], Cohort, dict[str, Shared]]


def released(given: Sharing) -> Sharing:
    sites, cohort, shared = given
    for name, site in sites.items():
        masked(site, cohort, boxes(shared, name), VECTORS[name])
    return given


def signed(asked: Confirm, *names: str) -> Unmask:
    confirmed = tuple(Confirmed.sign(identity_of(name), name, asked, STATE) for name in names)
    return Unmask(**vars(asked), confirmed=confirmed)


# Keys.


def masking(name: str | None = ME) -> Masking:
    return Masking(ME, None if name is None else identity_of(name))


def test_keys_are_new_for_each_attempt_and_the_same_within_one() -> None:
    site, first, second = masking(), asked_of(PLAN), asked_of(PLAN)
    keys = site.advertise(PLAN, first)
    assert keys.signed_by(PLAN.roster[0].key) and not keys.signed_by(PLAN.roster[1].key)
    assert site.advertise(PLAN, first) == keys
    other = site.advertise(PLAN, second)
    assert len({keys.cipher_key, keys.mask_key, other.cipher_key, other.mask_key}) == 4
    assert site.advertise(PLAN, first) not in (keys, other)  # the first attempt is forgotten


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"run_id": "other"}, RefusalCode.OUTSIDE_PLAN),
        ({"round": PLAN.rounds + 1}, RefusalCode.OUTSIDE_PLAN),
    ],
)
def test_no_keys_for_what_the_plan_does_not_hold(changes: dict[str, Any], expected: RefusalCode) -> None:
    asked = replace(asked_of(PLAN), **changes)
    assert code(lambda: masking().advertise(PLAN, asked)) is expected


def test_no_keys_without_the_identity_that_the_roster_names() -> None:
    for site in (masking(None), masking(OTHER)):
        assert code(lambda site=site: site.advertise(PLAN, asked_of(PLAN))) is RefusalCode.FOREIGN  # type: ignore[misc]
    local = replace(PLAN, trust="local")
    assert code(lambda: masking().advertise(local, asked_of(local))) is RefusalCode.OUTSIDE_PLAN
    assert code(lambda: masking().advertise(expired(ME), asked_of(expired(ME)))) is RefusalCode.EXPIRED


def expired(name: str) -> Plan:
    members = (replace(m, valid_until=int(time.time()) - 1 if m.site == name else 2**40) for m in PLAN.roster)
    return replace(PLAN, roster=tuple(members))


def test_a_round_that_is_over_has_no_more_attempts() -> None:
    site = masking()
    site.advertise(PLAN, asked_of(PLAN, round=2))
    assert code(lambda: site.advertise(PLAN, asked_of(PLAN, round=1))) is RefusalCode.STALE


def test_secrets_have_at_least_128_bits_and_are_never_the_same() -> None:
    made = [Secrets.fresh() for _ in range(200)]
    for of in (
        lambda s: s.seed,
        lambda s: s.mask.private_bytes_raw(),
        lambda s: s.cipher.private_bytes_raw(),
    ):
        drawn = [of(secrets) for secrets in made]  # type: ignore[no-untyped-call]
        assert len(set(drawn)) == 200 and all(len(secret) == 32 for secret in drawn)
        ones = sum(int.from_bytes(secret).bit_count() for secret in drawn) / (200 * 256)
        assert 0.48 < ones < 0.52


# The cohort.


def altered(cohort: Cohort, name: str, **changes: Any) -> Cohort:
    keys = (replace(k, **changes) if k.site == name else k for k in cohort.keys)
    return replace(cohort, keys=tuple(keys))


def test_a_cohort_that_is_not_as_the_sites_signed_it_is_refused() -> None:
    sites, cohort = begin(PLAN)
    foreign = replace(cohort.keys[1], site="zoe").signed(identity_of(OTHER))
    cases = {
        "another's key swapped": (altered(cohort, OTHER, mask_key="ab" * 32), RefusalCode.MALFORMED),
        "own key swapped": (altered(cohort, ME, mask_key="ab" * 32), RefusalCode.MALFORMED),
        "own keys missing": (replace(cohort, keys=cohort.keys[1:]), RefusalCode.MALFORMED),
        "of another attempt": (begin(PLAN)[1], RefusalCode.STALE),
        "one's keys of another attempt": (
            replace(cohort, keys=(cohort.keys[0], begin(PLAN)[1].keys[1], *cohort.keys[2:])),
            RefusalCode.MALFORMED,
        ),
        "a stranger": (replace(cohort, keys=(*cohort.keys, foreign)), RefusalCode.OUTSIDE_PLAN),
        "too few": (replace(cohort, keys=cohort.keys[:3]), RefusalCode.OUTSIDE_PLAN),
    }
    for name, (given, expected) in cases.items():
        assert code(lambda given=given: sites[ME].share(given)) is expected, name  # type: ignore[misc]
    sites[ME].share(cohort)


def test_a_key_of_low_order_is_refused() -> None:
    sites, cohort = begin(PLAN)
    keys = replace(cohort.keys[1], cipher_key="00" * 32).signed(identity_of(OTHER))
    given = replace(cohort, keys=(cohort.keys[0], keys, *cohort.keys[2:]))
    assert code(lambda: sites[ME].share(given)) is RefusalCode.MALFORMED


def test_an_expired_member_is_not_believed() -> None:
    plan = expired(OTHER)
    sites, cohort = begin(plan)
    assert code(lambda: sites[ME].share(cohort)) is RefusalCode.EXPIRED


def test_a_site_shares_with_one_cohort_an_attempt(shared: Sharing) -> None:
    sites, cohort, answers = shared
    assert sites[ME].share(cohort) == answers[ME]
    assert code(lambda: sites[ME].share(replace(cohort, keys=cohort.keys[:4]))) is RefusalCode.STALE


# The vector.


def test_the_masks_are_for_the_shared_cohort_and_for_one_vector(shared: Sharing) -> None:
    sites, cohort, answers = shared
    site, given = sites[ME], boxes(answers, ME)
    assert code(lambda: site.masks("00" * 32, given, STATE)) is RefusalCode.STALE
    assert code(lambda: begin(PLAN)[0][ME].masks(cohort.digest(), given, STATE)) is RefusalCode.STALE
    site.use(site.masks(cohort.digest(), given, STATE))
    assert code(lambda: site.masks(cohort.digest(), given, STATE)) is RefusalCode.STALE


def test_shares_that_do_not_open_or_are_too_few_give_no_masks(shared: Sharing) -> None:
    sites, cohort, answers = shared
    given = boxes(answers, ME)
    spoilt = replace(given[0], sealed=given[0].sealed[:-1] + bytes([given[0].sealed[-1] ^ 1]))
    for wrong in (
        [spoilt, *given[1:]],
        [given[0], *given],
        boxes(answers, OTHER),
        [replace(given[0], sender=given[1].sender), *given[2:]],
        [replace(given[0], sender="zoe"), *given],
    ):
        made = partial(sites[ME].masks, cohort.digest(), wrong, STATE)
        assert code(made) is RefusalCode.MALFORMED
    assert code(lambda: sites[ME].masks(cohort.digest(), given[:2], STATE)) is RefusalCode.OUTSIDE_PLAN
    sites[ME].masks(cohort.digest(), given[:3], STATE)


def test_the_same_masks_are_never_on_two_vectors(shared: Sharing) -> None:
    """Two vectors under one mask could be subtracted: their difference has noise, but no mask."""
    sites, cohort, answers = shared
    first = sites[ME].masks(cohort.digest(), boxes(answers, ME), STATE)
    again = sites[ME].masks(cohort.digest(), boxes(answers, ME), STATE)  # the first came to nothing
    sites[ME].use(first)
    assert code(lambda: sites[ME].use(again)) is RefusalCode.STALE


# The list and the shares.


def test_a_list_is_signed_once_with_this_site_on_it_and_enough_others(shared: Sharing) -> None:
    sites, cohort, _ = released(shared)
    names, site = names_of(5), sites[ME]
    assert code(lambda: site.confirm(listed(cohort, names[1:]))) is RefusalCode.MALFORMED
    assert code(lambda: site.confirm(listed(cohort, [*names, "zoe"]))) is RefusalCode.MALFORMED
    assert code(lambda: site.confirm(listed(cohort, names[:3]))) is RefusalCode.OUTSIDE_PLAN
    twice = replace(listed(cohort, names), survivors=(names[0], *names))
    assert code(lambda: site.confirm(twice)) is RefusalCode.MALFORMED
    asked = listed(cohort, names[:4])
    confirmed = site.confirm(asked)
    assert confirmed.signed_by(PLAN.roster[0].key, asked, STATE) and site.confirm(asked) == confirmed
    assert code(lambda: site.confirm(listed(cohort, names))) is RefusalCode.STALE


def test_nothing_is_signed_before_a_vector_is_sent(shared: Sharing) -> None:
    sites, cohort, _ = shared
    assert code(lambda: sites[ME].confirm(listed(cohort, names_of(5)))) is RefusalCode.STALE


def test_shares_are_given_for_the_list_that_enough_have_signed_and_for_no_other(shared: Sharing) -> None:
    sites, cohort, _ = released(shared)
    names, site = names_of(5), sites[ME]
    asked = listed(cohort, names[:4])
    assert code(lambda: site.unmask(signed(asked, *names[:4]))) is RefusalCode.STALE  # it signed none
    site.confirm(asked)
    good = signed(asked, *names[:4])
    forged = replace(good.confirmed[3], signature=good.confirmed[2].signature)
    for wrong, expected in (
        (signed(asked, *names[:3]), RefusalCode.OUTSIDE_PLAN),
        (replace(good, confirmed=(*good.confirmed[:3], good.confirmed[0])), RefusalCode.MALFORMED),
        (replace(good, confirmed=(*good.confirmed[:3], forged)), RefusalCode.MALFORMED),
        (signed(asked, *names), RefusalCode.MALFORMED),  # the last is not on the list
        (signed(listed(cohort, names), *names), RefusalCode.STALE),
        (replace(good, round=2), RefusalCode.STALE),
    ):
        assert code(lambda wrong=wrong: site.unmask(wrong)) is expected  # type: ignore[misc]
    reply = site.unmask(good)
    assert {share.of: share.survivor for share in reply.shares} == {n: n in names[:4] for n in names}
    assert site.unmask(good) == reply
    assert code(lambda: site.unmask(signed(listed(cohort, names), *names))) is RefusalCode.STALE


def test_after_unmasking_no_secret_is_left_in_memory(shared: Sharing) -> None:
    sites, cohort, _ = released(shared)
    site, asked = sites[ME], listed(cohort, names_of(5))
    site.confirm(asked)
    site.unmask(signed(asked, *names_of(5)))
    assert site._secrets is None and site._kept is None and not site._dealt
    assert code(lambda: site.masks(cohort.digest(), [], STATE)) is RefusalCode.STALE


def test_an_attempt_that_is_not_held_any_more_is_stale() -> None:
    site, asked = masking(), asked_of(PLAN)
    site.advertise(PLAN, asked)
    cohort = Cohort(**vars(asked), keys=())
    confirm = listed(cohort, names_of(5))
    for act in (
        lambda: masking().share(PLAN, cohort),
        lambda: site.share(PLAN, replace(cohort, round=2)),
        lambda: masking().confirm(PLAN, confirm),
        lambda: masking().unmask(PLAN, signed(confirm)),
    ):
        assert code(act) is RefusalCode.STALE


def test_masks_that_are_gone_let_nothing_out() -> None:
    total = torch.zeros(PLAN.dimension, dtype=torch.int64)
    assert code(lambda: masking().masked(PLAN.digest(), total, None)) is RefusalCode.UNAVAILABLE


@pytest.mark.parametrize("attempt", ["", "ab", "zz" * 16, "AB" * 16, "ab" * 17])
def test_an_attempt_is_named_by_128_bits(attempt: str) -> None:
    with pytest.raises(Exception, match="32 digits"):
        Advertise(run_id="run", plan_digest=PLAN.digest(), round=1, attempt=attempt)
