"""The commands `ledger init | show | verify | export` and `withdraw`, for whoever holds the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from client.chain import DamageError
from client.ledger import Ledger
from client.membership import first_agreement
from client.memory import Memory
from client.site import SiteFile
from client.statement import check, export, statement, withdrawal
from common.errors import FedmotionError, InputError
from common.storage import write_atomically, writing

LedgerFile = Annotated[Path, typer.Argument(metavar="LEDGER", help="A site's ledger, such as north.sqlite.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

ledger = typer.Typer(
    help="Look at a site's ledger, check it, or hand it to an auditor; a running gate is not disturbed.",
    no_args_is_help=True,
    add_completion=False,
)


@ledger.command()
def show(ledger: LedgerFile, as_json: AsJson = False) -> None:
    """Budget, each run's reserved and spent epsilon, withdrawals and the runs that came before."""
    with Ledger.read(ledger) as opened:
        found = statement(opened)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    tell = _teller()
    terms = f"for every {found['unit']} ({found['neighbouring']}, {found['accountant']}"
    tell(
        f"site {found['site']}: lifetime budget {_said(found['budget'])},"
        f" reserved {_said(found['reserved'])}, left {_said(found['left'])} {terms}; {found['across_runs']},"
        f" trust {' and '.join(found['trust']) or 'of no run yet'})"
    )
    for run in found["runs"]:
        tell(
            f"run {run['run_id']}: {run['rounds_charged']} of {run['rounds_planned']} rounds in"
            f" {run['charges']} charges; spent {_said(run['spent'])} of {_said(run['reserved'])} {terms},"
            f" trust {run['trust']}){_newest(run['latest'])}"
        )
    for each in found["withdrawals"]:
        tell(f"withdrawn {each['at']} (mark {each['mark'][:12]}): {_affected(each['affected'])}")


@ledger.command()
def verify(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="A site's ledger, or an export of one.")],
    head: Annotated[
        str | None, typer.Option(help="Also require this head to be in it, as a coordinator's run keeps it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every entry, the signature and all that is kept beside; exit code 1 names the first bad entry.

    An older state of a ledger is as valid as the newest: only a head that a coordinator
    has seen (witnesses.json in its run folder; --head) tells the two apart.
    """
    found: dict[str, Any] = {"ledger": str(ledger), "valid": True, "reason": None}
    try:
        accounts, tip, hashes = check(ledger)
        if head is not None and head not in hashes:
            raise DamageError(f"{ledger} lacks the head {head}: it is of another site or an older state")
        found |= {"site": accounts.owner.site, "key": accounts.owner.key}
        found |= {"entries": tip.seq, "head": tip.hash.hex()}
    except DamageError as error:
        if as_json:
            print(json.dumps({**found, "valid": False, "reason": str(error)}, indent=2))
        raise
    if as_json:
        print(json.dumps(found, indent=2))
        return
    _teller()(
        f"valid: {found['entries']} entries of {found['site']}, head {found['head']}, key {found['key']}"
    )


@ledger.command()
def init(
    site: Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site's own file.")],
) -> None:
    """Make the site's ledger with the lifetime budget that its file states, once and for good.

    A ledger that was lost is not made again, since what people were charged stands in it: restore it.
    """
    file = SiteFile.read(site)
    if file.federation is not None and (used := first_agreement(file.federation.folder)) is not None:
        raise InputError(
            f"this site has agreed to plans ({used}), so it had a ledger: restore its newest backup to"
            f" {file.ledger}"
        )
    with writing(file.ledger):
        file.ledger.parent.mkdir(parents=True, exist_ok=True)
    file.create_ledger()
    budget: dict[str, float | None] = {"epsilon": file.budget.epsilon, "delta": file.budget.delta}
    _teller()(f"{file.ledger}: every {file.unit} has a lifetime budget of {_said(budget)}")


@ledger.command("export")
def export_command(
    ledger: LedgerFile, out: Annotated[Path, typer.Option(help="JSON-lines file to write.")]
) -> None:
    """Write the chain for an auditor, who checks it with `ledger verify FILE`; it holds no names and no data.

    Line 1: format, site, key, entries, head, signature, and the rule of the hash. Then one
    line an entry: seq, body (JSON: kind created, reserved, charged, stored or withdrawn, its
    time and facts), salt, hash. It counts runs and withdrawals: it is not for coordinators.
    """
    with Ledger.read(ledger) as opened:
        text, entries = export(opened), opened.tip.seq
    write_atomically(out, text.encode())
    _teller()(f"{entries} entries in {out}")


def withdraw(
    site: Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site's own file.")],
    person: Annotated[str, typer.Argument(help="The person, by the name that the data set gives.")],
    as_json: AsJson = False,
) -> None:
    """Leave a person out of every later round, with all their records, for good.

    Works while the site's gate runs, from its next round on, and also for a person whose
    data are deleted already. What a critic learned from the person is erased. Nothing is refunded,
    nothing of it is sent, and the recordings themselves stay where they are: delete them yourself.
    """
    if not person:
        raise InputError("PERSON is empty: give the name that the data set gives")
    file = SiteFile.read(site)
    with Ledger.beside(file.ledger) as opened:
        record, new = opened.withdraw(person)
        Memory(opened.path).forget([opened.tombstones().mark(person)])
    found = {"site": file.name, "person": person, "new": new, "known": _known(file, person)}
    found |= withdrawal(record)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    tell = _teller()
    since = "from its next round on" if new else f"since {record.at} already"
    tell(f"{person} is left out at {file.name} {since}; nothing is refunded, and nothing of this is sent")
    if found["known"] is not True:
        why = "the site's data could not be read" if found["known"] is None else "no such name in its data"
        tell(f"{why}: recorded all the same; check the spelling, unless the person's data are deleted")
    tell(_affected(record.affected))


def _known(file: SiteFile, person: str) -> bool | None:
    """Whether the site's data name `person` now; None where they cannot be read."""
    try:
        return person in file.people()
    except FedmotionError:
        return None


def _affected(runs: dict[str, int]) -> str:
    if not runs:
        return "no run was charged before: no model can have learned from the person"
    named = ", ".join(f"{run} ({rounds} rounds)" for run, rounds in runs.items())
    return f"charged before, so their checkpoints may have learned from the person: {named}"


def _newest(latest: dict[str, Any] | None) -> str:
    """The model that was answered last, for sites to compare."""
    if latest is None or latest["state"] is None:
        return ""
    return f"; the model of round {latest['round']} was {latest['state']}"


def _said(cost: dict[str, float | None]) -> str:
    epsilon = "inf" if cost["epsilon"] is None else f"{cost['epsilon']:.4g}"
    return f"epsilon {epsilon} at delta {cost['delta']:.3g}"


def _teller() -> Any:
    console = Console(highlight=False)
    return lambda line: console.print(line, markup=False, soft_wrap=True)
