"""Files: the old content or the new, whatever happens in between; one holder of a lock."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from common.errors import InputError
from common.storage import exclusive, read_json, write_atomically, write_json


def test_a_kill_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([i]) * 200_000 for i in range(2)]
    write_atomically(path, contents[0])
    for delay in (0.002, 0.005, 0.011, 0.023):
        child = os.fork()
        if child == 0:
            while True:
                for content in contents:
                    write_atomically(path, content)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() in contents


def test_a_failed_write_is_one_line_and_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    (tmp_path / ".file.new").mkdir()  # the temporary file cannot be made
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    with pytest.raises(InputError):
        write_atomically(tmp_path / "missing" / "file", b"x")


def test_json_is_read_as_written_and_holds_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None]})
    assert read_json(path) == {"b": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"b": float("nan")})
    assert read_json(path) == {"b": [1, 2.5, None]}


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff\xfe"])
def test_missing_or_damaged_json_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError):
        read_json(path)


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with exclusive(path):
            os.write(write, b"held")
            signal.pause()
    os.read(read, 4)
    with pytest.raises(InputError, match="another process"), exclusive(path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with exclusive(path):
        pass
