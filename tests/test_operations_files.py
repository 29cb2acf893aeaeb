"""Units, images and guides: what they promise is in them, and what they name is there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import client.vitals
import server.vitals
from client.federation import Outline
from client.site import SiteFile
from common.errors import RefusalCode
from server.server_file import ServerFile
from tests.guides import OPERATIONS, blocks

BIN = Path(sys.executable).parent
UNITS = ("fedmotion-site", "fedmotion-server")
IMAGES = ("site", "server")


def unit(name: str) -> str:
    return (OPERATIONS / "systemd" / f"{name}.service").read_text()


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPERATIONS / "container" / f"compose.{name}.yaml").read_text())
    return found["services"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", UNITS)
def test_units_are_valid_and_confined(name: str, tmp_path: Path) -> None:
    """As systemd itself reads them; without it, that each line of defence is there."""
    for line in (
        "ProtectSystem=strict", "ReadWritePaths=/var/lib/fedmotion", "NoNewPrivileges=yes", "PrivateTmp=yes",
        "LimitCORE=0", "UMask=0077", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "RestartPreventExitStatus=2 3", "Restart=on-failure",
    ):  # fmt: skip
        assert f"\n{line}\n" in unit(name), line
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no systemd-analyze on this machine")
    file = tmp_path / f"{name}.service"
    file.write_text(unit(name).replace("/opt/fedmotion/bin/fedmotion", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr.strip()) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=35", str(file)]
    assert subprocess.run(security, capture_output=True).returncode == 0


def test_only_the_site_starts_as_root_and_keeps_no_more_of_it_than_changing_users() -> None:
    assert "\nUser=fedmotion\n" in unit("fedmotion-server")
    assert "\nCapabilityBoundingSet=\n" in unit("fedmotion-server")
    (kept,) = re.findall(r"^CapabilityBoundingSet=(.*)$", unit("fedmotion-site"), re.M)
    assert not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_RAW"} & set(kept.split())


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_clean_pinned_and_of_a_user(name: str) -> None:
    file = OPERATIONS / "container" / f"{name}.Containerfile"
    linted = subprocess.run([str(BIN / "hadolint"), str(file)], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    text = file.read_text()
    assert re.search(r"^FROM \S+:3\.11\.\d+-slim-bookworm$", text, re.M)
    assert re.findall(r"^USER (\d+):\d+$", text, re.M)[-1] != "0"
    assert "HEALTHCHECK" in text and "--no-index" in text and "latest" not in text


def test_the_gates_container_has_no_network_and_the_messengers_no_data() -> None:
    services = compose("site")
    gate, messenger = services["gate"], services["messenger"]
    assert gate["network_mode"] == "none" and "network_mode" not in messenger
    assert gate["user"].split(":")[0] != messenger["user"].split(":")[0]
    for service in (gate, messenger, compose("server")["server"]):
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "privileged" not in service
        assert service["security_opt"] == ["no-new-privileges:true"] and service["ulimits"]["core"] == 0
        assert not service["user"].startswith("0")
    assert "ports" not in gate and "ports" not in messenger
    shared = [volume.rsplit(":", 2)[0] for volume in messenger["volumes"]]
    assert shared == [
        "/var/lib/fedmotion/federation/keys/node",
        "/etc/fedmotion/authority.pem",
        "/var/lib/fedmotion/federation/run/gate",
    ]
    assert all(volume.endswith(":ro") for volume in messenger["volumes"])


def test_the_messengers_command_is_one_that_flower_understands() -> None:
    told = subprocess.run([str(BIN / "flower-supernode"), "--help"], capture_output=True, text=True).stdout
    for argument in compose("site")["messenger"]["command"][1:]:
        assert argument.partition("=")[0] in told, argument


def test_the_files_in_the_guides_are_read(tmp_path: Path) -> None:
    site, config = tmp_path / "SITE.toml", tmp_path / "CONFIG.toml"
    site.write_text(blocks("site-guide.md", "toml")["SITE"])
    config.write_text(blocks("coordinator-guide.md", "toml")["CONFIG"])
    assert SiteFile.read(site).federation is not None and Outline.read(site).federation.monitoring == 9464
    assert ServerFile.read(config).ports.monitoring == 9465
    assert tomllib.loads(site.read_text())["federation"]["gate_user"] == "fedmotion-gate"


def test_every_metric_is_documented_with_the_reason_why_it_is_public() -> None:
    text = (OPERATIONS.parent / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `(fedmotion_\w+)`.*?\|.*\| (.+) \|$", text, re.M))
    measures = (*client.vitals.MEASURES, *server.vitals.MEASURES)
    named = {f"{m.name}_total" if m.kind == "counter" else m.name: m.public for m in measures}
    assert rows == named


def test_the_guides_say_what_to_do_about_every_code() -> None:
    for guide in ("site-guide.md", "coordinator-guide.md"):
        text = (OPERATIONS / guide).read_text()
        known = {code.value for code in RefusalCode} - {"OUTSIDE_PLAN", "UNKNOWN_PLAN", "MALFORMED", "STALE"}
        assert not [code for code in known if f"`{code}`" not in text], guide


def test_the_guides_are_two_pages() -> None:
    """About 600 words a page, tables and commands included."""
    for guide in ("site-guide.md", "coordinator-guide.md"):
        assert len((OPERATIONS / guide).read_text().split()) < 1400


@pytest.mark.parametrize(
    "page", ["operations.md", "operations/site-guide.md", "operations/coordinator-guide.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    path = OPERATIONS.parent / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_wheelhouse_holds_what_is_installed_without_an_index(tmp_path: Path) -> None:
    """The guide's own commands for our wheel; its dependencies are resolved and not fetched."""
    (tmp_path / "fedmotion").symlink_to(OPERATIONS.parents[1])
    ours, torch, rest = blocks("site-guide.md")["wheelhouse"].splitlines()
    assert "--no-deps torch==2.13.0" in torch and "-c fedmotion/constraints.txt" in rest
    resolve = rest.replace("download --dest wheelhouse", "install --dry-run --quiet --ignore-installed")
    for line in (
        ours,
        resolve,
        "packing/bin/pip install --no-index --no-deps --find-links wheelhouse fedmotion",
    ):
        done = subprocess.run(["bash", "-ec", line], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "packing" / "bin" / "fedmotion").exists()
