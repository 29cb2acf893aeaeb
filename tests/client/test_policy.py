"""A site's own rules: they refuse with one code, and look at public facts only."""

from __future__ import annotations

from typing import Any

import pytest

from client.policy import SitePolicy
from common.errors import Refusal, RefusalCode
from tests.small_site import make_plan

POLICY = SitePolicy(unit="user", trust=("local",), methods=("dp_sgd",))


def test_a_plan_within_the_rules_is_admitted() -> None:
    POLICY.admit(make_plan())


@pytest.mark.parametrize(
    "change", [{"unit": "record"}, {"trust": "central"}, {"method": "../x"}, {"method": ""}]
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        POLICY.admit(make_plan(**change))
    assert caught.value.code is RefusalCode.POLICY
