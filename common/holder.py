"""Whose keys they are: what an identity needs of SITE.toml or of the server's CONFIG.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from common.card import Role
from common.errors import InputError
from common.query import NAME, is_name, require

RESERVED: Final = frozenset({"coordinator", "revoked"})
"""Names that no site may have: the sender of the server's messages, and a file beside the roster's cards."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A site with its `[federation] folder` and declared `population`, or a server with its `folder`.

    A server's `address` is what sites connect to, host:port; `names` are further hosts of its front, and
    `authority` the certificate (PEM) behind it where that is not its own.
    """

    role: Role
    name: str
    folder: Path
    population: int = 0
    address: str = ""
    names: tuple[str, ...] = ()
    authority: Path | None = None

    @classmethod
    def read(cls, path: Path, role: Role | None = None) -> Self:
        """Whom `path` describes; InputError where it does not say, or says another than `role`.

        Other keys are left to whoever starts the site or the server.
        """
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        try:
            found = cls._of(fields, path.parent)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if role is not None and found.role != role:
            whose = {"site": "a site's file (SITE.toml)", "coordinator": "the server's file (CONFIG.toml)"}
            raise InputError(f"{path} is {whose[found.role]}: this command takes {whose[role]}")
        return found

    @classmethod
    def _of(cls, fields: Mapping[str, Any], base: Path) -> Self:
        if "address" in fields:
            name = _text(fields, "name", "coordinator")
            require("name", name[:80], is_name(name), NAME)
            front = _table(fields, "front")
            names = front.get("names", [])
            require("front.names", names, _texts(names), "a list of host names")
            authority = base / _text(front, "authority") if "authority" in front else None
            address = _text(fields, "address")
            host, _, port = address.rpartition(":")
            require("address", address[:80], bool(host) and _is_port(port), "host:port")
            folder = (base / _text(fields, "folder", "state")).resolve()
            return cls(
                role="coordinator", name=name, folder=folder, address=address, names=tuple(names),
                authority=authority,
            )  # fmt: skip
        if "ledger" not in fields:
            raise InputError("neither a site's file (it has a ledger) nor a server's (it has an address)")
        if "federation" not in fields:
            raise InputError("the site is in no federation: add a table [federation]; see docs/joining.md")
        name, population = _text(fields, "name"), fields.get("declared_population")
        require("name", name[:80], is_name(name), NAME)
        require("name", name, name not in RESERVED, f"none of {', '.join(sorted(RESERVED))}")
        counted = type(population) is int and 1 <= population <= 10**9
        require("declared_population", population, counted, "from 1 to 1e9")
        folder = (base / _text(_table(fields, "federation"), "folder", "federation")).resolve()
        return cls(role="site", name=name, folder=folder, population=population or 0)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the front's certificate is for: the host of the address, then `names`."""
        host = self.address.rpartition(":")[0].removeprefix("[").removesuffix("]")
        return tuple(dict.fromkeys((host, *self.names)))


def _text(fields: Mapping[str, Any], key: str, default: str = "") -> str:
    value = fields.get(key, default)
    require(key, value, isinstance(value, str) and value != "", "a text")
    return str(value)


def _table(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key, {})
    require(key, value, isinstance(value, dict), f"a table: [{key}]")
    return dict(value)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536
