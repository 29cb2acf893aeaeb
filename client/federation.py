"""Where a site keeps what joins it to a federation, and as whom its two processes run; light to import."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import InputError
from common.validation import one_line

MOST_SOCKET = 107
"""Bytes of a Unix socket's path; longer ones do not bind."""


class FederationTable(BaseModel):
    """`folder`: identity, coordinator's card, agreed plans, state and logs.

    On loopback port `monitoring`, if given, the supervisor answers how the site is (docs/operations.md).

    Started as root, the gate becomes `gate_user` and the messenger `messenger_user` (names or numbers);
    `allow_root` lets both stay root, as in a container of one user.

    `pace` is in seconds: see `client.door.Door`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Path("federation")
    gate_user: int | str | None = None
    messenger_user: int | str | None = None
    allow_root: bool = False
    monitoring: int | None = Field(default=None, ge=1, le=65535)
    pace: float = Field(default=1.0, ge=0, le=3600)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Files and folders of a site below its federation's folder."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "keys" / "site.pem"

    @property
    def node_key(self) -> Path:
        return self.folder / "keys" / "node"

    @property
    def coordinator(self) -> Path:
        return self.folder / "coordinator.json"

    @property
    def agreed(self) -> Path:
        return self.folder / "agreed"

    @property
    def run(self) -> Path:
        """The supervisor's state: written by whoever starts the site, and by none of the two processes."""
        return self.folder / "run"

    @property
    def authority(self) -> Path:
        return self.run / "authority.pem"

    @property
    def programs(self) -> Path:
        """What the messenger finds before Flower's own programs."""
        return self.run / "bin"

    @property
    def gate(self) -> Path:
        """The gate's own folder, which the messenger may enter and not write to."""
        return self.run / "gate"

    @property
    def socket(self) -> Path:
        return self.gate / "gate.sock"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def words(self) -> Path:
        """The gate's folder for what it says in words, which may tell of people: nobody else may enter."""
        return self.logs / "site"

    @property
    def flower(self) -> Path:
        """The messenger's home: FLWR_HOME."""
        return self.folder / "flwr"


class _DataTable(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: Path | None = None
    options: dict[str, Any] = {}


class Outline(BaseModel):
    """What of SITE.toml starting and asking need; the gate itself reads all of it, and says what is wrong."""

    model_config = ConfigDict(frozen=True)

    file: Path = Path()
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    ledger: Path
    data: _DataTable = _DataTable()
    federation: FederationTable

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse `path`; InputError names the key. Relative paths lie beside the file."""
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
            if "federation" not in fields:
                raise InputError(
                    f"{path} has no [federation]: a site that is started says where its keys are"
                )
            outline = cls.model_validate({**fields, "file": path.resolve()})
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {one_line(error, cls)}") from None
        folder = (path.parent / outline.federation.folder).resolve()
        federation = outline.federation.model_copy(update={"folder": folder})
        ledger = (path.parent / outline.ledger).resolve()
        return outline.model_copy(update={"federation": federation, "ledger": ledger})

    @property
    def places(self) -> Places:
        return Places(folder=self.federation.folder)

    def private(self) -> tuple[Path, ...]:
        """What the messenger must not be able to read: the people's data, the ledger, the identity."""
        told = (self.data.path, self.data.options.get("manifest"))
        data = [self.file.parent / path for path in told if isinstance(path, str | Path)]
        layouts = [path.parent for path in data if path.suffix == ".toml"]  # recordings lie beside them
        ledger_key = self.ledger.with_name(f"{self.ledger.name}.key")
        return (*data, *layouts, self.ledger, ledger_key, self.places.identity, self.places.words)

    def guarded(self) -> tuple[Path, ...]:
        """What the messenger must not be able to change: what says whom the gate answers, and its state."""
        places = self.places
        folders = {path.parent for path in (self.file, self.ledger, places.identity, places.coordinator)}
        return (*sorted(folders), self.file, places.coordinator, places.agreed, places.run, places.gate)


def require_short(socket: Path) -> None:
    """InputError where the operating system would not bind a socket of that path."""
    length = len(str(socket).encode())
    if length > MOST_SOCKET:
        raise InputError(
            f"{socket} has {length} bytes, and a socket's path at most {MOST_SOCKET}: set a shorter"
            " [federation] folder"
        )
