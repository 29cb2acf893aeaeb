"""A deployment of Flower alone on this machine: TLS, node authentication, three SuperNodes.

The sequence that Flower documents, with nothing of ours in it but the messages' sizes (`bare_app`).
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from common.errors import FedmotionError
from simulations.benchmarks.counting import Counter, counting

SITES = 3
POLL = "0.05"
"""Seconds between a SuperExec's looks for work; Flower's default of 1 would be most of a small round."""
_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "bare"
version = "0.1.0"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedmotion"
[tool.flwr.app.components]
serverapp = "bare_app:server"
clientapp = "bare_app:client"
[tool.flwr.app.config]
settings = ""
"""
_PATIENCE = 60.0

Exchange = tuple[tuple[int, Sequence[int]], tuple[int, Sequence[int]]]
"""(bytes of header, float32 values of each array): down, and up."""


@contextmanager
def deployed(folder: Path) -> Iterator[tuple[Counter, Mapping[str, str]]]:
    """A SuperLink with SITES SuperNodes, reached through a counter; the environment for `flwr`."""
    variables = environment(folder)
    port = free_port()
    _certificates(folder)
    (folder / "superexec.secret").write_bytes(os.urandom(32))
    with ExitStack() as stack:
        counter = stack.enter_context(counting(port))
        trust = ["--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.crt", "--ssl-keyfile", "server.key"]
        secret = ["--superexec-auth-secret-file", "superexec.secret"]
        superlink = [
            "flower-superlink", *trust, "--enable-supernode-auth", "--host", "127.0.0.1", "--port", str(port),
            "--database", "superlink.db", "--disable-runtime-dependency-installation",
            "--isolation", "process", *secret,
        ]  # fmt: skip
        stack.enter_context(running("superlink", superlink, folder, variables))
        await_port(port)
        reach = ["--runtime-api-address", f"127.0.0.1:{port}", "--root-certificates", "ca.crt"]
        stack.enter_context(running("superexec", ["flower-superexec", *reach, *secret], folder, variables))
        (folder / "config.toml").write_text(
            f'[superlink]\ndefault = "bench"\n[superlink.bench]\naddress = "127.0.0.1:{port}"\n'
            f"root-certificates = {json.dumps(str(folder / 'ca.crt'))}\n"
        )
        for site in range(SITES):
            flwr(["supernode", "register", _node_key(folder, site), "bench"], folder, variables)
            node = [
                "flower-supernode", "--root-certificates", "ca.crt",
                "--superlink", f"127.0.0.1:{counter.port}",
                "--auth-supernode-private-key", f"node{site}", "--port", str(free_port()),
            ]  # fmt: skip
            stack.enter_context(running(f"node{site}", node, folder, variables))
        yield counter, variables


def start(
    folder: Path, environment: Mapping[str, str], name: str, exchanges: Sequence[Exchange], rounds: int
) -> Path:
    """Start a run of `rounds` rounds; the file that gets a line at the end of each."""
    bundle = folder / f"app-{name}"
    bundle.mkdir()
    shutil.copy(Path(__file__).with_name("bare_app.py"), bundle)
    (bundle / "pyproject.toml").write_text(_PROJECT)
    times = folder / f"times-{name}"
    settings = {"sites": SITES, "rounds": rounds, "exchanges": exchanges, "times": str(times)}
    (folder / f"{name}.json").write_text(json.dumps(settings))
    config = f"settings={json.dumps(str(folder / f'{name}.json'))}"
    flwr(["run", str(bundle), "bench", "--run-config", config], folder, environment)
    return times


@contextmanager
def running(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all that it starts, gone afterwards; it writes NAME.log."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def flwr(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["flwr", *arguments], env=dict(environment), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise FedmotionError(f"flwr {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise FedmotionError(f"nothing listens on port {port}")


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(folder),
        "FEDMOTION_ROUNDS": str(folder),  # to know its processes by, wherever they move
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": POLL,
    }


def _node_key(folder: Path, site: int) -> str:
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / f"node{site}").write_bytes(private)
    public = folder / f"node{site}.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return str(public)


def _certificates(folder: Path) -> None:
    """A certificate authority of a day, and the server's certificate for this machine."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder(name, subject, key, x509.random_serial_number())
        return made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))

    root = certificate(name, authority.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate(host, server.public_key()).add_extension(names, critical=False)
    for file, made in (("ca.crt", root), ("server.crt", leaf)):
        (folder / file).write_bytes(made.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    pem = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.key").write_bytes(pem)
