"""The commands `join request` and `join welcome`: how a site and a coordinator come to know each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from client.membership import COORDINATOR
from common.card import Card, date_of, read_out
from common.certificate import is_certificate
from common.errors import InputError, Refusal, RefusalCode
from common.holder import Holder
from common.key_folder import KeyFolder, end_agreements
from common.storage import write_atomically

SiteToml = Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site's own file.")]
Fingerprint = Annotated[
    str | None,
    typer.Option(
        help="What the others read out, on the telephone or in person: never from the same message."
    ),
]
_PEOPLE: Final = "the coordinator's people"


def request(
    site: SiteToml,
    out: Annotated[Path, typer.Option(help="File to write, for the coordinator.")],
) -> None:
    """Write the site's card for the coordinator: name, public keys, declared population, validity.

    The card is no secret, but it must arrive unchanged: read its fingerprint out to the coordinator.
    """
    folder = KeyFolder(Holder.read(site, "site"))
    card = folder.card()
    card.require_current("this site's own", f"prolong it with fedmotion keys renew {site}")
    if (stale := folder.stale(card)) is not None:
        raise InputError(f"{stale}: make a new card with fedmotion keys renew {site}")
    if out.resolve() != folder.card_file:
        write_atomically(out, folder.card_file.read_bytes())
    print(f"{out}: site {card.name}, {card.population} people, valid until {date_of(card.valid_until)}")
    print(f"fingerprint to read out: {card.fingerprint}")
    print("send the file to the coordinator, and read the fingerprint out on another channel")


def welcome(
    site: SiteToml,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The coordinator's card.")],
    fingerprint: Fingerprint = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Leave the coordinator's former key for this one.")
    ] = False,
) -> None:
    """Keep the coordinator's card: from now on this site answers that coordinator alone.

    Ask the coordinator for the fingerprint on another channel than the one the file came by.
    """
    holder = Holder.read(site, "site")
    KeyFolder(holder).card()
    card = Card.read(file, "coordinator")
    if not card.address or not is_certificate(card.authority):
        raise InputError(f"{file} lacks the server's address or its certificate: ask for it again")
    card.require_current("the coordinator's", "ask for its new one")
    pinned = holder.folder / COORDINATOR
    former = Card.read(pinned, "coordinator") if pinned.exists() else None
    changed = former is not None and former.key != card.key
    if former is not None and changed and not replace:
        raise Refusal(
            RefusalCode.FOREIGN,
            f"this site belongs to coordinator {former.name}, {former.fingerprint}, and the card is of"
            f" another key, {card.fingerprint}: add --replace if {_PEOPLE} say that they rotated it",
        )
    read_out(card, fingerprint, _PEOPLE)
    if changed:
        end_agreements(holder.folder)
    card.write(pinned)
    print(f"joined: coordinator {card.name} at {card.address}, valid until {date_of(card.valid_until)}")
    if changed:
        print("agreements to plans under the former key are void: agree to the new ones")
    if former is not None:
        print("if the site's client runs, restart it: it knows the former card")
    print("nothing runs yet: each run plan is agreed to by its hash (fedmotion join show, join agree)")
