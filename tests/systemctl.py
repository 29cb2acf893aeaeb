"""As much of systemctl as the guides use: a unit's command with its user, capabilities, limits and mounts.

Emulated are User, CapabilityBoundingSet, NoNewPrivileges, ProtectSystem=strict with ReadWritePaths,
LimitNOFILE, LimitCORE, UMask, Environment and WorkingDirectory; not Restart, SystemCallFilter and Private*.
"""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

MOUNTS = ("/etc", "/opt", "/var", "/srv", "/usr/local", "/root", "/")


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(f"/etc/systemd/system/{name}.service")
    return parser["Service"]


def command(service: configparser.SectionProxy) -> list[str]:
    kept = [f"+{word.removeprefix('CAP_').lower()}" for word in service["CapabilityBoundingSet"].split()]
    run = ["prlimit", f"--core={service['LimitCORE']}", f"--nofile={service['LimitNOFILE']}"]
    run += ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={','.join(['-all', *kept])}"]
    if "User" in service:
        run += ["--reuid", service["User"], "--regid", service["Group"], "--init-groups"]
    run += ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", *service["Environment"].split()]
    return [*run, "OMP_NUM_THREADS=1", *shlex.split(service["ExecStart"])]


def start(name: str) -> None:
    service, log = unit(name), Path(f"/var/log/{name}.log")
    mounts = "".join(f"mount --bind {path} {path}; " for path in (service["ReadWritePaths"], "/tmp"))
    mounts += "".join(f"mount -o remount,bind,ro {path}; " for path in MOUNTS)
    run = f"cd {service['WorkingDirectory']}; umask {service['UMask']}; exec {shlex.join(command(service))}"
    with log.open("ab") as out:
        started = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", mounts + run],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    log.with_suffix(".pid").write_text(str(started.pid))


def stop(name: str) -> None:
    pid = int(Path(f"/var/log/{name}.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + float(unit(name)["TimeoutStopSec"])
    while Path(f"/proc/{pid}/stat").exists() and not _is_over(pid):
        if time.monotonic() > deadline:
            sys.exit(f"{name} does not stop")
        time.sleep(0.1)


def _is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    verb, *names = [word for word in sys.argv[1:] if not word.startswith("--")]
    for each in names:
        {"enable": start, "start": start, "stop": stop}[verb](each)
