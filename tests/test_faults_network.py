"""Sites in networks of their own: cut off, all at once, on bad lines; they reach the front, nothing them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.deployed import Federation
from tests.namespaces import Network, listening, network
from tests.process_tree import left_behind
from tests.reckoning import all_back, latest, require_consistent, under_way

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(900)]
PARTITION = 30.0  # seconds
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
Note = Callable[[str, object], None]


@dataclass(frozen=True)
class Apart:
    """A federation whose sites run in a network."""

    federation: Federation
    network: Network


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Three sites, each in a namespace, whose run goes on with any two and does not end by itself."""
    sites = ("east", "north", "west")
    with network(sites) as made:
        federation = Federation(
            tmp_path_factory.mktemp("network"), sites=sites, trust="local", rounds=2000, min_sites=2,
            deadline=20, host=made.address, around={site: made.around(site) for site in sites},
        )  # fmt: skip
        federation.prepare()
        with under_way(federation):
            yield Apart(federation, made)


def test_a_site_needs_no_inbound_port_and_cannot_reach_the_control_interface(apart: Apart) -> None:
    """In a site's network all that listens is on its own loopback; of the server it finds the front alone."""
    site, federation = "east", apart.federation
    assert listening(federation.process(site, "supernode")) <= LOOPBACK
    ports = {port for _, port in _ours(federation)}
    front = int(federation.server.read_text().partition("port = ")[2].partition("\n")[0])
    assert front in ports and len(ports) >= 2
    reached = {
        port
        for port in ports
        for host in ("127.0.0.1", apart.network.address)
        if _reach(apart, site, host, port)
    }
    assert reached == {front}
    asked = subprocess.run(
        [*apart.network.around(site), "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST",
         f"https://{apart.network.address}:{front}/v1/control/list-runs"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.stdout in ("404", "")


def _ours(federation: Federation) -> set[tuple[str, int]]:
    """(address, port) of what the server's SuperLink and front listen on."""
    config = (federation.state / "flwr" / "config.toml").read_text()
    superlink = int(config.partition('address = "127.0.0.1:')[2].partition('"')[0])
    front = int(federation.server.read_text().partition("port = ")[2].partition("\n")[0])
    return {("127.0.0.1", superlink), (federation.host, front)}


def _reach(apart: Apart, site: str, host: str, port: int) -> bool:
    code = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
    done = subprocess.run(
        [*apart.network.around(site), "python3", "-c", code], capture_output=True, check=False
    )
    return done.returncode == 0


def test_rounds_go_on_without_a_site_that_is_cut_off_and_with_it_afterwards(
    apart: Apart, record_property: Note
) -> None:
    before = apart.federation.rounds_done()
    apart.network.cut("west")
    time.sleep(PARTITION)
    assert apart.federation.rounds_done() > before
    assert "west" not in latest(apart.federation)
    apart.network.mend("west")
    all_back(apart.federation)
    record_property("crash", "partition of a site")


def test_a_run_waits_for_sites_that_are_all_cut_off(apart: Apart, record_property: Note) -> None:
    for site in apart.federation.sites:
        apart.network.cut(site)
    time.sleep(PARTITION)
    told = apart.federation.told("server", "status", apart.federation.server)
    assert told["server"] == "running", json.dumps(told)
    for site in apart.federation.sites:
        apart.network.mend(site)
    all_back(apart.federation)
    record_property("crash", "partition of all sites")


def test_rounds_go_on_over_lines_that_lose_every_tenth_packet(apart: Apart, record_property: Note) -> None:
    for site in apart.federation.sites:
        apart.network.lossy(site)
    try:
        apart.federation.goes_on(3)
        all_back(apart.federation)
    finally:
        for site in apart.federation.sites:
            apart.network.lossless(site)
    record_property("crash", "10 % packet loss")


def test_the_books_agree_after_all_cuts(apart: Apart) -> None:
    apart.federation.run("server", "stop", apart.federation.server)
    require_consistent(apart.federation)
    apart.federation.stop()
    assert not left_behind(apart.federation.folder)
