"""A server on disk that is ready to plan and to start: keys, a roster of sites, a public start folder."""

from __future__ import annotations

from pathlib import Path

from common.card import Card
from common.holder import Holder
from common.key_folder import KeyFolder
from common.pretrained import Pretrained, Provenance
from server.admission import Roster
from server.server_file import ServerFile
from server.superlink import free_port
from tests.small_site import OPTIONS, assets_of

SITES = ("east", "north", "west")
PEOPLE = 20
ORIGIN = Provenance(origin="made up", sha256="0" * 64, windows=1, steps=1, seed=0, fedmotion="0")


def server_with(folder: Path, sites: tuple[str, ...] = SITES, run: str = "", front: str = "") -> Path:
    """CONFIG.toml in `folder` with all that it names; `run` and `front` are further lines of those tables."""
    folder.mkdir(parents=True, exist_ok=True)
    assets = assets_of("dp_sgd", {**OPTIONS, "train": "bias_norm"})
    design = {name: OPTIONS[name] for name in ("width", "depth")}
    Pretrained("dp_sgd", design, assets, ORIGIN).save(made(folder / "start"))
    port = free_port()
    file = folder / "CONFIG.toml"
    file.write_text(
        f'address = "127.0.0.1:{port}"\n[front]\nhost = "127.0.0.1"\nport = {port}\n{front}\n'
        f'[run]\nstart = "start"\ntrust = "local"\nrounds = 3\n{run}\n'
    )
    KeyFolder(Holder.read(file)).complete()
    for site in sites:
        join(file, site)
    return file


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def join(server: Path, site: str) -> Card:
    """A new site with keys of its own, accepted into the server's roster."""
    file = made(server.parent / site) / "SITE.toml"
    file.write_text(f'name = "{site}"\nledger = "l"\ndeclared_population = {PEOPLE}\n[federation]\n')
    keys = KeyFolder(Holder.read(file))
    keys.complete()
    card = keys.card()
    Roster(ServerFile.read(server).folder).accept(card, card.fingerprint)
    return card
