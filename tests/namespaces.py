"""A network of its own for each site: a bridge with the server's address, one namespace and link a site."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

# The kernel draws a word for each packet and drops one in ten; sch_netem is in few kernels of containers.
_TENTH = "4,32 0 0 4294963256,53 0 1 429496730,6 0 0 0,6 0 0 2,"


class _MissingError(Exception):
    """The machine does not let us."""


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _MissingError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Network:
    """`address` is the server's, on a bridge; each of `sites` has a route to it and to nothing else."""

    name: str
    address: str
    sites: Sequence[str]

    def namespace(self, site: str) -> str:
        return f"{self.name}-{site}"

    def link(self, site: str) -> str:
        """The bridge's end of the site's link: at most 15 characters."""
        return f"{self.name}{self.sites.index(site)}"

    def around(self, site: str) -> tuple[str, ...]:
        """What starts a command inside the site's network."""
        return ("ip", "netns", "exec", self.namespace(site))

    def cut(self, site: str) -> None:
        _do("ip", "link", "set", self.link(site), "down")

    def mend(self, site: str) -> None:
        _do("ip", "link", "set", self.link(site), "up")
        _do("bridge", "link", "set", "dev", self.link(site), "isolated", "on")

    def lossy(self, site: str) -> None:
        """From here on every tenth packet is lost, both ways; skips where the kernel cannot."""
        link = self.link(site)
        try:
            _do("tc", "qdisc", "add", "dev", link, "clsact")
            for way in ("ingress", "egress"):
                _do("tc", "filter", "add", "dev", link, way, "bpf", "bytecode", _TENTH, "da")
        except _MissingError as missing:
            pytest.skip(f"no packet loss here: {missing}")

    def lossless(self, site: str) -> None:
        _do("tc", "qdisc", "del", "dev", self.link(site), "clsact")

    def _build(self) -> None:
        _do("ip", "link", "add", self.name, "type", "bridge")
        _do("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        _do("ip", "link", "set", self.name, "up")
        for number, site in enumerate(self.sites):
            space, link = self.namespace(site), self.link(site)
            _do("ip", "netns", "add", space)
            _do("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _do("ip", "link", "set", link, "master", self.name)
            inner = f"{self.address.rpartition('.')[0]}.{10 + number}"
            _do("ip", "-n", space, "address", "add", f"{inner}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _do("ip", "-n", space, "link", "set", device, "up")
            self.mend(site)

    def remove(self) -> None:
        for site in self.sites:
            with suppress(_MissingError):
                _do("ip", "netns", "del", self.namespace(site))
            with suppress(_MissingError):
                _do("ip", "link", "del", self.link(site))
        with suppress(_MissingError):
            _do("ip", "link", "del", self.name)


@contextmanager
def network(sites: Sequence[str]) -> Iterator[Network]:
    """A network until the block ends; skips saying why where this machine makes none."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "bridge", "tc")):
        pytest.skip("network namespaces need root and iproute2 (ip, bridge, tc)")
    number = os.getpid() % 250
    made = Network(f"fm{os.getpid() % 10**6}x", f"10.213.{number}.1", sites)
    try:
        try:
            made._build()
        except _MissingError as missing:
            pytest.skip(f"no network namespaces here: {missing}")
        yield made
    finally:
        made.remove()


def listening(pid: int) -> set[str]:
    """The addresses on which anything listens for TCP in the network of process `pid`, in hexadecimal."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == "0A":
                found.add(local.partition(":")[0])
    return found
