"""Grades in processes of their own, so that there is a verdict whatever an attempt does to them.

An attempt's parent is the process that grades: it may be signalled, stopped or killed from there.
This process looks on. It tells what happened as the verdict, ends what was left, and is itself out
of the way: what stops a worker in good order is the end of a pipe, which comes also if we are
killed. So a signal that a worker gets is nobody's but the attempt's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tester.attempt.family import STOP_SIGNALS, adopt_orphans, wholly
from tester.attempt.guard import Wards, report_to
from tester.attempt.locate import UsageError
from tester.grading.grade import Collided

STOP_GRACE = 15.0  # Seconds that a worker has to stop what it has started.
LOOK = 0.1  # Seconds between two looks whether a worker was stopped: that tells nobody.
CAN_ASK_SENDER = hasattr(signal, "sigtimedwait")  # Who sent a signal: not on macOS.
CAUSE = (
    "Does it signal its parent, its group or all processes (kill with getppid, 0 or -1)?"
    " If it was you, or the memory ran out, grade again"
)


class Hit(Exception):
    """Something was done to the tester while it graded; the text is the verdict."""


class Worker:
    """A process that does some work, in a session of its own."""

    def __init__(self, work: Callable[[Worker], object], others: list[Worker]) -> None:
        """Begin; `work` gets this object, to `report` to, and returns what `outcome` returns.

        `others` are those that run already.
        """
        self.reports: list[dict[str, Any]] = []
        """What it has reported, but for what it started."""
        self.wards = Wards()
        self.ended = False
        self._news, self._told = b"", b""
        self._hit = ""
        self._pipes = [os.pipe() for _ in range(3)]
        (self._life, theirs), (news, self._tell), (result, self._give) = self._pipes
        self._keep: int | None = theirs
        self._open = [news, result]
        self._news_pipe = news
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            ours = [theirs, news, result]
            for pipe in ours + [pipe for other in others for pipe in other.pipes()]:
                os.close(pipe)
            self._be_worker(work)
        for pipe in (self._life, self._tell, self._give):
            os.close(pipe)

    # In the worker

    def _be_worker(self, work: Callable[[Worker], object]) -> None:
        """Do the work, give what comes of it, and end."""
        try:
            os.setsid()
            outcome = self._do(work)
            with contextlib.suppress(BrokenPipeError), open(self._give, "wb") as file:
                pickle.dump(outcome, file)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _do(self, work: Callable[[Worker], object]) -> object:
        """Return what comes of the work, an exception too."""
        heard: list[int] = []

        def interrupt(number: int, _: object) -> None:
            """Break the work off, as Ctrl-C does."""
            heard.append(number)
            raise KeyboardInterrupt

        try:
            for number in STOP_SIGNALS:
                signal.signal(number, interrupt)
            if CAN_ASK_SENDER:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            report_to(self._tell)
            adopt_orphans()
            threading.Thread(target=self._wait_for_end, daemon=True).start()
            return work(self)
        except KeyboardInterrupt:
            name = signal.Signals(heard[0]).name if heard else "SIGINT"
            return Hit(f"the attempt sent {name} to the tester. {CAUSE}")
        except (UsageError, Collided) as error:
            return error
        except Exception as error:
            traceback.print_exc()
            return Hit(f"the grade itself failed: {error!r}")
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def _wait_for_end(self) -> None:
        """Break the work off as soon as whoever has started us lets go of our life, or is gone."""
        os.read(self._life, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def report(self, **message: object) -> None:
        """Tell the process that has started us."""
        with contextlib.suppress(OSError):
            os.write(self._tell, json.dumps(message).encode() + b"\n")

    # In the process that has started it

    def pipes(self) -> list[int]:
        """Return the pipes that are open on our side."""
        return [*self._open, *([self._keep] if self._keep is not None else [])]

    def readable(self) -> list[int]:
        """Return those that something may come from."""
        return self._open

    def read(self, pipe: int) -> None:
        """Take in what has come from one of our pipes."""
        data = os.read(pipe, 65536)
        if not data:
            os.close(pipe)
            self._open.remove(pipe)
        if pipe != self._news_pipe:
            self._told += data
            return
        *lines, self._news = (self._news + data).split(b"\n")
        for message in map(json.loads, lines):
            if "marker" in message:
                self.wards.note(message)
            else:
                self.reports.append(message)

    def look(self) -> None:
        """See whether the process has been stopped or has ended, and bury it."""
        if self.ended:
            return
        patience = os.WNOHANG if self._open else 0  # Whose pipes have ended is just ending.
        pid, status = self._bury(patience | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            name = signal.Signals(os.WSTOPSIG(status)).name
            self._hit = f"the attempt stopped the tester ({name}). {CAUSE}"
            self.kill()
        elif pid:
            self._end(status)

    def _end(self, status: int) -> None:
        """Take in all that is left to read of a process that has ended, and end what it started."""
        self.ended = True
        if self._keep is not None:
            os.close(self._keep)
            self._keep = None
        while self._open:
            self.read(self._open[0])
        self.wards.end(0)
        if os.WIFSIGNALED(status) and not self._hit:
            name = signal.Signals(os.WTERMSIG(status)).name
            self._hit = f"the attempt killed the tester ({name}). {CAUSE}"
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._hit = f"the tester ended before the verdict (exit code {os.WEXITSTATUS(status)})"

    def ask_to_end(self) -> None:
        """Let go of its life."""
        if self._keep is not None:
            os.close(self._keep)
            self._keep = None

    def kill(self) -> None:
        """End it, and then what it has started: as it starts that, it bears the same mark."""
        os.kill(self._pid, signal.SIGKILL)
        self._end(self._bury(0)[1])

    def _bury(self, options: int) -> tuple[int, int]:
        """Return its number and how it ended or was stopped; 0 and 0 if neither has happened."""
        try:
            return os.waitpid(self._pid, options)
        except ChildProcessError:  # Killed as it bore the mark of what it was starting.
            return self._pid, signal.SIGKILL

    def outcome(self) -> Any:
        """Return what came of the work once it has ended. Raises what it raised, or Hit."""
        if self._hit:
            raise Hit(self._hit)
        outcome = pickle.loads(self._told)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Crew:
    """All workers of one grade."""

    def __init__(self) -> None:
        """None yet."""
        self._workers: list[Worker] = []

    def start(self, work: Callable[[Worker], object]) -> Worker:
        """Start a worker."""
        worker = Worker(work, [other for other in self._workers if not other.ended])
        self._workers.append(worker)
        return worker

    def wait(self, done: Callable[[], object]) -> None:
        """Wait until something is `done`. Raises KeyboardInterrupt; Hit, if the attempt did it."""
        while not done():
            self._look()

    def finish(self, worker: Worker) -> Any:
        """Return what comes of a worker's work. Raises what it raises, and as `wait` does."""
        self.wait(lambda: worker.ended)
        return worker.outcome()

    def _look(self) -> None:
        """Take in what comes within a moment."""
        owners = {pipe: one for one in self._workers for pipe in one.readable()}
        for pipe in select.select([*owners], [], [], LOOK)[0]:
            owners[pipe].read(pipe)
        for worker in self._workers:
            worker.look()
        if CAN_ASK_SENDER and (heard := signal.sigtimedwait(STOP_SIGNALS, 0)):
            if any(heard.si_pid in one.wards.pids() for one in self._workers if not one.ended):
                name = signal.Signals(heard.si_signo).name
                raise Hit(f"the attempt sent {name} to the tester. {CAUSE}")
            raise KeyboardInterrupt(heard.si_signo)

    def stop(self) -> None:
        """Leave nothing running: whoever has not ended is asked to, and cleans up."""
        for worker in self._workers:
            worker.ask_to_end()
        deadline = time.monotonic() + STOP_GRACE
        while (left := [one for one in self._workers if not one.ended]) and (
            time.monotonic() < deadline
        ):
            with contextlib.suppress(Hit, KeyboardInterrupt):
                self._look()
        for worker in left:
            worker.kill()


@contextlib.contextmanager
def working() -> Iterator[Crew]:
    """Yield a crew that leaves nothing running. Ctrl-C is heard by `Crew.wait` meanwhile."""
    crew = Crew()
    heard = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard if CAN_ASK_SENDER else [])
    try:
        with wholly(crew.stop):
            yield crew
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
