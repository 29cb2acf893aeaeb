"""The roster: the cards of the sites whose fingerprints were compared, `roster/NAME.json`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from common.card import Card, date_of, read_out
from common.errors import InputError, Refusal, RefusalCode, way_out
from common.holder import RESERVED
from common.query import is_name
from common.roster import Member
from common.storage import exclusive, writing
from server.revocation import REVOKED, revoke, revoked


@dataclass(frozen=True)
class Roster:
    """The sites accepted in the server's `folder`."""

    folder: Path

    @property
    def _cards(self) -> Path:
        return self.folder / REVOKED.parent

    def cards(self) -> tuple[Card, ...]:
        """Every accepted card in the order of names, revoked and expired ones included."""
        files = [file for file in self._cards.glob("*.json") if file.name != REVOKED.name]
        cards = [Card.read(file, "site") for file in files]
        for file, card in zip(files, cards, strict=True):
            if file.stem != card.name:
                raise InputError(f"{file} is the card of {card.name}: put it back under its own name")
        return tuple(sorted(cards, key=lambda card: card.name))

    def accept(self, card: Card, told: str | None, replace: bool = False) -> Card | None:
        """Take `card` into the roster once `told` is its fingerprint; the card it takes the place of.

        Raises Refusal: nobody compared it, another key has the name (unless `replace`, which revokes that
        key), it is expired, or its key is revoked or another site's.
        """
        card.require_current(
            f"the card of {card.name}: its", f"{card.name} prolongs it: fedmotion keys renew"
        )
        self._require_fit(card)
        with self._alone():
            former = self._former(card, replace)
            read_out(card, told, f"the people of {card.name}")
            if former is not None and former.key != card.key:
                revoke(self.folder, former)
            card.write(self._cards / f"{card.name}.json")
        return former

    def revoke(self, name: str) -> tuple[Card, bool]:
        """Believe the key of site `name` no longer; the card, and whether that is news."""
        cards = {card.name: card for card in self.cards()}
        if name not in cards:
            known = way_out(name, cards) if cards else "the roster is empty"
            raise InputError(f"no site {name} in {self._cards}: {known}")
        with self._alone():
            return cards[name], revoke(self.folder, cards[name])

    def members(self) -> tuple[Member, ...]:
        """Whom a new plan may name, in the order of names: all but the revoked.

        Raises Refusal(EXPIRED) for a card that has run out: it is renewed, or revoked.
        """
        out, found = revoked(self.folder), []
        for card in self.cards():
            if card.key in out:
                continue
            card.require_current(
                f"site {card.name}'s",
                f"it is renewed (fedmotion keys renew), or left out: join revoke {card.name}",
            )
            found.append(
                Member(site=card.name, key=card.key, population=card.population, valid_until=card.valid_until)
            )
        return tuple(found)

    def _require_fit(self, card: Card) -> None:
        if not is_name(card.name) or card.name in RESERVED:
            raise InputError(f"no site may be called {card.name}: it gives itself another name")
        if card.population < 1:
            raise InputError(f"the card of {card.name} lacks its population: ask for it again")
        try:
            node = load_ssh_public_key(card.node_key.encode())
        except (ValueError, UnsupportedAlgorithm):
            node = None
        if not isinstance(node, ec.EllipticCurvePublicKey):
            raise InputError(f"the card of {card.name} lacks a usable key of its node: ask for it again")

    def _former(self, card: Card, replace: bool) -> Card | None:
        """The accepted card of the same name; Refusal where `card` may not take its place."""
        cards = self.cards()
        if card.key in revoked(self.folder):
            raise Refusal(
                RefusalCode.FOREIGN,
                f"the key of {card.name} is revoked: the site makes a new one with fedmotion keys rotate",
            )
        for other in cards:
            same = {"identity": other.key == card.key, "node": other.node_key == card.node_key}
            if other.name != card.name and any(same.values()):
                what = " and ".join(name for name, found in same.items() if found)
                raise Refusal(
                    RefusalCode.FOREIGN,
                    f"the {what} key of {card.name} is that of {other.name}: one site, one name",
                )
        former = next((other for other in cards if other.name == card.name), None)
        if former is not None and former.key != card.key and not replace:
            raise Refusal(
                RefusalCode.FOREIGN,
                f"{card.name} is known with another key, {former.fingerprint}; this card is"
                f" {card.fingerprint}, valid until {date_of(card.valid_until)}: add --replace if its people"
                " say that they rotated it",
            )
        return former

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with writing(self._cards):
            self._cards.mkdir(parents=True, exist_ok=True)
        with exclusive(self._cards / ".lock", patience=5):
            yield
