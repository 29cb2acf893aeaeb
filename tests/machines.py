"""Machines on this machine: each has network and files of its own, in namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = ("etc", "opt", "var", "srv", "usr/local", "root")
"""Folders of which each machine has its own, on top of this one's."""


@dataclass(frozen=True)
class Machine:
    """`name` with its holder process, whose namespaces it is; `folder` holds what it wrote."""

    name: str
    folder: Path
    holder: int

    def path(self, path: str) -> Path:
        """A file of this machine as seen from outside."""
        return Path(f"/proc/{self.holder}/root{path}")

    def start(self, script: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A shell script in /srv/admin as root, as an operator would type it."""
        enter = ["nsenter", "--target", str(self.holder), "--mount", "--net", "--uts"]
        keep = {key: os.environ[key] for key in ("LANG",) if key in os.environ}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.Popen(
            [*enter, "bash", "-euo", "pipefail", "-c", f"cd /srv/admin\n{script}"],
            env={**keep, "PATH": path, "HOME": "/root", "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self, script: str, code: int = 0, environment: Mapping[str, str] | None = None, seconds: float = 300
    ) -> str:
        """What the script printed, once it ended with `code`."""
        started = self.start(script, environment)
        said, _ = started.communicate(timeout=seconds)
        assert started.returncode == code, f"{self.name}:\n{script}\n{said}"
        return said

    def stop(self) -> None:
        """End whatever still runs from its namespaces: the holder last."""
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != self.holder and self._is_mine(process):
                _kill(int(process.name))
        _kill(self.holder)

    def _is_mine(self, process: Path) -> bool:
        try:
            return os.readlink(process / "ns/net") == os.readlink(f"/proc/{self.holder}/ns/net")
        except OSError:
            return False


def reason_why_not() -> str | None:
    """Why machines cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "namespaces need root"
    if missing := [t for t in ("ip", "unshare", "nsenter", "setpriv", "useradd") if not shutil.which(t)]:
        return f"{', '.join(missing)} is missing"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine makes no namespaces"


@contextmanager
def machines(folder: Path, server: str, sites: tuple[str, ...]) -> Iterator[dict[str, Machine]]:
    """`server` and `sites`, each with one cable to the server and no route to anything else."""
    with ExitStack() as stack:
        made = {name: stack.enter_context(machine(folder, name)) for name in (server, *sites)}
        for number, site in enumerate(sites, 1):
            _cable(made[server], made[site], number)
        yield made


@contextmanager
def machine(folder: Path, name: str) -> Iterator[Machine]:
    """A machine with files of its own in `OWN`, fedmotion in /opt, and no network but its loopback."""
    own = folder / name
    command = ["unshare", "--mount", "--net", "--uts", "--propagation", "private", "sleep", "infinity"]
    holder = subprocess.Popen(command)
    made = Machine(name, own, holder.pid)
    try:
        script = ["while ! test -d /proc/self; do sleep 0.1; done", "ip link set lo up"]
        for part in OWN:
            upper, work = own / part / "upper", own / part / "work"
            upper.mkdir(parents=True)
            work.mkdir()
            upper.chmod(0o755)
            script.append(
                f"mount -t overlay overlay -o lowerdir=/{part},upperdir={upper},workdir={work} /{part}"
            )
        script += ["chmod 711 /root", "mkdir -p /srv/admin", f"ln -s {ROOT} /srv/admin/fedmotion"]
        script += [f"ln -s {Path(sys.prefix)} /opt/fedmotion"]
        _wait_for_namespaces(holder.pid)
        done = subprocess.run(
            ["nsenter", "--target", str(holder.pid), "--mount", "--net", "sh", "-ec", "\n".join(script)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shim = made.path("/usr/local/bin/systemctl")
        shim.write_text(f'#!/bin/sh\nexec /opt/fedmotion/bin/python -P {ROOT}/tests/systemctl.py "$@"\n')
        shim.chmod(0o755)
        yield made
    finally:
        made.stop()
        holder.wait()


def _wait_for_namespaces(pid: int) -> None:
    """Until `unshare` has become `sleep`: its namespaces are made then."""
    while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":
        pass


def _cable(server: Machine, site: Machine, number: int) -> None:
    """10.77.N.1 at the server, 10.77.N.2 at the site, which knows the server's name and no other way."""
    here, there = f"fm{os.getpid() % 10000}s{number}", f"fm{os.getpid() % 10000}c{number}"
    script = f"ip link add {here} type veth peer name {there}"
    script += f" && ip link set {here} netns {server.holder} && ip link set {there} netns {site.holder}"
    subprocess.run(["sh", "-ec", script], check=True)
    server.run(f"ip address add 10.77.{number}.1/30 dev {here}; ip link set {here} up")
    site.run(f"ip address add 10.77.{number}.2/30 dev {there}; ip link set {there} up")
    site.run(f"echo '10.77.{number}.1 motion.example.org' >> /etc/hosts")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
