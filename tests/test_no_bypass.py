"""Nothing about people leaves a site but through the gate: read off the source, and off the running process.

Every rule is a function from a module's path and tree to what offends it there, and every
rule has offending modules on which it must find something.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from common.methods import NAMES
from tests.attacks.test_non_interference import PEOPLE, replies
from tests.small_methods import law_plan
from tests.test_architecture import ROOT, calls, imports, parse, shipped_files

Rule = Callable[[str, ast.AST], Iterator[ast.AST]]
SITE = ("client/", "common/", "protos/")

SPEAKERS = {"client/agreement.py", "client/cli.py", "client/conversion.py", "client/data.py",
            "client/joining.py", "client/operation.py", "client/synthesise.py",
            "common/card.py", "common/keys_cli.py"}  # fmt: skip
"""Commands that talk to the person at the site and write what that person asks for."""
DOORS = {"client/service.py", "client/remote.py", "client/connection.py", "common/monitoring.py"}
"""The two ends of the gate's socket; the steward's look at the line and the supervisor's health page, which
the gate may not import."""
LOGS = "common/logs.py"
"""What is written at a site: words in its own file, declared events on its output."""
NETWORK = {"socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib",
           "xmlrpc", "socketserver", "asyncio", "grpc", "syslog"}  # fmt: skip
RECORDS = {"RecordDict", "ArrayRecord", "ConfigRecord", "MetricRecord", "Array"}
ENCODERS = {"encode_acceptance", "encode_release", "encode_refusal", "encode_hello"}
ANSWERS = (*ENCODERS, "_site(message, context).answer", "handler")
PUBLIC = (["context.run_config['run-dir']"], ["context.node_config['site']"])
GUARDED = ("client.clipping", "client.mechanism", "client.users", "client.ledger", "common.noise",
           "client.datasets", "client.memory")  # fmt: skip


def releases_are_built_by_the_gate(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    """And on the server's side decoded by the wire."""
    if path not in ("client/gate.py", "common/wire.py") and not path.startswith("simulations/benchmarks/"):
        yield from (node for node, name in calls(tree) if name.split(".")[-1] == "Release")


def replies_are_made_by_the_app_of_encoded_answers(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    """A client module makes no record of its own; the app's one message holds what an encoder made."""
    if not path.startswith("client/"):
        return
    for node, name in calls(tree):
        if name.split(".")[-1] in RECORDS:
            yield node
        if name.split(".")[-1] == "Message":
            made_here = path == "client/app.py" and [ast.unparse(a) for a in node.args] == ["folded(content)"]
            if not made_here or [k.arg for k in node.keywords] != ["reply_to"]:
                yield node
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign) and [ast.unparse(t) for t in statement.targets] == ["content"]:
            made = isinstance(statement.value, ast.Call) and ast.unparse(statement.value.func)
            if made not in ANSWERS:
                yield statement


def a_refusal_crosses_as_its_code(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    """The reason is written to the site's log, and nothing else is done with an error's words."""
    if path == "common/wire.py":
        return
    for node, name in calls(tree):
        if name.split(".")[-1] == "encode_refusal":
            argument = ast.unparse(node.args[0]) if len(node.args) == 1 and not node.keywords else ""
            if argument != "refusal.code" and not argument.startswith("RefusalCode."):
                yield node
        worded = path == "client/app.py" and name in ("str", "repr", "traceback.format_exc")
        if worded and [ast.unparse(a) for a in node.args] not in PUBLIC:
            yield node


def no_metrics_ride_along(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    if path.startswith(SITE):
        for node in ast.walk(tree):
            names = {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", "")}
            if names & {"MetricRecord", "metric_records", "num_examples"}:
                yield node


def a_site_opens_no_connection(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    if path.startswith(SITE) and path not in DOORS:
        for node, name in imports(tree):
            if name.split(".")[0] in NETWORK or (name == "logging.handlers" and path != LOGS):
                yield node


def a_site_is_silent(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    """No print, no standard stream, no warning: all of them can end up with whoever started the site."""
    if path.startswith(SITE) and path not in SPEAKERS:
        spoken = {"print", "warnings.warn", "os.write", "sys.stdout.write", "sys.stderr.write", "typer.echo"}
        yield from (node for node, name in calls(tree) if name in spoken)


def logs_stay_in_the_sites_file(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    if path.startswith(SITE):
        for node, name in calls(tree):
            handler = name.split(".")[-1]
            to_file = ("FileHandler", "NullHandler", "addHandler")
            if handler.endswith("Handler") and handler not in to_file and path != LOGS:
                yield node
            if handler in ("basicConfig", "dictConfig", "fileConfig", "captureWarnings"):
                yield node
            if handler == "getLogger" and not re.match(
                r"logging.getLogger\('fedmotion['.]", ast.unparse(node)
            ):
                yield node


def a_site_writes_no_files(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    """Only the ledger and the log; a ledger writes by SQLite."""
    if path.startswith("client/") and path not in SPEAKERS:
        writers = {
            "write_text",
            "write_bytes",
            "save_file",
            "savez",
            "save_image",
            "to_csv",
            "dump",
            "mkstemp",
        }
        for node, name in calls(tree):
            modes = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
            opened = name.split(".")[-1] == "open" and any(
                re.fullmatch("'[rbt+]*[wxa+][rbt+]*'", ast.unparse(mode)) for mode in modes
            )
            if name.split(".")[-1] in writers or opened or name in ("torch.save", "np.save"):
                yield node


@cache
def allowed_importers() -> dict[str, tuple[str, ...]]:
    """Who may import what is guarded, from the contracts in pyproject.toml."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {
        guarded: tuple(contract["allowed_importers"])
        for contract in contracts
        if contract["type"] == "protected"
        for guarded in contract["protected_modules"]
    }


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def what_is_guarded_is_imported_by_the_gate(path: str, tree: ast.AST) -> Iterator[ast.AST]:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for guarded in GUARDED:
        if within(module, (guarded, *allowed_importers()[guarded])):
            continue
        for node, name in imports(tree):
            parts = [f"{name}.{alias.name}" for alias in getattr(node, "names", [])]
            if any(within(each, (guarded,)) for each in (name, *parts)):
                yield node


OFFENDERS: dict[Rule, list[tuple[str, str]]] = {
    releases_are_built_by_the_gate: [
        ("client/app.py", "Release(site='x', total=rows.sum())"),
        ("server/app.py", "query.Release(total=t)"),
    ],
    replies_are_made_by_the_app_of_encoded_answers: [
        ("client/app.py", "Message(RecordDict({'n': n}), reply_to=message)"),
        ("client/app.py", "Message(content, reply_to=message)"),
        ("client/gate.py", "Message(folded(content), reply_to=message)"),
        ("client/app.py", "content = gate.statistics()"),
        ("client/users.py", "ConfigRecord({'people': len(users)})"),
        ("client/app.py", "Message(folded(content), reply_to=message, error=Error(0, str(e)))"),
    ],
    a_refusal_crosses_as_its_code: [
        ("client/app.py", "encode_refusal(str(error))"),
        ("client/app.py", "encode_refusal(refusal.code, reason=str(refusal))"),
        ("client/app.py", "send(repr(error))"),
    ],
    no_metrics_ride_along: [
        ("client/app.py", "from flwr.app import MetricRecord"),
        ("common/wire.py", "content.metric_records['loss'] = x"),
        ("client/gate.py", "MetricRecord({'num-examples': 3})"),
    ],
    a_site_opens_no_connection: [
        ("client/gate.py", "import socket"),
        ("common/noise.py", "from urllib.request import urlopen"),
        ("client/app.py", "import logging.handlers"),
        ("client/users.py", "def f():\n    import requests"),
    ],
    a_site_is_silent: [
        ("client/gate.py", "print(norm)"),
        ("client/users.py", "warnings.warn(f'{name} has no windows')"),
        ("common/methods/dp_sgd.py", "sys.stderr.write(loss)"),
    ],
    logs_stay_in_the_sites_file: [
        ("client/app.py", "logging.handlers.HTTPHandler('host', '/')"),
        ("client/gate.py", "logging.StreamHandler()"),
        ("client/service.py", "logging.StreamHandler(connection)"),
        ("client/app.py", "logging.basicConfig()"),
        ("client/gate.py", "logging.getLogger('flwr').warning(count)"),
        ("client/gate.py", "logging.getLogger()"),
    ],
    a_site_writes_no_files: [
        ("client/gate.py", "path.write_text(str(count))"),
        ("client/users.py", "open(path, 'w')"),
        ("client/gate.py", "torch.save(rows, path)"),
        ("client/gate.py", "path.open(mode='ab')"),
    ],
    what_is_guarded_is_imported_by_the_gate: [
        ("client/app.py", "from client.users import load_users"),
        ("client/app.py", "from client import ledger"),
        ("client/site.py", "from client.memory import Memory"),
        ("server/rounds.py", "import client.datasets.bvh_folder"),
        ("server/report.py", "from common.noise import gaussian"),
        ("common/methods/dp_sgd.py", "from common import noise"),
        ("simulations/cli.py", "from client.mechanism import SampledGaussian"),
        ("client/policy.py", "def f():\n    from client.clipping import clipped_sum"),
    ],
}  # fmt: skip
by_rule = pytest.mark.parametrize("rule", OFFENDERS, ids=lambda rule: rule.__name__)


@by_rule
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for file in shipped_files()
        for node in rule(str(file.relative_to(ROOT)), parse(file))
    ]
    assert not found


@by_rule
def test_control_the_rule_sees_every_offender(rule: Rule) -> None:
    for path, source in OFFENDERS[rule]:
        assert list(rule(path, ast.parse(source))), f"{path}: {source}"


def test_every_guarded_module_has_its_contract() -> None:
    assert set(GUARDED) <= set(allowed_importers())


REACHING_OUT = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "subprocess.Popen",
                "os.system", "os.exec", "os.posix_spawn", "os.fork", "shutil.")  # fmt: skip
_watched: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells an audit hook (PEP 578) of every file, socket and process; a hook is for good."""
    if _watched is None:
        return
    if event == "open" and not isinstance(arguments[0], int):  # a number was opened by name before
        mode, flags = arguments[1] or "", arguments[2]
        if set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR):
            _watched.append(f"writes {arguments[0]}")
    elif event == "sqlite3.connect" and arguments[0] != ":memory:":
        _watched.append(f"database {arguments[0]}")
    elif event.startswith(REACHING_OUT):
        _watched.append(event)


_hooked: list[bool] = []


def check_process_is_silent(folder: Path) -> None:
    """While a site answers, whoever its people are, it prints, sends, starts and writes nothing else."""
    global _watched
    if not _hooked:
        sys.addaudithook(_watch)
        _hooked.append(True)
    plan = law_plan(next(iter(NAMES)), rounds=2)
    said, seen = io.StringIO(), list[str]()
    for name in ("many", "nan", "torn", "nobody"):
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _watched = seen
            try:
                replies(folder / f"silent-{name}", plan, PEOPLE[name])
            finally:
                _watched = None
    own = [event for event in seen if "ledger" in event and str(folder.as_posix()) in event]
    assert [event for event in seen if event not in own and "/sites/" not in event] == []
    assert own, "vacuous: the hook did not see the ledger"
    assert said.getvalue() == ""


def test_an_answering_site_reaches_out_to_nothing_but_its_ledger(tmp_path: Path) -> None:
    check_process_is_silent(tmp_path)
