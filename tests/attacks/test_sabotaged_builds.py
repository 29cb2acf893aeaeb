"""Every defence of `tests.sabotage`, taken out: the check that guards it fails, and else holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.attacks import test_replays as replays
from tests.attacks.test_clip import check_clip
from tests.attacks.test_critics import (
    check_no_draw,
    check_old_runs,
    check_once,
    check_own_critic,
    check_shard,
    check_twice_c,
    check_withdrawal,
)
from tests.attacks.test_deleted_ledger import (
    check_a_missing_ledger_stays_missing,
    check_nothing_leaves_after,
    delete,
)
from tests.attacks.test_hostile_messages import check_cheap_plans_are_refused, check_policy, check_replays
from tests.attacks.test_hostile_server import check_near_plans
from tests.attacks.test_mechanism_tester import check_tester_accepts
from tests.attacks.test_messengers_user import (
    check_the_messenger_reads_nothing,
    check_what_it_could_read_is_refused,
)
from tests.attacks.test_non_interference import (
    PEOPLE,
    check_lengths,
    check_no_word_of_people,
    check_path,
    check_replies_are_the_same,
)
from tests.attacks.test_one_run_audit import EIGHT, check_audit
from tests.attacks.test_operational_logs import (
    check_no_word_of_people_in_the_log,
    check_same_whoever_they_are,
)
from tests.attacks.test_public_assets import (
    check_arrays,
    check_base,
    check_captions,
    check_cost,
    check_damaged_windows,
    check_norms,
    check_padding,
)
from tests.attacks.test_secagg import (
    check_one_share,
    check_own_mask,
    check_signed_keys,
    check_small_cohorts,
    check_split_view,
)
from tests.attacks.test_secagg_gate import check_fresh, check_hidden, check_integer_sensitivity, check_noise
from tests.attacks.test_split_view import check_masks, check_one_model, check_state_of_a_round
from tests.attacks.test_strangers import (
    check_a_plan_fits_the_site,
    check_an_agreement_can_end,
    check_answers_keep_the_pace,
    check_only_agreed_plans_run,
    check_other_coordinators_are_refused,
    check_revoked_sites_are_in_no_plan,
    check_seeded_noise_is_in_no_real_run,
    check_swapped_cards_are_refused,
)
from tests.client.test_integers import check_rounding
from tests.sabotage import DEFECTS, apply
from tests.server.test_federated_rounds import (
    check_a_forged_refusal_removes_nobody,
    check_a_release_of_another_state_is_refused,
    check_an_older_release_is_no_answer,
    check_too_few_make_no_round,
)
from tests.small_methods import METHODS
from tests.test_method_laws import (
    check_claim,
    check_company,
    check_empty,
    check_isolation,
    check_sensitivity,
)
from tests.test_no_bypass import check_process_is_silent

Check = Callable[[Path], object]
METHOD, ENGINE = next(iter(METHODS)), "auto"

sensitivity: Final[Check] = partial(check_sensitivity, method=METHOD, engine=ENGINE, pairs=4)
isolation: Final[Check] = partial(check_isolation, method=METHOD, engine=ENGINE)
company: Final[Check] = partial(check_company, method=METHOD, engine=ENGINE)
empty: Final[Check] = partial(check_empty, method=METHOD, engine=ENGINE)
claim: Final[Check] = partial(check_claim, method=METHOD, engine=ENGINE)
replies: Final[Check] = partial(
    check_replies_are_the_same, method=METHOD, engine=ENGINE, group={k: PEOPLE[k] for k in ("nobody", "many")}
)
audited: Final[Check] = partial(check_audit, setting=EIGHT, runs=3)
telling: Final[Check] = partial(check_tester_accepts, count=1)
clip: Final[Check] = partial(check_clip, cases=200)
theft: Final[Check] = partial(check_nothing_leaves_after, delete)
site_replays: Final[Check] = partial(replays.check_replays, count=48)
server_replays: Final[Check] = partial(replays.check_answers, count=8)

CAUGHT: Final[dict[str, tuple[Check, ...]]] = {
    "no_clip": (sensitivity, clip, audited),
    "loose_clip": (sensitivity, clip),
    "naive_clip": (clip, isolation),
    "skip_isolation": (isolation,),
    "one_key_for_all": (isolation, company),
    "half_noise": (audited,),
    "no_noise": (audited, empty),
    "reused_seed": (telling,),
    "silent_when_empty": (empty,),
    "everyone_drawn": (telling,),
    "no_charge": (claim, check_replays),
    "half_charge": (claim,),
    "read_before_charge": (check_path,),
    "forgetful_ledger": (check_replays,),
    "unlimited_ledger": (check_cheap_plans_are_refused,),
    "blind_ledger": (theft,),
    "ledger_made_anew": (check_a_missing_ledger_stays_missing,),
    "trusting_gate": (check_replays,),
    "no_policy": (check_policy,),
    "caption_from_a_shared_stream": (check_captions,),
    "padding_is_motion": (check_padding,),
    "unchecked_base": (check_base,),
    "arrays_of_any_name": (check_arrays,),
    "unbounded_plan": (check_cost,),
    "norms_not_compared": (check_norms,),
    "chunk_falls_together": (check_damaged_windows,),
    "no_drop": (check_the_messenger_reads_nothing,),
    "rights_not_asked": (check_what_it_could_read_is_refused,),
    "leak_count": (replies,),
    "leak_norm": (replies,),
    "leak_text": (check_no_word_of_people,),
    "leak_crash": (check_no_word_of_people,),
    "leak_length": (check_lengths,),
    "talkative_log": (check_no_word_of_people_in_the_log,),
    "counting_log": (check_same_whoever_they_are,),
    "prints": (check_process_is_silent,),
    "sends": (check_process_is_silent,),
    "writes_a_file": (check_process_is_silent,),
    "believes_the_unsealed": (site_replays,),
    "sees_no_transcript": (check_one_model, check_state_of_a_round),
    "forgets_what_it_saw": (check_state_of_a_round, check_one_model),
    "any_answer_will_do": (server_replays,),
    "any_key_will_do": (site_replays, server_replays),
    "agrees_to_anything": (check_near_plans,),
    "signs_for_any_model": (check_masks,),
    "starts_a_process": (check_process_is_silent,),
    "anybodys_word": (check_a_forged_refusal_removes_nobody,),
    "any_question": (check_an_older_release_is_no_answer,),
    "few_are_enough": (check_too_few_make_no_round,),
    "state_not_compared": (check_a_release_of_another_state_is_refused,),
    "unsigned_lists": (check_split_view,),
    "lists_forgotten": (check_one_share,),
    "unsigned_keys": (check_signed_keys,),
    "any_number": (check_small_cohorts,),
    "without_own_mask": (check_own_mask,),
    "unmasked": (check_hidden,),
    "thin_shares": (check_noise,),
    "noised_once": (check_fresh,),
    "to_nearest": (check_rounding,),
    "to_nearest_unverified": (check_rounding,),
    "no_integer_clip": (check_integer_sensitivity,),
    "agreement_not_asked": (check_only_agreed_plans_run,),
    "agreement_asked_once": (check_an_agreement_can_end,),
    "plan_of_another_site": (check_a_plan_fits_the_site,),
    "cards_not_compared": (check_swapped_cards_are_refused,),
    "any_sender": (check_other_coordinators_are_refused,),
    "revocation_forgotten": (check_revoked_sites_are_in_no_plan,),
    "seed_not_asked": (check_seeded_noise_is_in_no_real_run,),
    "answers_at_once": (check_answers_keep_the_pace,),
    "one_critic_for_all": (check_own_critic,),
    "critics_by_place": (check_own_critic,),
    "critics_that_meet": (check_own_critic,),
    "shards_by_number": (check_shard,),
    "critics_kept": (check_withdrawal,),
    "erased_once": (check_withdrawal,),
    "critics_of_old_runs": (check_old_runs,),
    "trained_twice": (check_once,),
    "shards_for_c": (check_twice_c,),
    "drawn_shards": (check_no_draw,),
}
"""Which checks fail on a build with the defect. A check that guards nothing here guards nothing."""

FURTHER = [(defect, number) for defect, checks in CAUGHT.items() for number in range(1, len(checks))]
Note = Callable[[str, object], None]
_held: set[Check] = set()
_folders = itertools.count()


def fresh(folder: Path) -> Path:
    path = folder / f"{next(_folders)}"
    path.mkdir()
    return path


def catch(folder: Path, defect: str, check: Check) -> None:
    """`check` holds on the real build (tried once) and fails on the one with `defect`."""
    if check not in _held:
        check(fresh(folder))
        _held.add(check)
    with pytest.MonkeyPatch.context() as patch:
        apply(defect, patch)
        with pytest.raises(AssertionError):
            check(fresh(folder))


def test_every_defence_has_a_check_that_guards_it() -> None:
    assert set(CAUGHT) == set(DEFECTS)
    assert all(CAUGHT.values())


@pytest.mark.parametrize("defect", CAUGHT)
def test_control_a_build_without_the_defence_is_caught(
    tmp_path: Path, defect: str, record_property: Note
) -> None:
    catch(tmp_path, defect, CAUGHT[defect][0])
    record_property("sabotage", defect)


@pytest.mark.attack
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("defect", "number"), FURTHER)
def test_control_every_further_check_fails_without_the_defence(
    tmp_path: Path, defect: str, number: int
) -> None:
    catch(tmp_path, defect, CAUGHT[defect][number])
