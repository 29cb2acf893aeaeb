"""The configurations for nginx and Caddy keep to the same rules as our own front, on the real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from common.errors import InputError
from server.fleet import MOST_BODY
from server.loopback import AUTHORITY, CERTIFICATE, KEY
from server.proxies import proxy_configuration
from server.server_file import FrontTable, PortsTable, RunTable, ServerFile
from server.superlink import free_port
from tests.server.fronts import (
    FLEET,
    Behind,
    ask,
    check_nothing_else_passes,
    check_the_fleet_passes,
    found,
    post,
    proxy,
    superlink,
)

LOOSE = {"nginx": ("if ($request_uri", "# if ($request_uri"), "caddy": ("expression", "# expression")}


def configured(behind: Behind, **changes: object) -> ServerFile:
    folder = behind.folder
    front = FrontTable(
        kind="external",
        host="127.0.0.1",
        port=free_port(),
        certificate=folder / CERTIFICATE,
        key=folder / KEY,
        authority=folder / CERTIFICATE,
    )
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / AUTHORITY).write_bytes((folder / AUTHORITY).read_bytes())
    made = ServerFile(
        address="localhost:1",
        folder=folder,
        front=front,
        run=RunTable(start=Path("public")),
        ports=PortsTable(superlink=behind.port),
    )
    return made.model_copy(update=changes)


def command(kind: str, text: str, folder: Path) -> list[str]:
    """How to run `kind` in the foreground with the generated file; its own check is run first."""
    program = found(kind)
    if program is None:
        pytest.skip(f"{kind} is not installed")
    file = folder / kind
    file.write_text(text)
    if kind == "caddy":
        check = [program, "validate", "--adapter", "caddyfile", "--config", str(file)]
        start = [program, "run", "--adapter", "caddyfile", "--config", str(file)]
    else:
        whole = folder / "nginx.conf"
        whole.write_text(
            f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{}}\n"
            f"http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
            f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"include {file}; }}\n"
        )
        start = [program, "-p", str(folder), "-c", str(whole), "-e", f"{folder}/error.log"]
        check = [*start, "-t"]
    environment = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"}
    done = subprocess.run(check, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return start


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_the_generated_proxy_lets_the_fleet_pass_and_nothing_else(kind: str, tmp_path: Path) -> None:
    with superlink(tmp_path) as behind:
        config = configured(behind)
        start = command(kind, proxy_configuration(config, kind), tmp_path)
        with proxy(start, config.front.port, tmp_path):
            check_the_fleet_passes(config.front.port, behind)
            check_nothing_else_passes(config.front.port, behind)
            behind.asked.clear()
            ask(config.front.port, tmp_path / AUTHORITY, post(FLEET, b"a" * (MOST_BODY + 1)))
            assert not any(len(asked.body) > MOST_BODY for asked in behind.asked)


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_control_a_proxy_without_the_rule_is_caught(kind: str, tmp_path: Path) -> None:
    with superlink(tmp_path) as behind:
        config = configured(behind)
        text = proxy_configuration(config, kind)
        assert text.count(LOOSE[kind][0]) == 1
        start = command(kind, text.replace(*LOOSE[kind]), tmp_path)
        with proxy(start, config.front.port, tmp_path), pytest.raises(AssertionError):
            check_nothing_else_passes(config.front.port, behind)


def test_a_proxy_that_there_is_no_configuration_for_is_named(tmp_path: Path) -> None:
    with superlink(tmp_path) as behind, pytest.raises(InputError, match="--kind is apache: choose from"):
        proxy_configuration(configured(behind), "apache")


def test_a_path_that_a_proxy_would_misread_is_refused(tmp_path: Path) -> None:
    with superlink(tmp_path) as behind, pytest.raises(InputError, match="cannot stand in"):
        proxy_configuration(configured(behind, folder=tmp_path / "a$b"), "nginx")
