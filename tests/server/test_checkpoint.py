"""The checkpoint: signed, loadable after a crash at any write, refused after any change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save

import server.checkpoint as module
from common.errors import InputError
from common.method import PublicState
from common.signing import create_key, public_name, sign
from common.storage import write_json
from server.checkpoint import FILE, SIGNATURE, Checkpoint
from tests.small_site import make_plan, method_of


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    return create_key(tmp_path / "key.pem")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def after(round: int, variant: float = 0.0) -> Checkpoint:
    plan = make_plan()
    arrays = {name: value + variant for name, value in method_of(plan).init(round).arrays.items()}
    return Checkpoint(plan, {}, PublicState(round, arrays))


def test_a_checkpoint_is_loaded_as_it_was_saved(folder: Path, key: Ed25519PrivateKey) -> None:
    saved = after(3)
    saved.save(folder, key)
    loaded = Checkpoint.load(folder)
    assert loaded.plan.digest() == saved.plan.digest()
    assert loaded.state.digest() == saved.state.digest()
    motions, _ = loaded.generator().sample(2, seed=1)
    assert torch.equal(motions, saved.generator().sample(2, seed=1)[0])


def test_any_flipped_byte_is_refused(folder: Path, key: Ed25519PrivateKey) -> None:
    after(1).save(folder, key)
    content = (folder / FILE).read_bytes()
    for place in [*range(0, 64), *range(64, len(content), len(content) // 200), len(content) - 1]:
        changed = bytearray(content)
        changed[place] ^= 0x10
        (folder / FILE).write_bytes(changed)
        with pytest.raises(InputError, match="signature"):
            Checkpoint.load(folder)
    for cut in (0, 7, 100, len(content) - 1):
        (folder / FILE).write_bytes(content[:cut])
        with pytest.raises(InputError, match="signature"):
            Checkpoint.load(folder)


def test_a_checkpoint_without_its_signature_is_refused(folder: Path, key: Ed25519PrivateKey) -> None:
    after(1).save(folder, key)
    (folder / SIGNATURE).unlink()
    with pytest.raises(InputError):
        Checkpoint.load(folder)
    (folder / FILE).unlink()
    with pytest.raises(InputError, match="no run folder"):
        Checkpoint.load(folder)


class Crash(BaseException):
    pass


def crash_before_the_file(folder: Path, key: Ed25519PrivateKey, checkpoint: Checkpoint) -> None:
    def crash(path: Path, content: bytes) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(module, "write_atomically", crash)
        checkpoint.save(folder, key)


def test_crashes_between_signature_and_file_leave_a_loadable_pair(
    folder: Path, key: Ed25519PrivateKey
) -> None:
    """Twice in a row, with another state each time, as after a round that was asked again."""
    after(1).save(folder, key)
    for variant in (1.0, 2.0, 3.0):
        crash_before_the_file(folder, key, after(2, variant))
        assert Checkpoint.load(folder).state.digest() == after(1).state.digest()
    after(2, 4.0).save(folder, key)
    assert Checkpoint.load(folder).state.digest() == after(2, 4.0).state.digest()


def test_a_replaced_checkpoint_is_no_longer_signed(folder: Path, key: Ed25519PrivateKey) -> None:
    """But for one step back, which a crash needs."""
    contents = []
    for round in (1, 2, 3):
        after(round).save(folder, key)
        contents.append((folder / FILE).read_bytes())
    (folder / FILE).write_bytes(contents[0])
    with pytest.raises(InputError):
        Checkpoint.load(folder)


def test_a_signed_file_that_is_no_checkpoint_is_one_line(folder: Path, key: Ed25519PrivateKey) -> None:
    for content in (b"", b"\xff" * 64, save({"a": torch.zeros(1)}), save({"a": torch.zeros(1)}, {"x": "y"}),
                    save({"a": torch.zeros(1)}, {"fedmotion": "[1]"})):  # fmt: skip
        (folder / FILE).write_bytes(content)
        write_json(folder / SIGNATURE, {"key": public_name(key), "signatures": [sign(key, content)]})
        with pytest.raises(InputError, match="does not load"):
            Checkpoint.load(folder)


def test_a_checkpoint_signed_by_another_key_is_refused_where_the_key_is_known(
    folder: Path, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    after(1).save(folder, create_key(tmp_path / "other.pem"))
    assert Checkpoint.load(folder).state.round == 1
    with pytest.raises(InputError, match="another key"):
        Checkpoint.load(folder, public_name(key))
