"""The certificate that Flower's SuperLink shows on this machine, to the front and to Flower's own tools.

Flower authenticates SuperNodes only where the SuperLink itself speaks TLS, so it does, behind the front.
The authority that signs it signs nothing else: its key is never written.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from common.certificate import make_authority, make_front, valid_until
from common.storage import write_atomically

CERTIFICATE: Final = "superlink.crt"
KEY: Final = "superlink.key"
AUTHORITY: Final = "superlink-ca.crt"
_DAYS: Final = 3650
_LEFT: Final = 365 * 86_400


def prepare_loopback(folder: Path) -> None:
    """Make certificate, key and authority in `folder` where they are missing or have under a year left."""
    if _lasts(folder):
        return
    (folder / AUTHORITY).unlink(missing_ok=True)  # written last: with it, all three belong together
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = make_authority(signer, "loopback")
    certificate = make_front(key, ("localhost", "127.0.0.1"), authority, signer, _DAYS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(folder / KEY, pem, mode=0o600)
    write_atomically(folder / CERTIFICATE, certificate)
    write_atomically(folder / AUTHORITY, authority)


def _lasts(folder: Path) -> bool:
    try:
        left = valid_until((folder / CERTIFICATE).read_bytes()) - time.time()
    except (OSError, ValueError):
        return False
    return left > _LEFT and (folder / KEY).is_file() and (folder / AUTHORITY).is_file()
