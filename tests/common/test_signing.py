"""Signatures: no changed byte, other key or damaged file passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from common.signing import create_key, load_key, public_name, read_signatures, sign, verify


def test_a_signature_holds_for_its_content_and_key_alone(tmp_path: Path) -> None:
    key, other = create_key(tmp_path / "a.pem"), create_key(tmp_path / "b.pem")
    content = bytes(range(64))
    entry = sign(key, content)
    assert verify(public_name(key), content, entry)
    assert not verify(public_name(other), content, entry)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        assert not verify(public_name(key), bytes(changed), entry)


@pytest.mark.parametrize("harm", [{}, {"signature": "zz"}, {"signature": "00" * 64}, {"signature": None}])
def test_a_damaged_entry_is_no_signature(tmp_path: Path, harm: dict[str, str]) -> None:
    key = create_key(tmp_path / "a.pem")
    entry = {**sign(key, b"x"), **harm} if harm else {}
    assert not verify(public_name(key), b"x", entry)
    assert not verify("not a key", b"x", sign(key, b"x"))


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "coordinator.pem"
    key = create_key(path)
    assert path.stat().st_mode & 0o077 == 0
    assert public_name(load_key(path)) == public_name(key)
    with pytest.raises(FileExistsError):
        create_key(path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"key": "a"}', '{"key": "a", "signatures": 3}'])
def test_a_missing_or_damaged_file_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError):
        read_signatures(path)
    with pytest.raises(InputError, match="No such file" if content is None else "restore it from its backup"):
        load_key(path)


def test_a_signature_file_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text(json.dumps({"key": "ab", "signatures": [{"sha256": "1"}]}))
    assert read_signatures(path) == ("ab", [{"sha256": "1"}])
