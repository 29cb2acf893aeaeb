"""The commands `server plan | front | start | status | pause | resume | stop | logs`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from common.errors import FedmotionError, InputError

if TYPE_CHECKING:
    from common.plan import Plan
    from common.supervised import Status
    from server.server_file import ServerFile

ConfigToml = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The server's own file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Run = Annotated[str | None, typer.Option("--run", help="Which run; default: the newest.", show_default=False)]
LOGS = ("server", "conductor", "run", "superexec", "superlink", "front")
_FOLLOW_SECONDS = 0.5

server = typer.Typer(
    help="Plan a run over real sites, start it and look after it; docs/server.md explains CONFIG.toml.",
    no_args_is_help=True,
    add_completion=False,
)


class EndedError(FedmotionError):
    """A server that cannot run, or a run that was stopped early: its own line and exit code."""

    def __init__(self, found: Status) -> None:
        words = [child.words for child in found.children if child.state == "failed"]
        super().__init__(words[0] if words and words[0] else "the server ended: see fedmotion server logs")
        self.exit_code = found.code or 1


@server.command()
def plan(config: ConfigToml, as_json: AsJson = False) -> None:
    """Make a run plan for the sites of the roster, and say what it asks of each person.

    Nothing runs yet: send each site the file, and tell it the hash on another channel. Any change of
    CONFIG.toml or the roster needs another plan, with another hash.
    """
    from server.proposal import lines, propose
    from server.server_file import ServerFile

    proposal = propose(ServerFile.read(config))
    if as_json:
        from common.run_plan import cost

        made = proposal.plan
        told = {"run": made.run_id, "hash": made.digest(), "file": str(proposal.file), "cost": cost(made)}
        print(json.dumps(told, indent=2, allow_nan=False))
        return
    for line in lines(proposal):
        print(line)


@server.command()
def front(
    config: ConfigToml,
    kind: Annotated[str, typer.Option(help="nginx or caddy.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Write the configuration of a proxy that stands in for our own front (front.kind = "external")."""
    from common.storage import write_atomically
    from server.proxies import CHECKS, proxy_configuration
    from server.server_file import ServerFile

    file = ServerFile.read(config)
    text = proxy_configuration(file, kind)
    write_atomically(out, text.encode())
    print(f"{out}: try it with {CHECKS[kind].format(out)}")
    if file.front.kind == "builtin":
        print('set front.kind = "external" in the server\'s file, or both will want the same port')


@server.command()
def start(
    config: ConfigToml,
    run: Run = None,
    detach: Annotated[bool, typer.Option(help="Return once it runs; it goes on in the background.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start Flower, the front and the run, and keep them running until the last round is done.

    Started again, a run goes on from its checkpoint. Ctrl-C or SIGTERM ends all processes; nothing
    but the round under way is done again.
    """
    from common import supervised
    from common.monitoring import monitoring
    from common.supervision import Supervisor
    from server.crew import crew, prepare
    from server.proposal import planned
    from server.server_file import ServerFile
    from server.vitals import MEASURES, vitals

    file = ServerFile.read(config)
    place = file.folder / "run"
    supervised.require_stopped(place)
    folder = planned(file, run)
    plan = prepare(file, folder)
    if detach:
        again = [sys.executable, "-P", "-m", "fedmotion", "server", "start", str(config.resolve())]
        found = supervised.detach([*again, "--run", plan.run_id], place, file.folder / "logs" / "server.log")
        if found.state == "failed" and found.code:
            raise EndedError(found)
        return _tell(file, folder, as_json)
    supervisor = Supervisor(crew(file, config.resolve(), folder), place)
    with monitoring(file.ports.monitoring, MEASURES, lambda: vitals(file, folder, plan)):
        _watch(supervisor, folder, plan, Console(quiet=as_json, highlight=False))
    ended = supervised.status(place)
    assert ended is not None
    if ended.code:
        raise EndedError(ended)
    if ended.state == "stopped":
        print(f"stopped; go on with: fedmotion server start {config}", file=sys.stderr)
        return
    if as_json:
        print((folder / "run.json").read_text(encoding="utf-8"), end="")
        return
    print("all rounds are done; open:")
    for name in ("report.html", "samples/index.html", "run.json", "metrics.jsonl"):
        print(f"  {folder / name}")


def _watch(supervisor: Any, folder: Path, plan: Plan, console: Console) -> None:
    """Run to the end with the table of rounds, and a line for each process that changes."""
    from server.progress import shown

    console.print(f"run {plan.run_id}, plan {plan.digest()}", soft_wrap=True)
    with shown(console, folder, plan):
        supervisor.run()


@server.command()
def status(config: ConfigToml, run: Run = None, as_json: AsJson = False) -> None:
    """Processes, rounds, sites and the budget; exit code 1 where the server does not run."""
    from common import supervised
    from server.proposal import planned
    from server.server_file import ServerFile

    file = ServerFile.read(config)
    _tell(file, planned(file, run), as_json)
    found = supervised.status(file.folder / "run")
    if found is None or not found.running:
        raise typer.Exit(1)


def _tell(file: ServerFile, folder: Path, as_json: bool) -> None:
    from server.overview import lines, overview

    told = overview(file, folder)
    if as_json:
        print(json.dumps(told, indent=2, allow_nan=False))
        return
    for line in lines(told):
        print(line)


@server.command()
def pause(config: ConfigToml, run: Run = None) -> None:
    """Ask for no further round after the one under way; Flower and the front stay up."""
    from server.proposal import planned
    from server.server_file import ServerFile
    from server.steering import pause as pause_run

    folder = planned(ServerFile.read(config), run)
    if not pause_run(folder):
        raise InputError(f"run {folder.name} is paused already: fedmotion server resume lets it go on")
    print(f"run {folder.name} pauses after the round under way")


@server.command()
def resume(config: ConfigToml, run: Run = None) -> None:
    """Let a paused run go on; a server that was stopped is started with `server start`."""
    from server.proposal import planned
    from server.server_file import ServerFile
    from server.steering import resume as resume_run

    folder = planned(ServerFile.read(config), run)
    if not resume_run(folder):
        raise InputError(f"run {folder.name} is not paused")
    print(f"run {folder.name} goes on")


@server.command()
def stop(config: ConfigToml) -> None:
    """End all processes of the server; exit code 1 where it did not run. The run can go on later."""
    from common import supervised
    from server.server_file import ServerFile

    file = ServerFile.read(config)
    if not supervised.stop(file.folder / "run"):
        print("the server does not run")
        raise typer.Exit(1)
    print(f"stopped; go on with: fedmotion server start {config}")


@server.command()
def logs(
    config: ConfigToml,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="How many last lines of each log.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what is written, until Ctrl-C.")
    ] = False,
) -> None:
    """The last lines of the server's logs."""
    from common.rotating import last_lines
    from server.server_file import ServerFile

    folder = ServerFile.read(config).folder / "logs"
    files = {name: folder / f"{name}.log" for name in LOGS}
    ends = {name: file.stat().st_size if file.exists() else 0 for name, file in files.items()}
    found = [f"{name}: {line}" for name, file in files.items() for line in last_lines(file, lines)]
    for line in found or [f"no logs in {folder} yet"]:
        print(line)
    while follow:
        time.sleep(_FOLLOW_SECONDS)
        for name, file in files.items():
            for line in _further(file, name, ends):
                print(f"{name}: {line}", flush=True)


def _further(file: Path, name: str, ends: dict[str, int]) -> Iterator[str]:
    """Whole lines of `file` beyond `ends[name]`, which moves on; a file that became shorter is a new one."""
    if not file.exists():
        return
    with file.open("rb") as stream:
        if stream.seek(0, 2) < ends[name]:
            ends[name] = 0
        stream.seek(ends[name])
        whole = stream.read().rpartition(b"\n")[0]
    if whole:
        ends[name] += len(whole) + 1
        yield from whole.decode(errors="replace").split("\n")
