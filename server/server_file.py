"""CONFIG.toml: where the coordinator lives, what sites connect to, and what its next run asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import InputError
from common.event import MOST_SITES_PER_PERSON, Unit
from common.query import NAME, is_name
from common.roster import MOST_MEMBERS
from common.validation import one_line

MOST_ROUNDS = 1_000_000
_MOST_DEADLINE = 86_400.0
_FILES = ("certificate", "key", "authority")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FrontTable(_Table):
    """What faces the network: our own process, or a proxy of the operator's in front of `superlink`."""

    kind: Literal["builtin", "external"] = "builtin"
    host: str = Field(default="0.0.0.0", min_length=1)
    port: int = Field(default=9443, ge=1, le=65_535)
    names: tuple[str, ...] = Field(default=(), strict=False)
    certificate: Path | None = Field(default=None, strict=False)
    key: Path | None = Field(default=None, strict=False)
    authority: Path | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if len({given is None for given in (self.certificate, self.key, self.authority)}) > 1:
            raise ValueError(
                "front.certificate, front.key and front.authority belong together: give all three, or none"
            )
        return self


class PortsTable(_Table):
    """Ports on the loopback interface alone; None: any that is free, another at every start."""

    superlink: int | None = Field(default=None, ge=1, le=65_535)
    monitoring: int | None = Field(default=None, ge=1, le=65_535)


class RunTable(_Table):
    """What the next run plan asks for; `rounds`, `sampling_rate` and `clip_norm` are by default as the
    method usually takes them; the method `auto` is the recommended one. A test holds the two limits that are
    written here, of `train` and `epsilon`, against the code that they come from, which takes seconds to
    import."""

    start: Path = Field(strict=False)
    method: str = "dp_sgd"
    options: dict[str, int | float | str] = {}
    train: Literal["all", "attention", "lora", "bias_norm", "condition"] | None = None
    rank: int | None = Field(default=None, ge=1, le=64)
    epsilon: float = Field(default=8.0, gt=0, le=100)
    delta: float | None = Field(default=None, ge=1e-12, lt=1)
    rounds: int | None = Field(default=None, ge=1, le=MOST_ROUNDS)
    sampling_rate: float | None = Field(default=None, ge=1e-6, le=1)
    clip_norm: float | None = Field(default=None, ge=1e-6, le=1e6)
    trust: Literal["local", "secagg"] = "secagg"
    unit: Unit = "user"
    min_sites: int | None = Field(default=None, ge=1, le=MOST_MEMBERS)
    colluders: int = Field(default=1, ge=1, le=MOST_MEMBERS)
    sites_per_person: int = Field(default=1, ge=1, le=MOST_SITES_PER_PERSON)
    steps_per_round: int = Field(default=1, ge=1, le=1000)
    loss_curve: bool = False
    compression: Literal["none", "bf16", "top_k"] = "none"
    keep: float | None = Field(default=None, gt=0, le=1)
    shard_size: int = Field(default=0, ge=0, le=10**9)
    deadline: float = Field(default=600.0, ge=10, le=_MOST_DEADLINE)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "auto" and (self.options or self.train is not None):
            raise ValueError('run.options and run.train are of one method: name it instead of "auto"')
        if taken := sorted({"total_rounds", "train", "rank"} & set(self.options)):
            key = {"total_rounds": "rounds"}.get(taken[0], taken[0])
            raise ValueError(f"run.options.{taken[0]} has a key of its own: set run.{key} instead")
        if self.rank is not None and self.train != "lora":
            raise ValueError('run.rank is of train = "lora": leave it out, or set run.train')
        if self.steps_per_round > 1 and self.trust != "local":
            raise ValueError('run.steps_per_round above 1 needs trust = "local": set it to 1')
        if self.compression != "none" and self.trust != "local":
            raise ValueError('run.compression needs trust = "local": masked words do not compress')
        if (self.compression == "top_k") != (self.keep is not None):
            raise ValueError('run.keep is the share that compression = "top_k" sends: give both')
        return self


class ServerFile(_Table):
    """CONFIG.toml, explained key by key in docs/server.md."""

    name: str = "coordinator"
    folder: Path = Field(default=Path("state"), strict=False)
    address: str
    front: FrontTable = FrontTable()
    run: RunTable
    ports: PortsTable = PortsTable()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"it must be {NAME}")
        return name

    @field_validator("address")
    @classmethod
    def _address(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        plain = host and not set(host) & set("/@?# \t\n") and port.isascii() and port.isdigit()
        if not plain or not 1 <= int(port) <= 65_535:
            raise ValueError("it must be host:port, such as motion.example.org:9443")
        return address

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.front.kind == "external" and self.ports.superlink is None:
            raise ValueError(
                'front.kind = "external" needs ports.superlink, where the proxy finds it: set it'
            )
        if self.front.kind == "builtin" and self.front.port == self.ports.superlink:
            raise ValueError(f"front.port and ports.superlink are both {self.front.port}: change one")
        return self

    @property
    def host(self) -> str:
        """The name in `address`, which the front's certificate must carry."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def certificate(self) -> Path:
        """The front's certificate: the operator's own, or the one that `fedmotion keys init` made."""
        return self.front.certificate or self.folder / "keys" / "front.crt"

    @property
    def key(self) -> Path:
        """The private key of `certificate`."""
        return self.front.key or self.folder / "keys" / "front.key"

    @classmethod
    def read(cls, path: Path) -> ServerFile:
        """Parse `path`; InputError names the key. Relative paths lie beside the file."""
        try:
            found = cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {one_line(error, cls)}") from None
        beside = path.resolve().parent
        front: dict[str, Any] = {key: beside / value for key, value in found.front if key in _FILES and value}
        return found.model_copy(
            update={
                "folder": beside / found.folder,
                "front": found.front.model_copy(update=front),
                "run": found.run.model_copy(update={"start": beside / found.run.start}),
            }
        )
