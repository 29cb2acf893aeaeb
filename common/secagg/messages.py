"""What server and sites say in one attempt at a securely aggregated round, in its order.

Advertise -> Keys; Cohort -> Shared; Query (with what the others sealed) -> Release, masked;
Confirm -> Confirmed; Unmask -> Unmasked. Fields are those of `protos/gate.proto`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import InputError
from common.query import NAME, is_name, require, sha256_of
from common.signing import attest, attested
from common.witness import is_hex

_KEYS = "fedmotion ephemeral keys"
_SURVIVORS = "fedmotion survivors"


@dataclass(frozen=True, kw_only=True)
class Advertise:
    """Asks a site for new ephemeral keys; `attempt` is 32 hexadecimal digits that the server chose."""

    run_id: str
    plan_digest: str
    round: int
    attempt: str

    def __post_init__(self) -> None:
        require("attempt", self.attempt[:80], is_hex(self.attempt, 16), "32 digits of hexadecimal")
        require("round", self.round, self.round >= 1, "1 or more")

    def repeats(self, asked: Advertise) -> bool:
        """Whether it is of the attempt `asked`."""
        own = (self.run_id, self.plan_digest, self.round, self.attempt)
        return own == (asked.run_id, asked.plan_digest, asked.round, asked.attempt)


@dataclass(frozen=True, kw_only=True)
class Keys(Advertise):
    """A site's X25519 public keys for one attempt, in hexadecimal, in its identity's signature."""

    site: str
    cipher_key: str
    mask_key: str
    signature: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("site", self.site[:80], is_name(self.site), NAME)
        for name, key in (("cipher_key", self.cipher_key), ("mask_key", self.mask_key)):
            require(name, key[:80], is_hex(key, 32), "64 digits of hexadecimal")

    def signed(self, identity: Ed25519PrivateKey) -> Keys:
        """These keys in the signature of `identity`."""
        return replace(self, signature=attest(identity, _KEYS, *self._facts()))

    def signed_by(self, public: str) -> bool:
        """Whether the identity `public` made these keys."""
        return attested(public, self.signature, _KEYS, *self._facts())

    def _facts(self) -> tuple[str, ...]:
        return (
            self.run_id, self.plan_digest, str(self.round), self.attempt,
            self.site, self.cipher_key, self.mask_key,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cohort(Advertise):
    """All sites whose keys arrived, in the order of names: whose masks may meet in this attempt's sum."""

    keys: tuple[Keys, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [keys.site for keys in self.keys]
        if names != sorted(set(names)):
            raise InputError("a cohort's sites stand in the order of their names, each once")

    def digest(self) -> str:
        """SHA-256 over attempt and keys: what a Query of this attempt names."""
        return sha256_of(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Shares:
    """From one site to another, sealed: the server cannot read it."""

    sender: str
    recipient: str
    sealed: bytes


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A site's shares for every other site of the cohort, and a commitment to its own mask's seed."""

    site: str
    cohort: str
    shares: tuple[Shares, ...]
    commitment: str

    def __post_init__(self) -> None:
        require("site", self.site[:80], is_name(self.site), NAME)
        require("commitment", self.commitment[:80], is_hex(self.commitment, 32), "64 digits of hexadecimal")


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """Whose masked vectors arrived, in the order of names."""

    run_id: str
    plan_digest: str
    round: int
    cohort: str
    survivors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A site's signature of one list of survivors and of the model state that it answered, of one an attempt.

    The state is not sent: who checks the signature knows its own, and where that is another it does not hold.
    """

    site: str
    cohort: str
    signature: str

    @staticmethod
    def sign(identity: Ed25519PrivateKey, site: str, asked: Confirm, state_digest: str) -> Confirmed:
        signature = attest(identity, _SURVIVORS, *_list(site, asked, state_digest))
        return Confirmed(site=site, cohort=asked.cohort, signature=signature)

    def signed_by(self, public: str, asked: Confirm, state_digest: str) -> bool:
        """Whether the identity `public` signed the list in `asked`, having answered that state."""
        facts = _list(self.site, asked, state_digest)
        return self.cohort == asked.cohort and attested(public, self.signature, _SURVIVORS, *facts)


def _list(site: str, asked: Confirm, state: str) -> tuple[str, ...]:
    return (site, asked.run_id, asked.plan_digest, str(asked.round), asked.cohort, state, *asked.survivors)


@dataclass(frozen=True, kw_only=True)
class Unmask(Confirm):
    """The same list with the signatures of at least the threshold of sites."""

    confirmed: tuple[Confirmed, ...]

    def repeats(self, asked: Confirm) -> bool:
        """Whether it names the list in `asked`."""
        own = (self.run_id, self.plan_digest, self.round, self.cohort, self.survivors)
        return own == (asked.run_id, asked.plan_digest, asked.round, asked.cohort, asked.survivors)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of `of`'s secret: its own mask's seed if it survived, its mask key if it did not."""

    of: str
    survivor: bool
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Unmasked:
    """A site's shares, one for each of the cohort, itself among them if it survived."""

    site: str
    cohort: str
    shares: tuple[Share, ...]
