"""The gate service: the site's own code behind a Unix socket, with everything it needs in memory.

    python -m client.service SITE.toml

Whatever can be wrong without a message is found before the first one: then it says one line and ends with
exit code 2 (settings, data, keys) or 3 (refused, such as a damaged ledger). It opens no network socket.
Once it knows its folders, words go to the site's own log and its output is events alone (`common.logs`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

import grpc

from client.crew import FINAL
from client.door import Door
from client.federation import Places, require_short
from client.membership import Membership
from client.site import SiteFile
from client.standing import standing
from common.errors import FedmotionError, InputError, Refusal
from common.logs import Tally, event, separate
from common.parcel import CHANNEL, encode_refusal, from_parcel, to_parcel
from protos import gate_pb2, gate_pb2_grpc

LEAST_FREE: Final = 256 * 2**20
"""Bytes of disk below which a site does not start: a charge and its release must fit."""
_AT_ONCE: Final = 8
_END: Final = 3600.0
_AWAKE: Final = 1.0  # seconds; a signal that the kernel gives to another thread wakes nobody
_log = logging.getLogger("fedmotion.service")


class GateService(gate_pb2_grpc.GateServicer):
    """Messages for the door, one at a time; what anyone may know besides, at any time."""

    def __init__(self, door: Door, site: SiteFile, membership: Membership, tally: Tally) -> None:
        self._door = door
        self._tally = tally
        self._site = site
        self._membership = membership
        self._since = time.time()
        self._one_at_a_time = threading.Lock()

    def Answer(  # noqa: N802, protobuf's name
        self, request: gate_pb2.Parcel, context: grpc.ServicerContext
    ) -> gate_pb2.Parcel:
        try:
            question = from_parcel(request)
        except Refusal as refusal:
            told = event("refused", code=refusal.code)
            _log.warning("refused before the door: %s", refusal.code, extra=told)
            return to_parcel(encode_refusal(refusal.code))
        with self._one_at_a_time:
            return to_parcel(self._door.answer(question))

    def Status(  # noqa: N802
        self, request: gate_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> gate_pb2.StatusReply:
        told = {"version": version("fedmotion"), "pid": os.getpid(), "since": self._since}
        told |= self._tally.facts()
        try:
            told |= standing(self._site, self._membership)
        except FedmotionError as error:
            _log.warning("the ledger does not read: %s", error)
            told |= {"site": self._site.name, "ledger": "does not read"}
        return gate_pb2.StatusReply(json=json.dumps(told, allow_nan=False))


def locate(path: Path) -> tuple[SiteFile, Places]:
    """What the site's file says, and where the site's folders are; InputError naming what is amiss."""
    site = SiteFile.read(path)
    if site.federation is None:
        raise InputError(f"{path} has no [federation]: a site that is started says where its keys are")
    return site, Places(folder=site.federation.folder)


def open_site(site: SiteFile, places: Places) -> tuple[Membership, Door]:
    """The site with its people read and its ledger held; FedmotionError naming what is amiss."""
    require_short(places.socket)
    for folder in {places.gate, site.ledger.parent}:
        _require_space(folder)
    membership = Membership.open(site.name, places.folder)
    membership.require_valid()
    return membership, site.open_resident()


def serve(path: Path) -> None:
    """Answer on the site's socket until SIGTERM; a release under way ends first."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    site, places = locate(path)
    tally = separate(places.words)
    membership, door = open_site(site, places)
    server = grpc.server(
        ThreadPoolExecutor(_AT_ONCE), options=CHANNEL, maximum_concurrent_rpcs=_AT_ONCE, compression=None
    )
    gate_pb2_grpc.add_GateServicer_to_server(GateService(door, site, membership, tally), server)
    os.umask(0o117)  # the socket is for its owner and the folder's group
    try:
        if server.add_insecure_port(f"unix:{places.socket}") == 0:
            raise InputError(f"cannot open the socket {places.socket}")
    except RuntimeError:
        raise InputError(f"cannot open the socket {places.socket}: is its folder writable?") from None
    os.umask(0o077)
    server.start()
    begun = event("process_started", process="gate", version=version("fedmotion"))
    _log.info("%s answers at %s", site.name, places.socket, extra=begun)
    while not over.wait(_AWAKE):
        pass
    _log.info("asked to end", extra=event("stopped", process="gate"))
    server.stop(_END).wait()
    door.close()


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise InputError(
            f"{folder} has {free >> 20} MiB left, and a site needs {LEAST_FREE >> 20}: free space"
        )


def main(arguments: list[str]) -> int:
    """The process: its exit code, after one line on standard error where it is not 0."""
    outside = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    try:
        if len(arguments) != 1:
            raise InputError("usage: python -m client.service SITE.toml")
        serve(Path(arguments[0]))
    except FedmotionError as error:
        outside.write(f"fedmotion: {' '.join(str(error).split())}\n")
        return error.exit_code if error.exit_code in FINAL else max(FINAL)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
