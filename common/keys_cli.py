"""The commands `keys init | show | rotate | renew`, at a site and at the server alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from common.card import Card, date_of
from common.errors import InputError
from common.holder import Holder
from common.key_folder import DAYS, KeyFolder

File = Annotated[
    Path, typer.Argument(metavar="FILE.toml", help="SITE.toml of a site, or CONFIG.toml of the server.")
]
Days = Annotated[int, typer.Option(help="How long the card (and the server's certificate) is valid.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
MOST_DAYS: Final = 3650


def init(file: File, days: Days = DAYS) -> None:
    """Make the keys that FILE.toml still lacks; none is ever replaced, and a broken-off call is completed.

    A site: its identity and its SuperNode's key. The server: its identity, a certificate authority of its
    own, its front's certificate and a secret. Keys stay where they are made, readable by their owner alone.
    """
    folder = _folder(file, days)
    made = folder.complete(days)
    for path in made:
        print(f"made {path}")
    if not made:
        print("every key was there already: nothing was changed")
    _tell(folder, folder.card())


def show(file: File, as_json: AsJson = False) -> None:
    """Who the keys say this is: role, name, the fingerprint to read out, and until when it is valid."""
    folder = _folder(file)
    card = folder.card()
    if not as_json:
        _tell(folder, card)
        return
    found = {
        "role": card.role,
        "name": card.name,
        "key": card.key,
        "fingerprint": card.fingerprint,
        "valid_until": card.valid_until,
        "expired": card.expired,
        "warnings": folder.warnings(card),
        "retired": [{"key": old.key, "fingerprint": old.fingerprint} for old in folder.retired()],
    }
    print(json.dumps(found, indent=2))


def rotate(file: File, days: Days = DAYS) -> None:
    """A new identity key in place of the old one, whose card is kept under keys/retired/ with its date.

    Do it when a key may have been seen by others, or a person who knew it left. Plans that name the old
    key end at their next message; the ledger is untouched, so what people were charged carries over.
    """
    folder = _folder(file, days)
    old, new = folder.rotate(days)
    print(f"retired: {old.fingerprint}")
    print(f"now:     {new.fingerprint}, valid until {date_of(new.valid_until)}")
    for line in _follows(folder.holder, file):
        print(line)


def renew(file: File, days: Days = DAYS) -> None:
    """Prolong without a new key: a card with what FILE.toml says now; at the server the front's certificate.

    Sites go on with the server's old card until it runs out; hand them the new one before.
    """
    folder = _folder(file, days)
    card = folder.renew(days)
    print(f"the card of {card.name} is valid until {date_of(card.valid_until)}: {card.fingerprint}")
    if card.role == "site":
        print(f"hand it to the coordinator again: fedmotion join request {file} --out FILE")
        return
    print(f"front certificate for {', '.join(folder.holder.hosts)}: restart the front to use it")
    print(
        f"hand {folder.card_file} to the sites before their card of this server runs out"
        " (fedmotion join welcome)"
    )


def _follows(holder: Holder, file: Path) -> Iterator[str]:
    """What a rotation asks of people next."""
    if holder.role == "site":
        yield "running plans name the old key and end at their next message: a new plan is needed"
        yield "if the site's client runs, restart it: it knows the old key"
        yield f"send a new request: fedmotion join request {file} --out FILE"
        yield "the coordinator takes it with join accept --replace, after comparing the new fingerprint"
        yield "the ledger is untouched: what people here were charged carries over"
        return
    yield "runs signed with the old key cannot be resumed: stop them, and write new plans"
    yield f"hand {holder.folder / 'card.json'} to every site: fedmotion join welcome --replace"
    yield "the sites then agree to the new plans"


def _tell(folder: KeyFolder, card: Card) -> None:
    who = f"site {card.name}" if card.role == "site" else f"coordinator {card.name} at {card.address}"
    print(f"{who}, valid until {date_of(card.valid_until)}")
    print(f"fingerprint to read out: {card.fingerprint}")
    for warning in folder.warnings(card):
        print(f"note: {warning}")


def _folder(file: Path, days: int = DAYS) -> KeyFolder:
    if not 1 <= days <= MOST_DAYS:
        raise InputError(f"--days is {days}: it must be from 1 to {MOST_DAYS}")
    return KeyFolder(Holder.read(file))
