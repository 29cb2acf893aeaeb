"""Processes that run together and end together: started, watched, restarted with patience, never left behind.

One supervisor a folder, in the foreground. Each child leads a session of its own, writes to one log of
bounded size, and gets a signal from the kernel when the supervisor is killed. `supervisor.json` says what
`status` and `stop` need; whether it still holds, the lock beside it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from common import supervised
from common.errors import InputError
from common.process import OsUser, Process, die_with_parent, ended, forgo_privileges
from common.rotating import RotatingFile, last_lines
from common.storage import exclusive
from common.supervised import LOCK, STATE, Status, Watched, require_stopped, write_status

_TICK: Final = 0.2
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to keep running.

    It starts once all in `after` are `ready`. An exit code in `final` is about settings: no restart helps,
    all end and the supervisor ends with that code. SIGTERM asks it to end, SIGKILL follows after `patience`
    seconds; `orphaned` is what it gets when the supervisor is killed. `prepare` is called and `arguments` are
    asked for before each start; `signs` are texts of its output and what each says of it; after one in
    `hung` it works no more, though it stays: it is started again.
    """

    name: str
    command: tuple[str, ...]
    arguments: Callable[[], tuple[str, ...]] = tuple
    environment: Mapping[str, str]
    folder: Path
    log: Path
    user: OsUser | None = None
    ready: Callable[[], bool] = lambda: True
    after: tuple[str, ...] = ()
    final: tuple[int, ...] = ()
    prepare: Callable[[], None] = lambda: None
    signs: Mapping[str, str] = field(default_factory=dict)
    hung: tuple[str, ...] = ()
    patience: float = 20.0
    orphaned: int = signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Seconds before a restart: `first`, doubled up to `most`; `first` again after `calm` seconds up."""

    first: float = 1.0
    most: float = 30.0
    calm: float = 60.0


@dataclass(eq=False)
class _Worker:
    """A child as it is now."""

    child: Child
    log: RotatingFile
    watched: Watched
    delay: float
    process: subprocess.Popen[bytes] | None = None
    due: float = 0.0
    up: float = 0.0
    pipe: int = -1
    heard: bytes = b""

    def hear(self, content: bytes) -> None:
        """Keep what it wrote, and the last of its signs."""
        self.log.write(content)
        self.heard = (self.heard + content)[-4096 - len(content) :]
        found = max(self.child.signs, key=lambda text: self.heard.rfind(text.encode()), default=None)
        sign = self.child.signs[found] if found is not None and found.encode() in self.heard else ""
        if sign and sign != self.watched.sign:
            self.watched = replace(self.watched, sign=sign, sign_since=time.time())


class Supervisor:
    """Keeps `children` running; its state is in `folder`, and `note` hears of every change of it."""

    def __init__(
        self,
        children: Sequence[Child],
        folder: Path,
        note: Callable[[Status], None] = lambda _: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._children = children
        self._folder = folder
        self._note = note
        self._backoff = backoff or Backoff()
        self._asked = 0
        self._workers: dict[str, _Worker] = {}
        self._status = Status(process=Process.own(), since=time.time(), state="starting", code=0, children=())
        self._kept = False
        self._pipes = selectors.DefaultSelector()

    def run(self) -> int:
        """Until a signal ends it (0) or a child ends for good (its exit code); all children have ended then.

        InputError where another supervisor is at work in the folder.
        """
        require_stopped(self._folder)
        with exclusive(self._folder / LOCK), self._listening():
            try:
                before = supervised.read_status(self._folder)
                self._tell("starting")  # what stands there is of another supervisor
                supervised.end_remains(before, {child.name: child.folder for child in self._children})
                for child in self._children:
                    watched = Watched(name=child.name, state="waiting", since=time.time())
                    self._workers[child.name] = _Worker(
                        child, RotatingFile(child.log), watched, self._backoff.first
                    )
                while not self._asked and self._status.state != "failed":
                    self._step()
                return self._status.code
            finally:
                self._end()

    def _step(self) -> None:
        for worker in self._workers.values():
            if worker.process is None and time.monotonic() >= worker.due and self._may_start(worker.child):
                self._start(worker)
            elif worker.watched.state == "starting" and worker.child.ready():
                worker.watched = replace(worker.watched, state="running")
            self._reap(worker)
        up = all(worker.watched.state == "running" for worker in self._workers.values())
        if self._status.state != "failed":
            self._tell("running" if up else "starting")
        self._pump(_TICK)

    def _may_start(self, child: Child) -> bool:
        return all(self._workers[name].watched.state == "running" for name in child.after)

    def _start(self, worker: _Worker) -> None:
        child, supervisor = worker.child, os.getpid()

        def become() -> None:
            if child.user is not None:
                child.user.become()
            forgo_privileges()
            die_with_parent(child.orphaned)
            if os.getppid() != supervisor:
                os.kill(os.getpid(), signal.SIGKILL)

        child.prepare()
        try:
            process = subprocess.Popen(
                (*child.command, *child.arguments()),
                env=dict(child.environment),
                cwd=child.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=become,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise InputError(f"cannot start {child.name}: {error}") from None
        assert process.stdout is not None
        worker.process, worker.up, worker.pipe = process, time.monotonic(), process.stdout.fileno()
        os.set_blocking(worker.pipe, False)
        self._pipes.register(worker.pipe, selectors.EVENT_READ, worker)
        worker.watched = replace(
            worker.watched, state="starting", sign="", pid=process.pid, since=time.time()
        )
        worker.heard = b""

    def _reap(self, worker: _Worker) -> None:
        """Take note of a child that has ended: wait and start it again, or give all up."""
        if (process := worker.process) is None:
            return
        if worker.watched.sign in worker.child.hung:
            _kill_session(process.pid)
        if not ended(process.pid):
            return
        code, final = self._bury(worker, process), worker.child.final
        words = "".join(last_lines(worker.child.log))[:1000]
        state = "failed" if code in final else "waiting"
        worker.watched = replace(worker.watched, state=state, exit=code, words=words, since=time.time())
        if code in final:
            self._tell("failed", code)
            return
        if time.monotonic() - worker.up >= self._backoff.calm:
            worker.delay = self._backoff.first
        worker.due = time.monotonic() + worker.delay
        worker.delay = min(2 * worker.delay, self._backoff.most)
        worker.watched = replace(worker.watched, restarts=worker.watched.restarts + 1)

    def _bury(self, worker: _Worker, process: subprocess.Popen[bytes]) -> int:
        """The exit code of an ended child, once what it left of its session is gone, too."""
        _kill_session(process.pid)
        code = process.wait()
        self._drain(worker)
        if worker.pipe >= 0:
            self._close(worker)
        worker.process = None
        worker.watched = replace(worker.watched, pid=None)
        return code

    def _pump(self, seconds: float) -> None:
        """Move what children wrote to their logs for as long as that."""
        if not self._pipes.get_map():
            time.sleep(seconds)
        for key, _ in self._pipes.select(seconds) if self._pipes.get_map() else ():
            self._drain(key.data)

    def _drain(self, worker: _Worker) -> None:
        while worker.pipe >= 0:
            try:
                content = os.read(worker.pipe, 1 << 16)
            except BlockingIOError:
                return
            if not content:
                self._close(worker)
                return
            worker.hear(content)

    def _close(self, worker: _Worker) -> None:
        self._pipes.unregister(worker.pipe)
        if worker.process is not None and worker.process.stdout is not None:
            worker.process.stdout.close()
        worker.pipe = -1

    def _tell(self, state: str, code: int = 0) -> None:
        """On disk and to whoever listens, if anything changed; while the disk is full, tried again."""
        children = tuple(worker.watched for worker in self._workers.values())
        told = replace(self._status, state=state, code=code or self._status.code, children=children)
        changed = told != self._status
        if not changed and self._kept and (self._folder / STATE).exists():
            return
        self._status, self._kept = told, False
        with suppress(InputError):
            write_status(self._folder, told)
            self._kept = True
        if changed:
            with suppress(OSError):  # what it is told may go to a log on the same disk
                self._note(told)

    def _end(self) -> None:
        """All children at once: asked, then made to."""
        final = self._status.state if self._status.state == "failed" else "stopped"
        begun, asked = time.monotonic(), self._asked
        running = [worker for worker in self._workers.values() if worker.process is not None]
        for worker in running:
            assert worker.process is not None
            os.kill(worker.process.pid, signal.SIGTERM)
        if running and final != "failed":
            self._tell("stopping")
        while running:
            for worker in running:
                assert worker.process is not None
                impatient = time.monotonic() - begun > worker.child.patience or self._asked > asked
                if impatient:
                    _kill_session(worker.process.pid)
                if ended(worker.process.pid):
                    code = self._bury(worker, worker.process)
                    worker.watched = replace(worker.watched, state="stopped", exit=code, since=time.time())
            running = [worker for worker in running if worker.process is not None]
            self._pump(_TICK / 4)
        for worker in self._workers.values():
            if worker.watched.state != "failed":
                worker.watched = replace(worker.watched, state="stopped")
            worker.log.close()
        self._tell(final)
        self._pipes.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """SIGTERM, Ctrl-C and a closed terminal end all; a second one ends it without patience."""

        def ask(*_: object) -> None:
            self._asked += 1

        before = {number: signal.signal(number, ask) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
