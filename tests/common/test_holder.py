"""Whose keys they are: read from a site's or a server's file, and a file that does not say is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from common.holder import Holder
from tests.common.test_key_folder import SERVER, SITE, folder_of


def test_a_site_and_a_server_are_told_apart(tmp_path: Path) -> None:
    site = folder_of(tmp_path, SITE).holder
    assert (site.role, site.name, site.population) == ("site", "north", 12)
    assert site.folder == (tmp_path / "fed").resolve()
    server = folder_of(tmp_path, SERVER).holder
    assert (server.role, server.name) == ("coordinator", "coordinator")
    assert server.folder == (tmp_path / "state").resolve()
    assert server.hosts == ("127.0.0.1", "hub.example.org")
    assert folder_of(tmp_path, 'address = "[::1]:9443"').holder.hosts == ("::1",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither a site's file"),
        ("x = ", "is not valid TOML"),
        (SITE.partition("[")[0], r"add a table \[federation\]"),
        (SITE.replace("north", "coordinator"), "none of coordinator, revoked"),
        (SITE.replace("north", "no/rth"), "name is no/rth"),
        (SITE.replace("12", "0"), "declared_population is 0"),
        (SITE.replace("12", "true"), "declared_population is True"),
        (SERVER.replace(":9443", ""), "address is 127.0.0.1"),
        (SERVER.replace('["hub.example.org"]', "3"), "front.names is 3"),
        ("address = 3", "address is 3"),
        ("front = 3\n" + SERVER.partition("[")[0], "front is 3"),
    ],
)
def test_a_file_that_says_not_whose_keys_is_named(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why) as error:
        folder_of(tmp_path, text)
    assert str(tmp_path / "file.toml") in str(error.value)


def test_a_file_of_the_other_role_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(SITE)
    with pytest.raises(InputError, match="this command takes the server's file"):
        Holder.read(tmp_path / "file.toml", "coordinator")
