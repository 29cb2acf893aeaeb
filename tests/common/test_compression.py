"""A noised vector in fewer bytes: of a fixed length, the same for the same vector; nothing else decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from common.compression import Packing
from common.errors import InputError, Refusal, RefusalCode
from common.parcel import joined_of
from common.plain_arrays import packed
from common.plan import Plan
from protos import gate_pb2
from tests.recording import World
from tests.small_site import ask, crowd, make_plan, make_state

FORMS: dict[str, dict[str, Any]] = {
    "bf16": {"compression": "bf16"},
    "a tenth": {"compression": "top_k", "keep": 0.1},
    "all": {"compression": "top_k", "keep": 1.0},
}
SPARSE = make_plan(**FORMS["a tenth"])
COUNT = SPARSE.packing.count


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_release_is_compressed_after_the_noise_and_a_repeat_has_the_same_bytes(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    plan = make_plan(**form)
    world = World(tmp_path / "ledger", plan, None)
    first, again = (wire.encode_release(world.release(crowd(5))) for _ in range(2))
    assert joined_of(first) == joined_of(again)
    whole = world.release(crowd(5)).total
    found = wire.decode_release(first, ask(plan, make_state(plan, 1)), plan).total
    sent = found != 0
    assert int(sent.sum()) == plan.packing.count
    assert float((found - whole)[sent].abs().max()) <= 2**-8 * float(whole.abs().max())
    assert not sent.all() or torch.allclose(found, whole, rtol=2**-8, atol=0)
    if not sent.all():
        assert float(whole[~sent].abs().max()) <= float(whole[sent].abs().min())
        assert torch.equal(found[sent], whole[sent])


@given(st.lists(st.sampled_from([0.0, -1.0, 1.0, 2.5, -2.5, 1e-30]), min_size=1), st.floats(1e-6, 1.0))
def test_the_length_on_the_wire_is_public_and_constant_whatever_the_vector(
    values: list[float], keep: float
) -> None:
    vector = torch.tensor(values)
    packing = Packing(compression="top_k", keep=keep, dimension=len(values))
    arrays = packing.pack(vector)
    order = np.lexsort((np.arange(len(values)), -vector.abs().numpy()))[: packing.count]
    assert arrays["indices"].tolist() == sorted(order.tolist())
    kept = torch.zeros(len(values), dtype=torch.bool)
    kept[arrays["indices"].long()] = True
    assert torch.equal(packing.unpack(arrays), torch.where(kept, vector, torch.zeros(())))


def test_bfloat16_rounds_to_nearest_and_to_even() -> None:
    packing = Packing(compression="bf16", dimension=4)
    vector = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.0e38])
    assert packing.unpack(packing.pack(vector))[:3].tolist() == [1.0, 1.0, 1 + 2**-6]
    assert packing.pack(vector)["total"].dtype == torch.int16


RISING = torch.arange(COUNT, dtype=torch.int32)
VALUES = torch.ones(COUNT)
HOSTILE: dict[str, dict[str, torch.Tensor]] = {
    "no indices": {"values": VALUES},
    "a dense vector": {"total": torch.ones(SPARSE.dimension)},
    "one more array": {"indices": RISING, "values": VALUES, "more": VALUES},
    "one too few": {"indices": RISING[1:], "values": VALUES[1:]},
    "one too many": {"indices": torch.arange(COUNT + 1, dtype=torch.int32), "values": torch.ones(COUNT + 1)},
    "fewer values than indices": {"indices": RISING, "values": VALUES[1:]},
    "an index twice": {"indices": RISING.clone().index_fill(0, torch.tensor(1), 0), "values": VALUES},
    "falling indices": {"indices": RISING.flip(0), "values": VALUES},
    "an index below 0": {"indices": RISING - 1, "values": VALUES},
    "an index beyond the vector": {"indices": RISING + SPARSE.dimension - COUNT + 1, "values": VALUES},
    "indices of another type": {"indices": RISING.long(), "values": VALUES},
    "values of another type": {"indices": RISING, "values": VALUES.double()},
    "a matrix": {"indices": RISING[None], "values": VALUES[None]},
    "not a number": {"indices": RISING, "values": VALUES / 0 - VALUES / 0},
    "infinity": {"indices": RISING, "values": VALUES / 0},
}


def answer(plan: Plan, arrays: dict[str, torch.Tensor]) -> Any:
    query = ask(plan, make_state(plan, 1))
    header = gate_pb2.Release(
        site="north", run_id=query.run_id, round=1, query_digest=query.digest("local"),
        dimension=plan.dimension, charge=1, total_digest=wire._digest(arrays),
    )  # fmt: skip
    return wire.decode_release(packed(header, arrays), query, plan)


def test_a_well_formed_sparse_release_decodes() -> None:
    assert float(answer(SPARSE, {"indices": RISING, "values": VALUES}).total.sum()) == COUNT


@pytest.mark.parametrize("arrays", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_sparse_release_is_refused(arrays: dict[str, torch.Tensor]) -> None:
    with pytest.raises(Refusal) as caught:
        answer(SPARSE, arrays)
    assert caught.value.code is RefusalCode.MALFORMED


@pytest.mark.parametrize("word", [0x7F80, -0x80, 0x7FC0])  # infinity, its negative, no number
def test_a_bfloat16_that_is_no_finite_number_is_refused(word: int) -> None:
    plan = make_plan(**FORMS["bf16"])
    for arrays in (
        {"total": torch.full((plan.dimension,), word, dtype=torch.int16)},
        {"total": torch.ones(plan.dimension)},
        {"total": torch.ones(plan.dimension + 1, dtype=torch.int16)},
    ):
        with pytest.raises(Refusal) as caught:
            answer(plan, arrays)
        assert caught.value.code is RefusalCode.MALFORMED


@pytest.mark.parametrize("trust", ["central", "secagg"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_nothing_is_compressed_before_its_noise(trust: str, form: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"compression .* needs trust = local"):
        make_plan(trust=trust, **form)


@pytest.mark.parametrize(
    "change",
    [
        {"compression": "zip"},
        {"compression": "top_k", "keep": 0.0},
        {"compression": "top_k", "keep": 1.1},
        {"compression": "top_k", "keep": float("nan")},
        {"keep": 0.5},
        {"compression": "bf16", "keep": 0.5},
        {"compression": "top_k", "keep": 0.5, "loss_weight": 0.1},
    ],
    ids=str,
)
def test_a_form_that_cannot_be_is_no_plan(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"compression|keep") as caught:
        make_plan(**change)
    assert "\n" not in str(caught.value)
