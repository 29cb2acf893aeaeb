"""Flower's SuperExec of a site: it runs each ClientApp as a fork of itself, with the libraries loaded once.

Flower 1.41 starts a Python of its own for every message, which imports for 1.2 CPU seconds before it does
anything. A SuperNode looks for `flower-superexec` on its PATH: the site puts this there.
A message still gets a process of its own that ends with its answer. Where that one ends badly, so does this,
and with it the SuperNode, to be started again: it would wait for the answer, for a minute or for good.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.utils import disable_process_dumping
from flwr.supernode.runtime.run_clientapp import run_clientapp

import client.app
import client.remote

_PRELOADED: Final = (client.app, client.remote)
"""What a message needs, loaded before it comes."""
_LOOK: Final = 0.5  # seconds


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a ClientApp for every task of the SuperNode, until that one's process ends."""
    told = argparse.ArgumentParser(prog="flower-superexec")
    told.add_argument("--runtime-api-address", required=True)
    told.add_argument("--parent-pid", type=int, required=True)
    told.add_argument("--insecure", action="store_true", required=True)  # loopback, as Flower itself does
    options = told.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    disable_process_dumping(strict=False)
    start_parent_process_monitor(options.parent_pid)
    supernode = RuntimeHttpClient.from_server_address(
        server_address=options.runtime_api_address,
        insecure=True,
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec")],
        retry_invoker=make_simple_http_retry_invoker(),
    )
    gc.collect()
    gc.freeze()
    try:
        while True:
            found = supernode.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
            if found.HasField("task") and found.token:
                _run(options.runtime_api_address, found.token)
            _reap()
            time.sleep(_LOOK)
    except KeyboardInterrupt:  # how the monitor says that the SuperNode has ended
        _end()


def _run(address: str, token: str) -> None:
    """Start a process that carries one message and ends."""
    courier = os.getpid()
    if os.fork():
        return
    code = 1
    try:
        run_clientapp(runtime_api_address=address, token=token, insecure=True, parent_pid=courier)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap() -> None:
    """Let go of the processes that have ended; SystemExit where one ended badly."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[1]:
                sys.exit(f"a ClientApp ended with {os.waitstatus_to_exitcode(ended[1])}")
    except ChildProcessError:
        pass


def _end(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
