"""Keys that two sites agree on for one attempt at a round, and what one seals for the other under them.

X25519 (RFC 7748), then HKDF-SHA256 (RFC 5869) over what the key is for: a key of one attempt, purpose or
pair of sites serves no other. Sealing is ChaCha20-Poly1305 (RFC 8439).
"""

from __future__ import annotations

import hashlib
import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import Refusal, RefusalCode
from common.secagg.messages import Advertise

_SHARE = "fedmotion share"
_PAIR = "fedmotion mask of a pair"
_OWN = "fedmotion own mask"
_SEED = "fedmotion seed of an own mask"
_NONCE = bytes(12)
"""A sealing key is of one sender, recipient and attempt, and seals one message: its nonce may be fixed."""


def public_half(private: X25519PrivateKey) -> str:
    """The public key in hexadecimal, 64 digits."""
    return private.public_key().public_bytes_raw().hex()


def exchange(private: X25519PrivateKey, public: str) -> bytes:
    """The shared secret, 32 bytes; Refusal where `public` is of low order, which makes it all zeros."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))
    except ValueError:
        reason = f"{public[:80]!r} is no X25519 key that hides anything"
        raise Refusal(RefusalCode.MALFORMED, reason) from None


def derived(secret: bytes, info: bytes) -> bytes:
    """32 bytes from `secret` by HKDF-SHA256 without salt."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def pair_key(private: X25519PrivateKey, public: str, asked: Advertise, site: str, other: str) -> bytes:
    """The key of the mask of two sites, of whose mask keys one is `private` and the other `public`."""
    return derived(exchange(private, public), _context(asked, _PAIR, *sorted((site, other))))


def own_key(seed: bytes, asked: Advertise, site: str) -> bytes:
    """The key of the mask that `site` adds for itself."""
    return derived(seed, _context(asked, _OWN, site))


def commitment(seed: bytes, asked: Advertise, site: str) -> str:
    """What binds `site` to its seed of 256 random bits and says nothing of it, in hexadecimal."""
    return hashlib.sha256(_context(asked, _SEED, site) + seed).hexdigest()


def sealed(
    plain: bytes, private: X25519PrivateKey, public: str, asked: Advertise, sender: str, recipient: str
) -> bytes:
    """`plain` for `recipient`, whose cipher key is `public`; once for each attempt and recipient."""
    context = _context(asked, _SHARE, sender, recipient)
    key = derived(exchange(private, public), context)
    return ChaCha20Poly1305(key).encrypt(_NONCE, plain, context)


def opened(
    box: bytes, private: X25519PrivateKey, public: str, asked: Advertise, sender: str, recipient: str
) -> bytes:
    """The inverse of `sealed`, by the recipient; Refusal for what `sender` did not seal for this."""
    context = _context(asked, _SHARE, sender, recipient)
    key = derived(exchange(private, public), context)
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, box, context)
    except InvalidTag:
        reason = f"what {sender} sealed for {recipient} does not open"
        raise Refusal(RefusalCode.MALFORMED, reason) from None


def _context(asked: Advertise, purpose: str, *sites: str) -> bytes:
    attempt = (purpose, asked.run_id, asked.plan_digest, asked.round, asked.attempt, *sites)
    return json.dumps(attempt).encode()
