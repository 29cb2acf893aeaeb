"""A site's own file, and the gate it opens: data, budget, policy and ledger in one place."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.datasets import DataOptions, DataSet, check_unit, open_data_set
from client.door import Door
from client.federation import FederationTable
from client.gate import LocalGate
from client.ledger import Budget, Ledger
from client.membership import Membership
from client.policy import SitePolicy
from client.speed import Engine, Precision, Speed
from client.users import Share, Users, load_users
from common.errors import FedmotionError, InputError
from common.event import MOST_SITES_PER_PERSON, MOST_STEPS, Trust, Unit
from common.noise import Source
from common.roster import MOST_MEMBERS
from common.validation import one_line

_log = logging.getLogger("fedmotion.service")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataTable(_Table):
    """Where the site's people are: `path` (absent: procedural people) and how to read it."""

    path: Path | None = None
    options: DataOptions = DataOptions()

    def beside(self, folder: Path) -> DataTable:
        """The same with relative paths seen from `folder`; an option may also name a file inside the data."""
        if self.path is None:
            return self
        given = {name: getattr(self.options, name) for name in ("manifest", "joints")}
        files = {name: (folder / value).resolve() for name, value in given.items() if value is not None}
        there: dict[str, Any] = {name: str(file) for name, file in files.items() if file.exists()}
        return DataTable(path=(folder / self.path).resolve(), options=replace(self.options, **there))


class ShareTable(_Table):
    """Which people of the data set are this site's."""

    seed: int = 0
    start: float = Field(default=0.0, ge=0, le=1)
    stop: float = Field(default=1.0, ge=0, le=1)
    column: str | None = None
    value: str | None = None


class BudgetTable(_Table):
    """A unit's lifetime budget at this site."""

    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)


class SpeedTable(_Table):
    """How fast and with what: `memory` in MiB bounds what the people computed at once take."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    engine: Engine = "auto"
    units: int = Field(default=64, ge=1, le=4096)
    memory: int = Field(default=512, ge=16)
    precision: Precision = "float32"

    def speed(self) -> Speed:
        """These settings with the device found; raises InputError where it is missing."""
        return Speed(
            device=resolve_device(self.device),
            engine=self.engine,
            units=self.units,
            memory=self.memory * 2**20,
            precision=self.precision,
        )


class PolicyTable(_Table):
    """What a plan must keep to beyond unit, trust and methods: see `SitePolicy`."""

    min_noise_multiplier: float = Field(default=0.0, ge=0, le=1e6)
    max_sampling_rate: float = Field(default=1.0, gt=0, le=1)
    max_rounds: int = Field(default=MOST_STEPS, ge=1, le=MOST_STEPS)
    min_cohort: float = Field(default=0.0, ge=0, le=1e9)
    max_motions: int | None = Field(default=None, ge=1)
    min_sites_per_person: int = Field(default=1, ge=1, le=MOST_SITES_PER_PERSON)
    min_survivors: int = Field(default=1, ge=1, le=MOST_MEMBERS)
    min_colluders: int = Field(default=1, ge=1, le=MOST_MEMBERS)


class SiteFile(_Table):
    """SITE.toml, explained key by key in docs/site.md.

    `test_seed` switches on the explicit test mode, which carries no guarantee.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    ledger: Path
    unit: Unit
    trust: tuple[Trust, ...] = ("local",)
    methods: tuple[str, ...]
    declared_population: int = Field(ge=1)
    budget: BudgetTable
    policy: PolicyTable = PolicyTable()
    data: DataTable = DataTable()
    share: ShareTable = ShareTable()
    speed: SpeedTable = SpeedTable()
    federation: FederationTable | None = None
    test_seed: int | None = None

    @classmethod
    def read(cls, path: Path) -> SiteFile:
        """Parse `path`; InputError names the key. Relative paths lie beside the file."""
        try:
            site = cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {one_line(error, cls)}") from None
        moved: dict[str, Any] = {
            "ledger": (path.parent / site.ledger).resolve(),
            "data": site.data.beside(path.parent),
        }
        if site.federation is not None:
            folder = (path.parent / site.federation.folder).resolve()
            moved["federation"] = site.federation.model_copy(update={"folder": folder})
        return site.model_copy(update=moved)

    def rules(self) -> SitePolicy:
        """What the site refuses, budget apart."""
        return SitePolicy(unit=self.unit, trust=self.trust, methods=self.methods, **dict(self.policy))

    def create_ledger(self) -> None:
        """Make the site's ledger, once; raises InputError where one exists."""
        budget = Budget(epsilon=self.budget.epsilon, delta=self.budget.delta)
        Ledger.make(self.ledger, self.name, self.unit, budget)

    def users(self, data: DataSet | None = None) -> Users:
        """Read the site's people from `data`, by default the data set that the file names."""
        if data is None:
            data = open_data_set(self.data.path, self.data.options)
        check_unit(data, self.unit)
        return load_users(data, Share(**self.share.model_dump()), self.unit)

    def people(self) -> tuple[str, ...]:
        """The site's people, as the data set names them."""
        return Share(**self.share.model_dump()).select(open_data_set(self.data.path, self.data.options))

    def open_door(self, data: DataSet | None = None) -> Door:
        """The site as messages reach it: its gate, under seal where it is a member of a federation."""
        membership = None if self.federation is None else self.membership()
        return Door(self.open_gate(data, None if membership is None else membership.key), membership)

    def open_resident(self) -> Door:
        """The site as a service has it: its people are read now, so that nothing is found amiss later."""
        membership = self.membership()
        gate = self.open_gate(identity=membership.key)
        try:
            gate.read_people()
        except FedmotionError as error:
            gate.close()
            _log.warning("the people do not read: %s", error)
            raise InputError("the site's recordings do not read: its site.log says why") from None
        except BaseException:
            gate.close()
            raise
        return Door(gate, membership)

    def membership(self) -> Membership:
        """The site's place in its federation; InputError where it has none, or has not joined yet."""
        if self.federation is None:
            raise InputError(f"site {self.name} is in no federation: add a table [federation] to its file")
        return Membership.open(self.name, self.federation.folder, self.declared_population)

    def open_gate(self, data: DataSet | None = None, identity: Ed25519PrivateKey | None = None) -> LocalGate:
        """The site's gate; its people are read after the first charge. `identity` is the site's in rosters.

        Raises InputError where the ledger was made with another budget than the file now has.
        """
        speed, ledger = self.speed.speed(), Ledger.open(self.ledger)
        made, said = ledger.budget, Budget(epsilon=self.budget.epsilon, delta=self.budget.delta)
        if made != said:
            ledger.close()
            raise InputError(
                f"{self.ledger} was made with epsilon {made.epsilon:g} at delta {made.delta:g}, the site's"
                f" file says {said.epsilon:g} at {said.delta:g}: a ledger keeps its budget, put it back"
            )
        return LocalGate(
            ledger=ledger,
            policy=self.rules(),
            declared_population=self.declared_population,
            people=lambda: self.users(data),
            source=Source(self.test_seed),
            speed=speed,
            identity=identity,
        )


def resolve_device(name: str) -> str:
    """`auto` is CUDA where there is one; asking for a missing CUDA is an InputError."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device = cuda, but no CUDA device is available: use auto or cpu")
    return "cuda" if name != "cpu" and available else "cpu"
