"""Ed25519 signatures over files that others will trust: who wrote it, and that no byte changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from common.errors import InputError


def create_key(path: Path, seed: str | None = None) -> Ed25519PrivateKey:
    """A new private key at `path` (PEM, readable by its owner alone), on disk when this returns.

    A `seed` makes it a function of the seed: for the test mode alone, which promises nothing.
    """
    key = Ed25519PrivateKey.generate()
    if seed is not None:
        secret = hashlib.sha256(f"fedmotion test key {seed}".encode()).digest()
        key = Ed25519PrivateKey.from_private_bytes(secret)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key at `path`; InputError where it is missing or of another kind."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"signing key {path} does not load: {error.strerror}") from None
    except ValueError:
        raise InputError(f"signing key {path} does not load: restore it from its backup") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"signing key {path} is no Ed25519 key")
    return key


def public_name(key: Ed25519PrivateKey) -> str:
    """The public key in hexadecimal, 64 digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def sign(key: Ed25519PrivateKey, content: bytes) -> dict[str, str]:
    """A signature of `content` as JSON fields."""
    digest = hashlib.sha256(content).hexdigest()
    return {"sha256": digest, "signature": key.sign(digest.encode()).hex()}


def verify(public: str, content: bytes, entry: dict[str, str]) -> bool:
    """Whether `entry` is `public`'s signature of `content`."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(entry["signature"]), digest.encode()
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return entry["sha256"] == digest


def attest(key: Ed25519PrivateKey, purpose: str, *facts: str) -> str:
    """A signature of `facts` in hexadecimal; signed for one `purpose`, it serves no other."""
    return key.sign(json.dumps([purpose, *facts]).encode()).hex()


def attested(public: str, signature: str, purpose: str, *facts: str) -> bool:
    """Whether `signature` is `public`'s over `facts`, made for `purpose`."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(signature), json.dumps([purpose, *facts]).encode()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def read_signatures(path: Path) -> tuple[str, list[dict[str, str]]]:
    """Public key and signatures of a signature file; InputError where it is missing or damaged."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return str(fields["key"]), list(fields["signatures"])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged: restore the run folder or run again") from None
