"""Whose word a message is: every query and every answer under a roster carries its sender's signature.

Signed are kind, body, sender, recipient, a fresh nonce and, in an answer, the seal of the question. The body
names run, round, plan and state, and its arrays by digest. So a message for another site, of another run
or round, an answer to another question, or one whose body was swapped is found out before it is read.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, RecordDict

from common.errors import Refusal, RefusalCode
from common.parcel import body_of, kind_of, require_form, seal_of, strict
from common.query import is_name, sha256_of
from common.roster import COORDINATOR
from common.signing import attest, attested
from common.witness import is_hex
from protos import gate_pb2

__all__ = ["COORDINATOR", "Seal", "read_seal", "seal", "unseal"]

_QUESTION: Final = "fedmotion question"
_ANSWER: Final = "fedmotion answer"
_NONCE: Final = 16


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Sender, recipient, 32 digits of nonce, the digest of the question answered, a signature over it all."""

    sender: str
    recipient: str
    nonce: str
    answers: str
    signature: str

    def digest(self) -> str:
        """SHA-256 of the seal: what an answer to it names."""
        return sha256_of(asdict(self))


def seal(
    content: RecordDict, key: Ed25519PrivateKey, sender: str, recipient: str, answers: str = ""
) -> tuple[RecordDict, Seal]:
    """`content` under a new seal of `sender`; arrays are shared, not copied."""
    nonce = os.urandom(_NONCE)
    signature = attest(key, _purpose(answers), *_facts(content, sender, recipient, nonce.hex(), answers))
    told = gate_pb2.Seal(
        sender=sender, recipient=recipient, nonce=nonce, answers=answers, signature=signature
    )
    records = dict(content.items())
    records["seal"] = ConfigRecord({"body": told.SerializeToString(deterministic=True)})
    made = RecordDict(records)
    return made, read_seal(made)


def unseal(content: RecordDict, public: str, sender: str, recipient: str, answers: str = "") -> Seal:
    """The seal of `content`; Refusal(FOREIGN) unless `public` signed it for exactly this exchange.

    A question answers nothing; an answer names the digest of the question's seal.
    """
    found = read_seal(content)
    if (found.sender, found.recipient, found.answers) != (sender, recipient, answers):
        raise Refusal(RefusalCode.FOREIGN, f"not {sender}'s seal of this message to {recipient}")
    require_form(content)
    facts = _facts(content, sender, recipient, found.nonce, answers)
    if not attested(public, found.signature, _purpose(answers), *facts):
        raise Refusal(RefusalCode.FOREIGN, f"not {sender}'s signature of this message to {recipient}")
    return found


@strict
def read_seal(content: RecordDict) -> Seal:
    """What the seal of `content` says, whether it is true or not; Refusal(FOREIGN) where there is none."""
    if "seal" not in content:
        raise Refusal(RefusalCode.FOREIGN, "the message has no seal")
    told = gate_pb2.Seal.FromString(seal_of(content))
    found = Seal(
        sender=told.sender,
        recipient=told.recipient,
        nonce=told.nonce.hex(),
        answers=told.answers,
        signature=told.signature,
    )
    named = is_name(found.sender) and is_name(found.recipient)
    answering = found.answers == "" or is_hex(found.answers, 32)
    if not (named and answering and is_hex(found.nonce, _NONCE) and is_hex(found.signature, 64)):
        raise ValueError("a seal has two names, a nonce, a signature and at most one question")
    return found


def _purpose(answers: str) -> str:
    return _ANSWER if answers else _QUESTION


def _facts(content: RecordDict, sender: str, recipient: str, nonce: str, answers: str) -> tuple[str, ...]:
    body = hashlib.sha256(body_of(content)).hexdigest()
    return (kind_of(content), body, sender, recipient, nonce, answers)
