"""The signed run plan: the file says the plan that comes over the wire, and nobody else's or another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.accounting import epsilon
from common.errors import InputError, Refusal, RefusalCode
from common.plan import Plan
from common.roster import Member
from common.run_plan import cost, read_run_plan, write_run_plan
from common.signing import public_name
from common.wire import decode_plan, encode_plan
from tests.small_site import make_plan

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
ROSTER = tuple(Member(site=name, key=name[0].encode().hex() * 32, population=9) for name in ("east", "west"))
PLAN = make_plan(coordinator_key=public_name(KEY), roster=ROSTER, min_sites=2, code="0.1.0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_run_plan(tmp_path / "plan.json", PLAN, KEY)
    return tmp_path / "plan.json"


def test_a_plan_comes_back_with_the_hash_that_sites_see(path: Path) -> None:
    read = read_run_plan(path, signer=public_name(KEY))
    over_the_wire, _ = decode_plan(encode_plan(PLAN, {}))
    assert read == PLAN and read.digest() == over_the_wire.digest() == json.loads(path.read_text())["digest"]


def test_no_byte_of_a_plan_can_be_changed(path: Path) -> None:
    """Every third: what is still read is the very same plan; what stands under `cost` is nobody's claim."""
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert read_run_plan(path) == PLAN
        except InputError as error:
            assert "\n" not in str(error)


def test_a_plan_of_another_coordinator_is_refused(path: Path) -> None:
    with pytest.raises(Refusal, match="another coordinator") as refused:
        read_run_plan(path, signer=public_name(OTHER))
    assert refused.value.code == RefusalCode.FOREIGN


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [({}, OTHER, "the coordinator's key"), ({"coordinator_key": ""}, KEY, "the coordinator's key"),
     ({"roster": (), "min_sites": 1}, KEY, "its roster is empty")],
)  # fmt: skip
def test_a_plan_is_signed_by_its_coordinator_for_its_sites(
    changes: dict[str, Any], key: Ed25519PrivateKey, why: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=why):
        write_run_plan(tmp_path / "plan.json", replace(PLAN, **changes), key)
    assert not (tmp_path / "plan.json").exists()


def forge(fields: dict[str, Any]) -> None:
    """A plan of one's own beside the coordinator's name and signature."""
    plan = Plan.from_json(json.dumps({**fields["plan"], "noise_multiplier": 0.01}))
    fields["plan"]["noise_multiplier"], fields["digest"] = 0.01, plan.digest()


@pytest.mark.parametrize(
    "harm",
    [forge, lambda f: f.update(signature="00" * 64), lambda f: f.update(signature=3), lambda f: f.pop("plan"),
     lambda f: f["plan"].update(rounds="many"), lambda f: f["plan"].update(rounds=1e400),
     lambda f: f["plan"].update(roster=[3]), lambda f: f["plan"].update(surprise=1),
     lambda f: f["plan"].pop("trust"), lambda f: f.update(plan=[]), lambda f: f.update(fedmotion="card")],
)  # fmt: skip
def test_a_forged_or_broken_file_is_one_line(harm: Any, path: Path) -> None:
    fields = json.loads(path.read_text())
    harm(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match=r"is no run plan: .*ask the coordinator") as error:
        read_run_plan(path)
    assert "\n" not in str(error.value)


def test_what_a_plan_costs_stands_with_all_that_an_epsilon_needs() -> None:
    found = cost(PLAN)
    assert found["epsilon"] == epsilon([PLAN.reserved()], PLAN.delta)
    assert (found["delta"], found["unit"], found["trust"]) == (1e-5, "user", "local")
    assert cost(replace(PLAN, noise_multiplier=0.0))["epsilon"] is None
