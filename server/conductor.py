"""The process that conducts one run: lets its sites in, hands the ServerApp to Flower, sees it to its end.

A ServerApp that dies is handed over again, and goes on from the checkpoint. Whether it lives is read off
the lock that it holds, not asked of Flower, which would notice after a minute.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from common.errors import FedmotionError, InputError, Refusal, RefusalCode
from common.plan import Plan
from common.run_plan import RUN_PLAN, read_run_plan
from common.storage import exclusive, held, read_json, write_json
from server.pace import Pace
from server.preflight import node_keys
from server.progress import last_row
from server.proposal import LEASH
from server.rounds import LOCK, OUTCOME
from server.server_file import ServerFile
from server.superlink import DATABASE, NODES, Flower, FlowerError

STATE: Final = "conductor.json"
CRASHED: Final = 70
"""Exit code where Flower did not answer, or something failed in a way nobody foresaw: it is started again."""
FINAL: Final = (0, 1, 2, 3)
_POLL: Final = 0.5
_START_SECONDS: Final = 120.0
_ASK_SECONDS: Final = 15.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_CALM_SECONDS: Final = 300.0

_log = logging.getLogger("fedmotion.server")


@dataclass(frozen=True, kw_only=True)
class Conducting:
    """What the conductor says of itself: the run, Flower's number of the latest attempt, how many there
    were, and the seconds of a round as measured."""

    run_id: str
    state: str
    attempt: str = ""
    attempts: int = 0
    pace: float | None = None
    words: str = ""

    @classmethod
    def read(cls, folder: Path) -> Conducting | None:
        """What stands in the server's run state `folder`; None where nothing does."""
        try:
            return cls(**read_json(folder / STATE))
        except (InputError, TypeError):
            return None


class Conductor:
    """One run of `plan` in `folder`, over the SuperLink of `flower`."""

    def __init__(self, config: ServerFile, folder: Path, plan: Plan) -> None:
        self._config = config
        self._folder = folder
        self._plan = plan
        self._flower = Flower(config.folder)
        self._now = Conducting(run_id=plan.run_id, state="starting")

    def run(self) -> None:
        """Until all rounds are done; raises what stopped the run before."""
        with exclusive(self._folder / LEASH):
            self._take_over()
            self._admit()
            wait = _FIRST_WAIT
            while not self._finished():
                begun = time.monotonic()
                self._attempt()
                if self._outcome() is not None:
                    break
                wait = _FIRST_WAIT if time.monotonic() - begun > _CALM_SECONDS else wait
                self._say("restarting", words="the ServerApp ended before its run: see logs/run.log")
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            from server.closing import close  # a second of imports, once a run

            self._say("closing")
            close(self._folder)
        outcome = self._outcome() or {}
        why = outcome.get("stopped")
        self._say("finished" if why is None else "stopped", words=why or "")
        _raise_stopped(outcome)

    def _take_over(self) -> None:
        """End what a conductor before this one left with Flower: one ServerApp a run."""
        before = Conducting.read(self._flower.run)
        if before is not None and before.attempt:
            self._end(before.attempt)

    def _admit(self) -> None:
        """Let in the SuperNodes of the plan's sites, and put out those that are believed no longer.

        Flower never lets a key in again that was put out. One node at most is let in and not written
        down, where a crash came between: then it is the only one that nobody knows.
        """
        flower, known = self._flower, self._flower.admitted()
        there, believed = flower.nodes(), set(node_keys(self._config).values())
        for key, node in known.values():
            if node in there and key not in believed:
                flower.unregister(node)
        kept = {site: pair for site, pair in known.items() if pair[1] in there and pair[0] in believed}
        wanted = node_keys(self._config, self._plan)
        for site in sorted(site for site in wanted if kept.get(site, ("", ""))[0] != wanted[site]):
            strangers = set(there) - {node for _, node in known.values()}
            kept[site] = wanted[site], self._let_in(site, wanted[site], strangers)
            write_json(flower.run / NODES, {"nodes": kept})

    def _let_in(self, site: str, key: str, strangers: set[str]) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".pub", dir=self._flower.run) as file:
            file.write(key)
            file.flush()
            try:
                return self._flower.register(Path(file.name))
            except FlowerError as error:
                if "already in use" not in str(error):
                    raise
        if len(strangers) == 1:
            return strangers.pop()
        raise InputError(
            f"Flower's database lets {site} in no longer: stop the server and move"
            f" {self._flower.run / DATABASE} away; no round of the run is lost by that"
        )

    def _attempt(self) -> None:
        """Hand the ServerApp over, and return once it has ended, with an outcome or without."""
        (self._folder / OUTCOME).unlink(missing_ok=True)
        attempt = self._flower.submit(self._folder)
        self._say("running", attempt=attempt, attempts=self._now.attempts + 1)
        begun = asked = time.monotonic()
        while not held(self._folder / LOCK) and self._outcome() is None:
            now = time.monotonic()
            if now - begun > _START_SECONDS:
                return self._end(attempt)
            if now - asked > _ASK_SECONDS:
                asked = now
                if self._has_ended(attempt):
                    return
            time.sleep(_POLL)
        pace = Pace()
        while held(self._folder / LOCK):
            done = int(last_row(self._folder, self._plan)["round"])
            if (measured := pace.after(done, time.monotonic())) != self._now.pace:
                self._say("running", pace=measured)
            time.sleep(_POLL)
        if self._outcome() is None:
            self._end(attempt)

    def _has_ended(self, attempt: str) -> bool:
        try:
            return self._flower.has_ended(attempt) is not None
        except FlowerError:
            return False

    def _end(self, attempt: str) -> None:
        """See that nothing of an attempt goes on; a SuperLink that does not know it has nothing to end."""
        try:
            self._flower.end(attempt)
        except FlowerError as error:
            _log.info("attempt %s: %s", attempt, error)

    def _outcome(self) -> dict[str, Any] | None:
        return read_json(self._folder / OUTCOME) if (self._folder / OUTCOME).exists() else None

    def _finished(self) -> bool:
        outcome = self._outcome()
        return outcome is not None and outcome["rounds"] == self._plan.rounds

    def _say(self, state: str, **changes: Any) -> None:
        self._now = replace(self._now, state=state, **{"words": "", **changes})
        try:
            write_json(self._flower.run / STATE, asdict(self._now))
        except InputError as error:  # a full disk: the run waits for space, and goes on from its checkpoint
            _log.warning("%s", error)
        _log.info("%s %s", state, self._now.words)


def _raise_stopped(outcome: dict[str, Any]) -> None:
    """What ended a run early: a refusal where rules or budgets of sites forbade it, else a failure."""
    if outcome.get("stopped") is None:
        return
    counts = ", ".join(f"{count} x {code}" for code, count in outcome["refusals"].items())
    line = f"stopped after {outcome['rounds']} rounds: {outcome['stopped']}" + (
        f" ({counts})" if counts else ""
    )
    rules = sorted(set(outcome["refusals"]) - {RefusalCode.UNAVAILABLE.value})
    raise Refusal(RefusalCode(rules[0]), line) if rules else FedmotionError(line)


def main(arguments: list[str]) -> int:
    """CONFIG.toml and the run's folder; an exit code of `FINAL`, or `CRASHED`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    folder = Path(arguments[1])
    try:
        Conductor(ServerFile.read(Path(arguments[0])), folder, read_run_plan(folder / RUN_PLAN)).run()
    except FlowerError as error:
        print(error)
        return CRASHED
    except FedmotionError as error:
        print(error)
        return error.exit_code
    except OSError as error:
        words = error.strerror or "the disk is full, or not ours to write"
        print(f"the run waits, as its folder cannot be written: {words}; free space")
        return CRASHED
    except Exception:
        _log.exception("the conductor failed")
        return CRASHED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
