"""The checkpoint: all that a run needs to go on, and all that the generator is, in one signed file.

`checkpoint.safetensors` holds the method's state and the public assets; its header
holds the plan. `checkpoint.sig` holds signatures of this file and of the one before:
the signature is written first, so a crash between the two writes leaves a valid pair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from common.errors import InputError
from common.generator.assets import Assets, under
from common.generator.generator import Generator
from common.method import Method, PublicState
from common.methods import build
from common.plan import Plan
from common.signing import public_name, read_signatures, sign, verify
from common.storage import write_atomically, write_json

FILE = "checkpoint.safetensors"
SIGNATURE = "checkpoint.sig"
_HEADER = "fedmotion"
KEY = Path("keys") / "coordinator.pem"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A plan, the arrays of its public assets and the state after `state.round` rounds."""

    plan: Plan
    assets: Mapping[str, Tensor]
    state: PublicState

    def method(self) -> Method:
        return build(self.plan.method, self.plan.options, self.loaded_assets())

    def loaded_assets(self) -> Assets:
        """The public assets, built from their arrays."""
        return Assets.from_arrays(self.assets, self.plan.codec, self.plan.text)

    def generator(self) -> Generator:
        return self.method().generator(self.state)

    def save(self, folder: Path, key: Ed25519PrivateKey) -> None:
        """Replace the checkpoint in `folder`, signed with `key`."""
        arrays = {f"assets/{name}": tensor.clone() for name, tensor in self.assets.items()}
        arrays |= {f"state/{name}": tensor.clone() for name, tensor in self.state.arrays.items()}
        # One key: safetensors writes several in an order that changes from file to file.
        metadata = {_HEADER: json.dumps([self.state.round, self.plan.to_json()])}
        content = save(arrays, metadata)
        entries = [sign(key, content)]
        if (folder / FILE).exists():  # what is on disk stays valid until it is replaced
            old = (folder / FILE).read_bytes()
            known = read_signatures(folder / SIGNATURE)[1]
            entries += [entry for entry in known if verify(public_name(key), old, entry)][:1]
        write_json(folder / SIGNATURE, {"key": public_name(key), "signatures": entries})
        write_atomically(folder / FILE, content)

    @classmethod
    def load(cls, folder: Path, signer: str | None = None) -> Checkpoint:
        """The checkpoint in `folder`; InputError where it is missing, damaged or not signed.

        `signer` is the public key to trust; without it the one beside the file, which shows
        damage, and nothing against somebody who signs again with a key of their own.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{path} is missing: {folder} is no run folder, or its run never started")
        public, entries = read_signatures(folder / SIGNATURE)
        if signer not in (None, public):
            raise InputError(
                f"{path} has the signature of another key than {signer}: it was replaced; restore it"
            )
        content = path.read_bytes()
        if not any(verify(public, content, entry) for entry in entries):
            raise InputError(f"{path} does not match its signature: it was changed or damaged; restore it")
        try:
            arrays = load(content)
            length = int.from_bytes(content[:8], "little")
            round, plan = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_HEADER])
            return cls(
                plan=Plan.from_json(plan),
                assets=under("assets/", arrays),
                state=PublicState(round, under("state/", arrays)),
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} does not load: {error}") from None
