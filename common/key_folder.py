"""A holder's keys on disk: made once, each file whole or absent, none ever replaced but by its own command.

Whatever a crash leaves out is made by the next `complete`; what is there stays.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from common.card import CARD, Card, date_of
from common.certificate import is_certificate, make_authority, make_front, valid_until
from common.errors import InputError
from common.holder import Holder
from common.signing import load_key, public_name
from common.storage import exclusive, write_atomically, writing

IDENTITY: Final = {"site": "site.pem", "coordinator": "coordinator.pem"}
NODE: Final = "node"
AUTHORITY_KEY, AUTHORITY = "ca.pem", "ca.crt"
FRONT_KEY, FRONT = "front.key", "front.crt"
SUPEREXEC: Final = "superexec.secret"
RETIRED: Final = "retired"
AGREED: Final = "agreed"
"""In a site's folder: its yes to each plan, in its signature."""
DAYS: Final = 365
WARN_DAYS: Final = 30
_DAY: Final = 86_400


@dataclass(frozen=True)
class KeyFolder:
    """`holder`'s folder with `keys/` and its own card."""

    holder: Holder

    @property
    def keys(self) -> Path:
        return self.holder.folder / "keys"

    @property
    def identity(self) -> Path:
        """The Ed25519 private key (PEM) that signs for the holder."""
        return self.keys / IDENTITY[self.holder.role]

    @property
    def card_file(self) -> Path:
        return self.holder.folder / CARD

    def complete(self, days: int = DAYS) -> list[Path]:
        """Make what is missing, valid for `days`, and return it.

        InputError where that cannot be written, or where a private key is lost whose public half was used.
        """
        made: list[Path] = []
        with self._alone():
            self._make(made, self.identity, _identity_key, of=self.card_file)
            if self.holder.role == "site":
                self._make(made, self.keys / NODE, _node_key, of=self.keys / f"{NODE}.pub")
                self._make(made, self.keys / f"{NODE}.pub", self._node_public)
            else:
                self._make(made, self.keys / AUTHORITY_KEY, _curve_key, of=self.keys / AUTHORITY)
                self._make(made, self.keys / AUTHORITY, self._authority)
                self._make(made, self.keys / FRONT_KEY, _curve_key, of=self.keys / FRONT)
                self._make(made, self.keys / FRONT, lambda: self._front(days))
                self._make(made, self.keys / SUPEREXEC, _secret, private=True)
            if not self._has_card():
                self._issue(days)
                made.append(self.card_file)
        return made

    def card(self) -> Card:
        """The holder's own card; InputError where it is missing or of another key than the one in use."""
        way = "make it with fedmotion keys init"
        if not self.identity.is_file():
            raise InputError(f"{self.identity} is missing: {way}")
        if not self.card_file.is_file():
            raise InputError(f"{self.card_file} is missing: {way}")
        card = Card.read(self.card_file, self.holder.role)
        if card.key != public_name(load_key(self.identity)):
            raise InputError(f"{self.card_file} is of another key than {self.identity}: {way}")
        return card

    def stale(self, card: Card) -> str | None:
        """What the holder's file says otherwise than its `card`; None where they agree."""
        told = {"name": card.name, "declared_population": card.population, "address": card.address}
        said = {
            "name": self.holder.name,
            "declared_population": self.holder.population,
            "address": self.holder.address,
        }
        found = [
            f"{key} is {said[key]} now and {told[key]} on the card" for key in said if said[key] != told[key]
        ]
        if self.holder.role == "coordinator" and card.authority != self._trusted():
            found.append("the front's authority is another than on the card")
        return ", ".join(found) or None

    def renew(self, days: int = DAYS) -> Card:
        """A new card of the same key with what the file says now; of a server, a new front certificate."""
        self.card()
        with self._alone():
            if self.holder.role == "coordinator":
                write_atomically(self.keys / FRONT, self._front(days))
            return self._issue(days)

    def rotate(self, days: int = DAYS) -> tuple[Card, Card]:
        """A new identity: the card of the old one, kept under `keys/retired/`, and the new one.

        The old private key is gone. A crash leaves the old identity, or the new one without its card.
        """
        old = self.card()
        with self._alone():
            retired = self.keys / RETIRED
            with writing(retired):
                retired.mkdir(mode=0o700, exist_ok=True)
            when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            old.write(retired / f"{when}-{old.key[:16]}.json")
            end_agreements(self.holder.folder)
            write_atomically(self.identity, _identity_key(), mode=0o600)
            return old, self._issue(days)

    def retired(self) -> list[Card]:
        """The cards of former identities, the oldest first."""
        files = sorted((self.keys / RETIRED).glob("*.json"))
        return [Card.read(file, self.holder.role) for file in files]

    def warnings(self, card: Card) -> list[str]:
        """What runs out within `WARN_DAYS`, or has, in words."""
        ends = {"the card": card.valid_until}
        if self.holder.role == "coordinator" and (self.keys / FRONT).is_file():
            ends["the front's certificate"] = self._front_until()
        now, found = time.time(), []
        for what, end in ends.items():
            if end <= now:
                found.append(f"{what} ran out on {date_of(end)}: fedmotion keys renew")
            elif end <= now + WARN_DAYS * _DAY:
                days = int((end - now) / _DAY)
                found.append(f"{what} runs out in {days} days, on {date_of(end)}: fedmotion keys renew")
        if (stale := self.stale(card)) is not None:
            found.append(f"{stale}: fedmotion keys renew")
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Alone at work; folders that are made here are their owner's only."""
        with writing(self.keys):
            self.holder.folder.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.holder.folder, self.keys):
                folder.mkdir(mode=0o700, exist_ok=True)
        with exclusive(self.keys / ".lock", patience=5):
            yield

    def _make(
        self,
        made: list[Path],
        path: Path,
        content: Callable[[], bytes],
        *,
        of: Path | None = None,
        private: bool = False,
    ) -> None:
        """Write `path` unless it is there; a private key whose public half is in `of` is not made twice."""
        if path.exists():
            return
        if of is not None and of.exists():
            raise InputError(
                f"{path} is lost, and {of} was made with it: restore it, or remove both and start over"
            )
        write_atomically(path, content(), mode=0o600 if private or of is not None else 0o644)
        made.append(path)

    def _has_card(self) -> bool:
        try:
            self.card()
        except InputError:
            return False
        return True

    def _issue(self, days: int) -> Card:
        """A new card of the key in use, on disk."""
        key, now, holder = load_key(self.identity), int(time.time()), self.holder
        site = holder.role == "site"
        card = Card(
            role=holder.role,
            name=holder.name,
            key=public_name(key),
            issued=now,
            valid_until=now + days * _DAY,
            node_key=(self.keys / f"{NODE}.pub").read_text().strip() if site else "",
            population=holder.population,
            address=holder.address,
            authority="" if site else self._trusted(),
        ).sign(key)
        card.write(self.card_file)
        return card

    def _trusted(self) -> str:
        """The certificate (PEM) that sites check the front's against."""
        path = self.holder.authority or self.keys / AUTHORITY
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise InputError(f"{path} does not load: {error}") from None
        if not is_certificate(text):
            raise InputError(f"{path} is no certificate (PEM)")
        return text

    def _node_public(self) -> bytes:
        try:
            key = load_ssh_private_key((self.keys / NODE).read_bytes(), None)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.keys / NODE} does not load: {error}; restore it") from None
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"

    def _authority(self) -> bytes:
        return make_authority(_load_curve(self.keys / AUTHORITY_KEY), self.holder.name)

    def _front(self, days: int) -> bytes:
        authority = (self.keys / AUTHORITY).read_bytes()
        key, signer = _load_curve(self.keys / FRONT_KEY), _load_curve(self.keys / AUTHORITY_KEY)
        return make_front(key, self.holder.hosts, authority, signer, days)

    def _front_until(self) -> int:
        try:
            return valid_until((self.keys / FRONT).read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{self.keys / FRONT} does not load: {error}; fedmotion keys renew") from None


def end_agreements(folder: Path) -> None:
    """Remove a site's yes to every plan: a gate at work refuses from the next message on."""
    with writing(folder / AGREED):
        for file in (folder / AGREED).glob("*.json"):
            file.unlink()


def _identity_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _secret() -> bytes:
    return secrets.token_hex(32).encode()


def _curve_key() -> bytes:
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _node_key() -> bytes:
    """As `flower-supernode` reads it: a key on a NIST curve, in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _load_curve(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} does not load: {error}; restore it") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path} is no key on an elliptic curve: restore it")
    return key
