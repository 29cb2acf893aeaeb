"""Messages of `protos/gate.proto` in Flower records, and back.

Whatever does not decode to exactly what is expected is MALFORMED; see `common.parcel`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args

import torch
from flwr.app import RecordDict
from torch import Tensor

from common.compression import Compression, Packing
from common.event import Trust, Unit
from common.method import PublicState
from common.parcel import arrays_of, pack, raise_refused, strict, unpack
from common.plain_arrays import as_numpy, packed, read_arrays
from common.plan import Plan
from common.query import Acceptance, Query, Release, Seen, is_name
from common.roster import MOST_MEMBERS, Member
from common.secagg.messages import Shares
from common.witness import Head, Witness, is_hex
from protos import gate_pb2

_NPY_HEADER: Final = 128


def encode_plan(plan: Plan, arrays: Mapping[str, Tensor]) -> RecordDict:
    """The plan with the public arrays that its `arrays_digest` names."""
    header = gate_pb2.Plan(
        run_id=plan.run_id,
        method=plan.method,
        options_json=json.dumps(plan.options, sort_keys=True),
        dimension=plan.dimension,
        clip_norm=plan.clip_norm,
        noise_multiplier=plan.noise_multiplier,
        sampling_rate=plan.sampling_rate,
        unit=plan.unit,
        trust=plan.trust,
        rounds=plan.rounds,
        steps_per_round=plan.steps_per_round,
        delta=plan.delta,
        arrays_digest=plan.arrays_digest,
        labels=plan.labels,
        codec_json=json.dumps(plan.codec, sort_keys=True),
        text_json=json.dumps(plan.text, sort_keys=True),
        loss_weight=plan.loss_weight,
        sites_per_person=plan.sites_per_person,
        coordinator_key=plan.coordinator_key,
        roster=[gate_pb2.Member(**vars(member)) for member in plan.roster],
        min_sites=plan.min_sites,
        colluders=plan.colluders,
        scale=plan.scale,
        modulus_bits=plan.modulus_bits,
        code=plan.code,
        compression=plan.compression,
        keep=plan.keep,
    )
    return packed(header, arrays)


@strict
def decode_plan(content: RecordDict) -> tuple[Plan, dict[str, Tensor]]:
    """The inverse of `encode_plan`; raises Refusal(MALFORMED)."""
    header = unpack(content, gate_pb2.Plan)
    plan = Plan(
        run_id=header.run_id,
        method=header.method,
        options=_object(header.options_json),
        dimension=header.dimension,
        clip_norm=header.clip_norm,
        noise_multiplier=header.noise_multiplier,
        sampling_rate=header.sampling_rate,
        unit=cast(Unit, _one_of(header.unit, get_args(Unit))),
        trust=cast(Trust, _one_of(header.trust, get_args(Trust))),
        rounds=header.rounds,
        steps_per_round=header.steps_per_round,
        delta=header.delta,
        arrays_digest=header.arrays_digest,
        labels=tuple(header.labels),
        codec=_object(header.codec_json),
        text=_object(header.text_json),
        loss_weight=header.loss_weight,
        sites_per_person=header.sites_per_person,
        coordinator_key=header.coordinator_key,
        roster=_roster(header),
        min_sites=header.min_sites,
        colluders=header.colluders,
        scale=header.scale,
        modulus_bits=header.modulus_bits,
        code=header.code,
        compression=cast(Compression, _one_of(header.compression, get_args(Compression))),
        keep=header.keep,
    )
    return plan, read_arrays(content)


def _roster(header: gate_pb2.Plan) -> tuple[Member, ...]:
    if len(header.roster) > MOST_MEMBERS:
        raise ValueError("too many sites in the roster")
    return tuple(
        Member(site=m.site, key=m.key, population=m.population, valid_until=m.valid_until)
        for m in header.roster
    )


def encode_query(query: Query, state: PublicState) -> RecordDict:
    """One round's question with the broadcast state."""
    return packed(_query_header(query), state.arrays)


def for_site(content: RecordDict, query: Query, shares: Sequence[Shares] = ()) -> RecordDict:
    """The encoded query `content` as `query` asks it of one site; the arrays are shared, not packed again.

    `shares` are what the others of a cohort sealed for it.
    """
    header = _query_header(query)
    header.shares.extend(gate_pb2.Shares(**vars(share)) for share in shares)
    own = pack(header)
    own["arrays"] = content.array_records["arrays"]
    return own


def _query_header(query: Query) -> gate_pb2.Query:
    header = gate_pb2.Query(
        run_id=query.run_id,
        plan_digest=query.plan_digest,
        round=query.round,
        state_digest=query.state_digest,
        cohort=query.cohort,
        seen=[gate_pb2.Seen(**vars(seen)) for seen in query.seen],
    )
    if query.witness is not None:
        header.witness.head, header.witness.signature = query.witness.head, query.witness.signature
    return header


@strict
def decode_query(content: RecordDict) -> tuple[Query, PublicState]:
    """The inverse of `encode_query`; the state's round is the last finished one."""
    header = unpack(content, gate_pb2.Query)
    digests = is_hex(header.plan_digest, 32) and is_hex(header.state_digest, 32)
    if not (digests and is_name(header.run_id) and (not header.cohort or is_hex(header.cohort, 32))):
        raise ValueError("a query names a run, and plan, state and cohort by digest")
    query = Query(
        run_id=header.run_id,
        plan_digest=header.plan_digest,
        round=header.round,
        state_digest=header.state_digest,
        cohort=header.cohort,
        seen=_transcript(header),
        witness=Witness(head=header.witness.head, signature=header.witness.signature)
        if header.HasField("witness")
        else None,
    )
    return query, PublicState(round=header.round - 1, arrays=read_arrays(content))


def _transcript(header: gate_pb2.Query) -> tuple[Seen, ...]:
    if len(header.seen) > MOST_MEMBERS:
        raise ValueError("too long a transcript")
    return tuple(_seen(told) for told in header.seen)


def _seen(told: gate_pb2.Seen) -> Seen:
    return Seen(site=told.site, state_digest=told.state_digest, signature=told.signature)


@strict
def decode_shares(content: RecordDict) -> tuple[Shares, ...]:
    """What came with a query of a securely aggregated round for this site."""
    header = unpack(content, gate_pb2.Query)
    if len(header.shares) > MOST_MEMBERS:
        raise ValueError("too many shares")
    return tuple(Shares(sender=s.sender, recipient=s.recipient, sealed=s.sealed) for s in header.shares)


def encode_acceptance(acceptance: Acceptance) -> RecordDict:
    return pack(
        gate_pb2.Accepted(
            site=acceptance.site,
            plan_digest=acceptance.plan_digest,
            declared_population=acceptance.declared_population,
            site_key=acceptance.site_key,
            **_shown(acceptance.head),
        )
    )


def _shown(head: Head | None) -> dict[str, str]:
    return {} if head is None else {"head": head.hash, "head_signature": head.signature}


def _head(header: gate_pb2.Accepted | gate_pb2.Release) -> Head | None:
    if not header.head and not header.head_signature:
        return None
    return Head(hash=header.head, signature=header.head_signature)


@strict
def decode_acceptance(content: RecordDict) -> Acceptance:
    """A site's yes, or its Refusal raised."""
    raise_refused(content)
    header = unpack(content, gate_pb2.Accepted)
    return Acceptance(
        site=header.site,
        plan_digest=header.plan_digest,
        declared_population=header.declared_population,
        site_key=header.site_key,
        head=_head(header),
    )


def encode_release(release: Release) -> RecordDict:
    packing = release.packing or Packing(dimension=release.total.numel())
    arrays = packing.pack(release.total)
    header = gate_pb2.Release(
        site=release.site,
        run_id=release.run_id,
        round=release.round,
        query_digest=release.query_digest,
        dimension=release.total.numel(),
        charge=release.charge,
        seen=None if release.seen is None else gate_pb2.Seen(**vars(release.seen)),
        total_digest=_digest(arrays),
        **_shown(release.head),
    )
    return packed(header, arrays)


@strict
def decode_release(content: RecordDict, query: Query, plan: Plan) -> Release:
    """A site's answer to `query`, checked against it, or its Refusal raised."""
    raise_refused(content)
    header = unpack(content, gate_pb2.Release)
    size = sum(len(data) for data in arrays_of(content).values())
    if size > 8 * plan.dimension + 2 * _NPY_HEADER:
        raise ValueError("a release is no longer than the plan's vector")
    arrays = read_arrays(content)
    total = plan.packing.unpack(arrays, _released(plan))
    if not bool(torch.isfinite(total).all()):
        raise ValueError("a release holds finite numbers")
    if header.total_digest != _digest(arrays):
        raise ValueError("a release names its vector by digest")
    answered = (header.run_id, header.round, header.query_digest)
    if answered != (query.run_id, query.round, query.digest(plan.trust)):
        raise ValueError("a release answers another query")
    return Release(
        site=header.site,
        run_id=header.run_id,
        round=header.round,
        query_digest=header.query_digest,
        charge=header.charge,
        total=total,
        packing=plan.packing,
        head=_head(header),
        seen=_seen(header.seen) if header.HasField("seen") else None,
    )


def _released(plan: Plan) -> torch.dtype:
    if plan.trust != "secagg":
        return torch.float32
    return torch.int32 if plan.modulus_bits == 32 else torch.int64


def _digest(arrays: Mapping[str, Tensor]) -> str:
    """SHA-256 over the arrays' bytes in the order of names; kind and length follow from the plan."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(as_numpy(arrays[name]).reshape(-1).data)
    return digest.hexdigest()


def _object(text: str) -> dict[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("expected a JSON object")
    return value


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return value
