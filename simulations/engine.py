"""Two ways to run the same ServerApp and ClientApp: in this process, or on Flower's simulation engine."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import client.app
import server.app
from client.datasets import DataSet
from client.site import SiteFile
from common.errors import FedmotionError, InputError
from common.process import die_with_parent
from server.bundle import write_application
from simulations.grid import run_in_process

LOG = client.app.LOG
_START_SECONDS = 60.0
_POLL_SECONDS = 2.0


def run_inprocess(folder: Path, data: DataSet) -> None:
    """Run the prepared `folder` in this process; sites share `data`, which is parsed already."""
    files = sorted((folder / "sites").glob("*.toml"))
    log, handler = logging.getLogger("fedmotion"), client.app.site_log(folder)
    log.addHandler(handler)
    doors = {file: SiteFile.read(file).open_door(data) for file in files}
    client.app.resident.update(doors)
    try:
        run_in_process(server.app.app, client.app.app, len(files), {"run-dir": str(folder)})
    finally:
        for file, door in doors.items():
            del client.app.resident[file]
            door.close()
        log.removeHandler(handler)
        handler.close()


def run_flower(folder: Path, version: str, *, one_process: bool = False) -> None:
    """Run the prepared `folder` on Flower's Ray engine, on a private port and home that end with the run.

    `one_process` answers for all sites: under `secagg` a site keeps its keys in memory alone.
    """
    if find_spec("ray") is None:
        raise InputError(
            "engine flower needs Ray: pip install 'fedmotion[simulation]', or --engine inprocess"
        )
    sites = len(list((folder / "sites").glob("*.toml")))
    with tempfile.TemporaryDirectory(prefix="fedmotion-flower-") as name:
        home = Path(name)
        application = write_application(home / "app", version)
        port = _free_port()
        environment = _environment(home)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "private"\n[superlink.private]\naddress = "127.0.0.1:{port}"\n'
            "insecure = true\n"
        )
        with _superlink(home, port, environment) as superlink:
            config = home / "run.toml"
            config.write_text(f"run-dir = {json.dumps(str(folder))}\n")
            federation = f"num-supernodes={sites} client-resources-num-cpus=1 client-resources-num-gpus=0.0"
            federation += " init-args-num-cpus=1" if one_process else ""
            arguments = ["run", str(application), "private", "--run-config", str(config)]
            run = _flwr([*arguments, "--federation-config", federation], home, environment)
            _wait(str(run["run-id"]), home, environment, superlink)


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _superlink(home: Path, port: int, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A SuperLink of our own in simulation mode; it and all it started are gone afterwards."""
    command = [
        "flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess",
        "--host", "127.0.0.1", "--port", str(port),
        "--control-api-address", f"127.0.0.1:{_free_port()}",
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    with (home / "superlink.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            _await_port(port, process, home)
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 15.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _await_port(port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise FedmotionError(f"Flower's SuperLink did not start: {_last_line(home / 'superlink.log')}")


def _wait(
    run_id: str, home: Path, environment: Mapping[str, str], superlink: subprocess.Popen[bytes]
) -> None:
    while superlink.poll() is None:
        listed = _flwr(["ls", "private", "--run-id", run_id], home, environment)
        status = str(listed["runs"][0]["status"])
        if status.startswith("finished"):
            if status != "finished:completed":
                raise FedmotionError(f"Flower's run ended as {status}: {_last_line(home / 'superlink.log')}")
            return
        time.sleep(_POLL_SECONDS)
    raise FedmotionError(f"Flower's SuperLink stopped: {_last_line(home / 'superlink.log')}")


def _flwr(arguments: Sequence[str], home: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        ["flwr", *arguments, "--format", "json"],
        env=dict(environment),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    start = done.stdout.find("{")
    if done.returncode != 0 or start < 0:
        raise FedmotionError(f"flwr {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    value: dict[str, Any] = json.loads(done.stdout[start:])
    return value


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no log"
