"""What must be in order before the server starts; each thing that is not is one line with the way out."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import ssl
import time
from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509

from common.errors import InputError
from common.plan import Plan
from common.run_plan import RUN_PLAN, read_run_plan
from common.signing import load_key, public_name
from server.admission import Roster
from server.checkpoint import KEY, Checkpoint
from server.revocation import revoked
from server.server_file import ServerFile
from server.superlink import DATABASE

SECRET: Final = Path("keys") / "superexec.secret"
LEAST_FREE: Final = 256 * 2**20
_BUSY_SECONDS: Final = 5.0


def require_ready(config: ServerFile, folder: Path) -> Plan:
    """The plan of the run in `folder`; InputError where the server could not run it."""
    for path in (KEY, SECRET):
        if not (config.folder / path).is_file():
            raise InputError(f"{config.folder / path} is missing: make it with fedmotion keys init")
    plan = _sound_plan(config, folder)
    free = shutil.disk_usage(config.folder).free
    if free < LEAST_FREE:
        raise InputError(
            f"{free / 2**20:.0f} MiB are free where {config.folder} lies, and a run needs"
            f" {LEAST_FREE / 2**20:.0f}: free space"
        )
    require_sound(config.folder / "run" / DATABASE)
    if config.front.kind == "builtin":
        require_certificate(config)
        require_free(config.front.host, config.front.port, "front.port")
    if config.ports.superlink is not None:
        require_free("127.0.0.1", config.ports.superlink, "ports.superlink")
    return plan


def _sound_plan(config: ServerFile, folder: Path) -> Plan:
    """The plan in `folder`, signed by this server, for the installed code and with enough sites."""
    signer = public_name(load_key(config.folder / KEY))
    plan = read_run_plan(folder / RUN_PLAN, signer)
    if Checkpoint.load(folder, signer).plan != plan:
        raise InputError(f"{folder} holds a checkpoint of another plan than {RUN_PLAN}: restore the folder")
    if plan.code not in ("", version("fedmotion")):
        raise InputError(
            f"the plan is for fedmotion {plan.code}, and {version('fedmotion')} is installed: install that"
            " version, or plan a new run"
        )
    out = revoked(config.folder)
    left = [member for member in plan.roster if member.key not in out]
    valid = [member for member in left if member.valid_until == 0 or member.valid_until > time.time()]
    if len(valid) < plan.min_sites:
        raise InputError(
            f"{len(valid)} of the plan's {len(plan.roster)} sites are neither revoked nor expired, and it"
            f" needs {plan.min_sites}: plan a new run"
        )
    return plan


def node_keys(config: ServerFile, plan: Plan | None = None) -> dict[str, str]:
    """Site -> its SuperNode's public key (OpenSSH), of all sites that are believed, or the plan's of them."""
    out = revoked(config.folder)
    cards = {card.name: card for card in Roster(config.folder).cards() if card.key not in out}
    if plan is not None:
        members = {member.site: member.key for member in plan.roster}
        cards = {site: card for site, card in cards.items() if members.get(site) == card.key}
    return {site: card.node_key for site, card in cards.items()}


def require_certificate(config: ServerFile) -> None:
    """InputError unless the front's certificate is there, of today, for the address and of its key."""
    path, renew = config.certificate, "make a new one: fedmotion keys renew CONFIG.toml"
    if config.front.certificate is not None:
        renew = "renew it where it came from"
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"front certificate {path}: {error.strerror or error}; make one with fedmotion keys init, or name"
            " your own as front.certificate"
        ) from None
    except ValueError:
        raise InputError(f"front certificate {path} is damaged: {renew}") from None
    now = datetime.now(UTC)
    if not found.not_valid_before_utc <= now < found.not_valid_after_utc:
        raise InputError(
            f"front certificate {path} is valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M} to"
            f" {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, which is not now: {renew}"
        )
    if not _names(found, config.host):
        raise InputError(
            f"front certificate {path} is not for {config.host}, which sites connect to (address): {renew}"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, config.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"front.key {config.key} is not the key of {path}: {error}; restore it") from None


def _names(certificate: x509.Certificate, host: str) -> bool:
    """Whether `certificate` is for `host`, as a client would check it."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    wanted = host.lower()
    return any(
        name.lower() == wanted or (name.startswith("*.") and name[1:].lower() == wanted[wanted.find(".") :])
        for name in names.get_values_for_type(x509.DNSName)
    )


def require_free(host: str, port: int, key: str) -> None:
    """InputError unless this machine can listen on `host`:`port`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}; stop what"
                f" uses it, or change {key}"
            ) from None


def require_sound(database: Path) -> None:
    """InputError where Flower's database is damaged; where there is none it makes a new one."""
    if not database.exists():
        return
    try:
        connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=_BUSY_SECONDS)
        try:
            words = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        words = str(error)
    if words != "ok":
        raise InputError(
            f"{database} is damaged ({words}): move it away; nothing of a run is lost, which goes on from its"
            " checkpoint"
        )
