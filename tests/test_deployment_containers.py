"""The containers' page without an engine: its commands, then what both containers run, as their users.

Of a container the user, the rights and the missing network matter here; setpriv and a namespace give the
same. No image is built, and mounts are this machine's paths: tests/test_operations_files.py looks at both.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
import yaml

from common.holder import Holder
from common.key_folder import KeyFolder
from tests.guides import OPERATIONS, blocks
from tests.machines import Machine, machine, reason_why_not
from tests.test_deployment_guides import until

PAGE = blocks("container/README.md")
COMPOSE = yaml.safe_load((OPERATIONS / "container" / "compose.site.yaml").read_text())["services"]
FOLDER = "/var/lib/fedmotion/federation"
CARD = "/var/lib/fedmotion/coordinator.card.json"
SOCKET = f"{FOLDER}/run/gate/gate.sock"
PROGRAMS = "/opt/fedmotion/bin"
PYTHON = f"{PROGRAMS}/python -P"

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.timeout(600),
    pytest.mark.skipif(reason_why_not() is not None, reason=str(reason_why_not())),
]


def contained(service: str, command: str) -> str:
    """`command` as the user of `service`, without a privilege, and without a network where it has none."""
    user, group = COMPOSE[service]["user"].split(":")
    alone = "unshare --net " if COMPOSE[service].get("network_mode") == "none" else ""
    bare = f"setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --bounding-set=-all"
    home = (
        f"env PATH={PROGRAMS}:$PATH PYTHONUNBUFFERED=1 HOME=/var/tmp TMPDIR=/var/tmp FLWR_HOME=/var/tmp/flwr"
    )
    return f"cd /var/tmp && exec {alone}{bare} {home} {command}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A site that has joined, by the page's commands."""
    folder = tmp_path_factory.mktemp("containers")
    with machine(folder, "north") as made:
        made.run(
            f"{PROGRAMS}/fedmotion data synthesise --out /srv/recordings --people 4 --motions 1 --seed 0\n"
            "chgrp -R 10000 /srv/recordings; chmod -R u=rwX,g=rX,o= /srv/recordings; mkdir -p /etc/fedmotion"
        )
        text = blocks("site-guide.md", "toml")["SITE"]
        left_out = ("gate_user", "messenger_user", "monitoring")
        lines = [line for line in text.splitlines(True) if not line.startswith(left_out)]
        made.path("/etc/fedmotion/SITE.toml").write_text("".join(lines))
        made.run(PAGE["folders"])
        for command in ("ledger init", "keys init"):
            made.run(contained("gate", f"{PROGRAMS}/fedmotion {command} /etc/fedmotion/SITE.toml"))
        config = folder / "CONFIG.toml"
        config.write_text('address = "127.0.0.1:9"\n')
        server = KeyFolder(Holder.read(config))
        server.complete()
        card = made.path(CARD)
        server.card().write(card)
        card.chmod(0o644)
        welcome = f"{PROGRAMS}/fedmotion join welcome /etc/fedmotion/SITE.toml {CARD}"
        made.run(contained("gate", f"{welcome} --fingerprint {server.card().fingerprint}"))
        made.run(PAGE["messenger"])
        yield made


def test_the_gate_runs_alone_and_the_messenger_reaches_its_socket_and_nothing_else(site: Machine) -> None:
    gate = site.start(contained("gate", f"{PYTHON} -m client.service /etc/fedmotion/SITE.toml"))
    healthy = contained("messenger", f"{PYTHON} -m client.remote {SOCKET}")
    until("the gate answers", lambda: gate.poll() is not None or answers(site, healthy), 120)
    assert gate.poll() is None, gate.communicate()[0]
    for private in ("ledger.sqlite", "ledger.sqlite.key", "federation/keys/site.pem", "federation/logs/site"):
        site.run(contained("messenger", f"{PYTHON} -c \"open('/var/lib/fedmotion/{private}')\""), code=1)
    gate.terminate()
    gate.communicate(timeout=60)
    assert gate.returncode == 0


def test_the_messenger_has_its_key_and_looks_for_the_server(site: Machine) -> None:
    """Its command as it stands, with the mounts' paths of this machine; nobody listens at the address."""
    here = {
        "/etc/fedmotion/node": f"{FOLDER}/keys/node",
        "/run/fedmotion/gate.sock": SOCKET,
        "${ADDRESS:?the address on the coordinator's card, host:port}": "127.0.0.1:9",
        "${SITE:?the site's name}": "north",
    }
    command = shlex.join(COMPOSE["messenger"]["command"][1:]).replace("'\"'\"'", "'")
    for mounted, path in here.items():
        command = command.replace(mounted, path)
    started = site.start(contained("messenger", f"timeout 200 {PROGRAMS}/flower-supernode {command}"))
    with started, started.stdout as told:  # type: ignore[union-attr]
        tries = any("Connection attempt failed" in line for line in told)
        started.terminate()
    assert tries


def answers(site: Machine, healthy: str) -> bool:
    started = site.start(healthy)
    started.communicate(timeout=60)
    return started.returncode == 0
