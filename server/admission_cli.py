"""The commands `join accept | list | revoke`: the coordinator's side of joining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from common.card import Card, date_of
from common.holder import Holder
from common.key_folder import KeyFolder
from common.storage import write_atomically
from server.admission import Roster
from server.revocation import revoked

ConfigToml = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The server's file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def accept(
    config: ConfigToml,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The site's card, from join request.")],
    fingerprint: Annotated[
        str | None,
        typer.Option(help="What the site's people read out: never taken from the message with the file."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="After a rotation: revoke the site's former key.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the welcome here: this server's card, to hand back.")
    ] = None,
) -> None:
    """Take a site into the roster, once its fingerprint was compared; hand the welcome back to it.

    Only plans made from now on name the site.
    """
    holder = Holder.read(config, "coordinator")
    folder = KeyFolder(holder)
    own = folder.card()
    own.require_current("this server's own", f"prolong it with fedmotion keys renew {config}")
    card = Card.read(file, "site")
    former = Roster(holder.folder).accept(card, fingerprint, replace)
    if out is not None:
        write_atomically(out, folder.card_file.read_bytes())
    again = "" if former is None else ", in place of its former card"
    if former is not None and former.key != card.key:
        again = ", in place of its former key, which is revoked now"
    print(f"{card.name} is in the roster with {card.population} people{again}")
    print(f"it is believed until {date_of(card.valid_until)}")
    print(f"hand back {out or folder.card_file} (fedmotion join welcome SITE.toml FILE), and read out:")
    print(f"fingerprint of {own.name}: {own.fingerprint}")


def listing(config: ConfigToml, as_json: AsJson = False) -> None:
    """The sites of the roster: people, fingerprint, validity, and whether they are revoked."""
    holder = Holder.read(config, "coordinator")
    out = revoked(holder.folder)
    found = [_row(card, card.key in out) for card in Roster(holder.folder).cards()]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found:
        print("no site has joined: fedmotion join accept")
    width = max((len(row["name"]) for row in found), default=0)
    for row in found:
        print(
            f"{row['name']:{width}}  {row['population']:>9,} people  {row['fingerprint']}"
            f"  until {date_of(row['valid_until'])}  {row['state']}"
        )


def revoke(
    config: ConfigToml, name: Annotated[str, typer.Argument(metavar="NAME", help="A site of the roster.")]
) -> None:
    """Believe a site's key no longer: in no new plan, and in no later round of a running one.

    For good: the site joins again with a new key (fedmotion keys rotate).
    """
    holder = Holder.read(config, "coordinator")
    card, news = Roster(holder.folder).revoke(name)
    print(f"the key of {card.name} is revoked" if news else f"the key of {card.name} was revoked already")
    print(f"fingerprint: {card.fingerprint}")


def _row(card: Card, gone: bool) -> dict[str, Any]:
    state = "revoked" if gone else "expired" if card.expired else "accepted"
    return {
        "name": card.name,
        "population": card.population,
        "key": card.key,
        "fingerprint": card.fingerprint,
        "valid_until": card.valid_until,
        "state": state,
    }
