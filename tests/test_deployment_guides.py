"""Both guides followed to the letter: three sites and a server, each on a machine of its own.

What a person would type is taken from the guides; only the site's name, the number of rounds and what was
said on the telephone are filled in. The machines are namespaces (tests/machines.py), systemd is emulated
(tests/systemctl.py), and the installation is this one: tests/test_operations_files.py looks at the rest.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.guides import blocks
from tests.machines import Machine, machines, reason_why_not

SITES = ("north", "east", "west")
SITE, SERVER = blocks("site-guide.md"), blocks("coordinator-guide.md")
FOLLOWED_AT_A_SITE = [
    "users", "keys", "request", "welcome", "agree", "start", "watch", "backup", "withdraw", "stop",
]  # fmt: skip
FOLLOWED_AT_THE_SERVER = [
    "user", "start-point", "keys", "accept", "plan", "start", "watch", "pause", "backup", "resume", "publish",
    "revoke",
]  # fmt: skip
PUBLIC = "people = 24\nsteps = 20\n"
STATE = "/var/lib/fedmotion/state"
OVER_THE_NETWORK = """
import http.client, ssl, socket
def status(path):
    context = ssl.create_default_context(cafile="/var/lib/fedmotion/federation/run/authority.pem")
    asked = http.client.HTTPSConnection("motion.example.org", 9443, context=context, timeout=20)
    asked.request("POST", path, body=b"")
    return asked.getresponse().status
def reached(address, port):
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError:
        return False
    return True
"""

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(reason_why_not() is not None, reason=str(reason_why_not())),
]


def until(what: str, holds: Callable[[], object], seconds: float = 400.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(1)


def at(site: Machine, name: str, **said: str) -> str:
    """One block of the site's guide, with this site's name for north."""
    return site.run(SITE[name].replace("north", site.name), environment=said)


def fingerprint(said: str) -> str:
    """What one reads out on the telephone."""
    return str(re.findall(r"(?:[A-Z2-7]{4}-){7}[A-Z2-7]{4}", said)[-1])


def carry(source: Machine, path: str, target: Machine, to: str) -> None:
    """A file sent by mail: its bytes alone arrive."""
    target.path(to).write_bytes(source.path(path).read_bytes())
    target.path(to).chmod(0o644)


def prepared(site: Machine, number: int) -> None:
    """Recordings as a site has them, and its file as the guide shows it."""
    site.run(
        f"/opt/fedmotion/bin/fedmotion data synthesise --out /srv/recordings --people 8 --motions 2"
        f" --seed {number} --actions walk,wave --sites 1"
    )
    at(site, "users")
    text = blocks("site-guide.md", "toml")["SITE"].replace('"north"', f'"{site.name}"')
    site.path("/etc/fedmotion/SITE.toml").write_text(text)
    at(site, "keys")


def founded(server: Machine) -> None:
    server.run(SERVER["user"])
    server.path("/etc/fedmotion/PUBLIC.toml").write_text(PUBLIC)
    server.run(SERVER["start-point"])
    text = blocks("coordinator-guide.md", "toml")["CONFIG"].replace("rounds = 3", "rounds = 2")
    server.path("/etc/fedmotion/CONFIG.toml").write_text(text)
    server.run(SERVER["keys"])


def joined(server: Machine, site: Machine) -> None:
    """Cards by mail, fingerprints on the telephone; a wrong one is refused at both ends."""
    read_out = fingerprint(at(site, "request"))
    card = f"/var/lib/fedmotion/{site.name}.card.json"
    carry(site, card, server, card)
    accept = SERVER["accept"].replace("north", site.name)
    server.run(accept, code=3, environment={"FINGERPRINT": "-".join(["AAAA"] * 8)})
    heard = fingerprint(server.run(accept, environment={"FINGERPRINT": read_out}))
    welcome = "/var/lib/fedmotion/coordinator.card.json"
    carry(server, welcome, site, welcome)
    at(site, "welcome", FINGERPRINT=heard)


def agreed(server: Machine, sites: list[Machine]) -> None:
    said = server.run(SERVER["plan"])
    (digest,), (plan,) = re.findall(r"\b[0-9a-f]{64}\b", said), re.findall(r"(/\S+plan\.json)", said)
    for site in sites:
        carry(server, plan, site, "/var/lib/fedmotion/plan.json")
    at_once(lambda site: at(site, "agree", HASH=digest), sites)


def at_once(what: Callable[[Machine], object], sites: list[Machine]) -> None:
    """Sites do not wait for each other."""
    with ThreadPoolExecutor(len(sites)) as pool:
        list(pool.map(what, sites))


def state_of(server: Machine) -> str:
    """What the run says of itself, nothing before it began."""
    told = list(server.path(f"{STATE}/runs").glob("*/status.json"))
    return str(json.loads(told[0].read_text())["state"]) if told else ""


def runs(server: Machine) -> bool:
    """Whether the server's supervisor says that it is at work."""
    told = json.loads(server.path(f"{STATE}/run/supervisor.json").read_text())
    return told["state"] in ("starting", "running", "stopping")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, list[Machine]]]:
    """All joined and agreed, nothing started."""
    with machines(tmp_path_factory.mktemp("machines"), "server", SITES) as made:
        server, sites = made["server"], [made[name] for name in SITES]
        founded(server)
        at_once(lambda site: prepared(site, sites.index(site)), sites)
        for site in sites:
            joined(server, site)
        agreed(server, sites)
        yield server, sites


def test_every_command_of_the_guides_is_followed() -> None:
    assert {*FOLLOWED_AT_A_SITE, "wheelhouse", "install"} == set(SITE)
    assert set(FOLLOWED_AT_THE_SERVER) == set(SERVER)


def test_three_sites_and_a_server_follow_their_guides_to_a_published_generator(
    federation: tuple[Machine, list[Machine]],
) -> None:
    server, sites = federation
    for site in sites:
        at(site, "start")
    server.run(SERVER["start"])
    until("the first round is under way", lambda: state_of(server) == "round 1")
    server.run(SERVER["pause"])
    at_once(watched, sites)
    at(sites[0], "backup")
    at(sites[1], "withdraw", PERSON="person-that-nobody-knows")
    until("it pauses", lambda: state_of(server) == "paused")
    check_logs(sites[0])
    said = server.run(SERVER["watch"])
    assert "paused, round 1 of 2" in said and "\nfedmotion_server_round 1.0\n" in said
    server.run(SERVER["backup"])
    server.run(SERVER["resume"])
    until("the server has ended", lambda: state_of(server) == "finished" and not runs(server))
    assert "server: finished" in server.run(STATUS)
    published(server)
    server.run(SERVER["revoke"])
    for site in sites:
        at(site, "stop")


def watched(site: Machine) -> None:
    site.run(
        "curl --silent --retry 60 --retry-delay 2 --retry-all-errors --fail http://127.0.0.1:9464/readyz"
    )
    said = at(site, "watch")
    assert "gate running" in said and "connected" in said and "fedmotion_site_epsilon_left" in said
    check_network(site)


def published(server: Machine) -> None:
    """A generator with its report, of all rounds, one of them before the server was stopped."""
    server.run(SERVER["publish"])
    (run,) = server.path(f"{STATE}/runs").iterdir()
    told = json.loads((run / "run.json").read_text())
    assert told["privacy"]["trust"] == "secagg" and told["rounds"] == 2
    assert (run / "report.html").exists()
    assert [json.loads(line)["round"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert len(list(server.path("/var/lib/fedmotion/samples").rglob("*.bvh"))) == 4


STATUS = "coordinator server status /etc/fedmotion/CONFIG.toml || true"


def check_network(site: Machine) -> None:
    """No inbound port, one way out, and nothing behind it but the fleet's calls; the gate has no socket."""
    listening = site.run("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" {print $2}'").split()
    assert listening, "the SuperNode and the monitoring listen on loopback"
    assert all(address.startswith(("0100007F:", "0" * 24 + "01000000:")) for address in listening)
    script = OVER_THE_NETWORK + (
        "print(status('/v1/control/start-run'), status('/v1/runtime/x'), status('/v1/fleet/x'),"
        " reached('motion.example.org', 8443), reached('10.77.9.2', 22))"
    )
    said = site.run(f"/opt/fedmotion/bin/python - <<'END'\n{script}\nEND\n")
    assert said.split() == ["404", "404", "404", "False", "False"]
    gate = site.run("pgrep -u fedmotion-gate -f client.service").split()[0]
    own = site.run(f"ls -l /proc/{gate}/fd | grep -o 'socket:\\[[0-9]*' | tr -dc '0-9\\n'").split()
    network = site.run("cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | awk '{print $10}'")
    assert own and not set(own) & set(network.split())


def check_logs(site: Machine) -> None:
    """The events name no recording and nobody; the words are the gate's user's alone."""
    logs = site.path("/var/lib/fedmotion/federation/logs")
    names = {file.name.split("_")[0] for file in site.path("/srv/recordings").rglob("*.bvh")}
    events = [json.loads(line) for line in (logs / "gate.log").read_text().splitlines()]
    assert names and {"answered", "process_started"} <= {event["event"] for event in events}
    for file in (
        logs / "gate.log",
        logs / "supernode.log",
        Path(f"{site.path('/var/log')}/fedmotion-site.log"),
    ):
        assert not [name for name in names if name in file.read_text()], file.name
    owner = site.run("stat --format='%U %a' /var/lib/fedmotion/federation/logs/site/site.log")
    assert owner.split() == ["fedmotion-gate", "600"]
