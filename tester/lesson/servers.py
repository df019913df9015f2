"""Runs servers for the lessons: one at a time, and none of them outlives the notebook."""

from __future__ import annotations

import atexit
import contextlib
import reprlib
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tester.attempt.guard import Guard
from tester.attempt.locate import Attempt, UsageError, locate
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.ladder.stages import ROOT, STAGES, Stage, get_stage
from tester.mistakes import MISTAKES, Mistake, source
from tester.wire.connection import Address

SITE = ROOT / "stages" / "public"  # The sample site, which the servers of later stages serve.
PRINT_TIMEOUT = 5.0  # Seconds to wait for words that a server should print.
_guard = Guard()
_current: Running | None = None


class LessonError(Exception):
    """What a cell asks for can't be done. The text is one line that says what to do."""

    def _render_traceback_(self) -> list[str]:
        """Show this one line in a notebook, without a traceback through our code."""
        return [f"LessonError: {self}"]


def check_kind(what: object, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Raise LessonError unless `what` is of one of these kinds; `wanted` says which: "a text".

    So a mistake in a cell ends in one line, and not somewhere inside our own code.
    """
    if not isinstance(what, kinds):
        raise LessonError(f"expected {wanted}; got {reprlib.repr(what)}")


class Running:
    """A server that runs until another is started, or the notebook ends."""

    def __init__(self, what: int | Mistake | str | Path, files: bool | None = None) -> None:
        """Start `what`; the arguments are those of `start`. Raises LessonError."""
        self._own: Path | None = None
        self.name, self.stage, attempt = self._find(what)
        with_files = get_stage(self.stage).has_files if files is None else files
        self._server = Server(attempt, with_directory=with_files)
        self._is_stopped = False
        folders = [self._server.scratch, *filter(None, [self._own])]
        _guard.protect(self._server.marker, folders)
        try:
            if with_files:
                self._server.scratch.mkdir(0o700, exist_ok=True)
                shutil.copytree(SITE, self._server.public)
            self._server.start()
        except StartError as error:
            self.stop()
            raise LessonError(f"{error}") from None
        except BaseException:
            self.stop()
            raise

    def _find(self, what: int | Mistake | str | Path) -> tuple[str, int, Attempt]:
        """Return the server's name, its stage (1 if that is unknown), and its program."""
        try:
            if isinstance(what, int):
                return f"the server of stage {what}", what, locate(str(find_stage(what).server))
            if isinstance(what, Mistake):
                name = f"the server of stage {what.stage} with a mistake in it"
                return name, what.stage, self._write(source(what))
            if "\n" in str(what):
                return "a server of our own", 1, self._write(str(what))
            return str(what), 1, locate(str(what))
        except (UsageError, ValueError) as error:
            raise LessonError(str(error)) from None

    def _write(self, text: str) -> Attempt:
        """Return the attempt whose program is `text`, kept in a folder of our own."""
        self._own = Path(tempfile.mkdtemp(prefix="http-tester-lesson-"))
        path = self._own / "server.py"
        path.write_text(text, encoding="utf-8")
        return locate(str(path))

    @property
    def address(self) -> Address:
        """Where it listens. Raises LessonError once it has been stopped."""
        if self._is_stopped:
            raise LessonError("this server has been stopped: run the cell with start(…) again")
        return self._server.address

    @property
    def url(self) -> str:
        """The address in the form for a browser, without a slash at the end."""
        return f"http://{self.address.host}:{self.address.port}"

    @property
    def folder(self) -> Path:
        """The folder that a server with files serves."""
        return self._server.public

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return not self._is_stopped and self._server.exit_code is None

    def survives(self) -> bool:
        """Return whether it still runs, and is not about to end."""
        return not self._is_stopped and self._server.wait_for_exit() is None

    @property
    def memory(self) -> int:
        """How many bytes of memory it has for itself right now; 0 once it has been stopped."""
        return self._server.memory() if self.alive else 0

    def printed(self, lines: int = 12, *, until: str = "", seconds: float = PRINT_TIMEOUT) -> str:
        """Return the last `lines` lines that it has printed.

        Its output takes a moment to get here. So this waits until it contains `until`, but at most
        `seconds`, and no longer than the server lives.
        """
        self._server.output.wait_for(until, seconds)
        return self._server.output.tail(lines)

    def stop(self) -> None:
        """End it, and remove its files."""
        self._server.stop()
        self._is_stopped = True
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        _guard.release(self._server.marker)

    def __repr__(self) -> str:
        """Return what runs, but not where: the port is another one each time."""
        return f"{self.name[0].upper()}{self.name[1:]} {'is running' if self.alive else 'stopped'}."


def start(what: int | Mistake | str | Path, *, files: bool | None = None) -> Running:
    """Start a server, and stop the one that was started before.

    `what` is the number of a stage, a mistake (see `mistake`), the path of a program, or the text
    of a Python program. `files` says whether it gets `--directory` and the sample site; by default,
    servers from stage 12 on do. Raises LessonError.
    """
    global _current
    stop()
    _watch_interrupts()
    _current = Running(what, files)
    return _current


def stop() -> None:
    """Stop the server that runs, if any."""
    global _current
    if _current is not None:
        _current.stop()
        _current = None


@contextlib.contextmanager
def serving(what: int | Mistake | str | Path, *, files: bool | None = None) -> Iterator[Running]:
    """Run a server in addition to the one from `start`, until the `with` block ends."""
    server = Running(what, files)
    try:
        yield server
    finally:
        server.stop()


def find_running(server: Running | None = None) -> Running:
    """Return `server`, or the one that runs. Raises LessonError if none does."""
    check_kind(server, (Running, type(None)), "a server that `start` has returned")
    chosen = server or _current
    if chosen is None:
        raise LessonError("no server is running: run the cell with start(…) first")
    return chosen


def mistake(stage: int, words: str) -> Mistake:
    """Return the one mistake of a stage whose title contains `words`. Raises LessonError.

    >>> mistake(7, "counts letters").title
    'Content-Length counts letters, not bytes'
    """
    find_stage(stage)
    check_kind(words, str, "a piece of a mistake's title, as text")
    titles = [one for one in MISTAKES if one.stage == stage and words.lower() in one.title.lower()]
    if len(titles) != 1:
        known = "; ".join(one.title for one in MISTAKES if one.stage == stage)
        raise LessonError(
            f"{len(titles)} mistakes of stage {stage} have {words!r} in their title, not one. "
            f"There are: {known}"
        )
    return titles[0]


def find_stage(number: int) -> Stage:
    """Return a stage. Raises LessonError if `number` is not the number of a stage."""
    if not isinstance(number, int) or not 1 <= number <= len(STAGES):
        raise LessonError(f"there is no stage {number!r}: write a number from 1 to {len(STAGES)}")
    return get_stage(number)


def load(stage: int) -> types.ModuleType:
    """Return the server of a stage as a module, so that its functions can be called.

    This does not start the server. Raises LessonError if there is no such stage.
    """
    path = find_stage(stage).server
    module = types.ModuleType(f"stage_{stage:02}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # Dataclasses look for it there.
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def slowed(stage: int, seconds: float) -> str:
    """Return the text of a stage's server that takes this many seconds to make each response.

    It acts as if it had to ask a database first. Pass the text to `start`. Raises LessonError.
    """
    text = find_stage(stage).server.read_text(encoding="utf-8")
    main = 'if __name__ == "__main__":'
    if text.count(main) != 1 or "\ndef respond(request" not in text:
        raise LessonError(f"the server of stage {stage} has no `respond` that could be slowed down")
    slow = f"""\
def respond_slowly(request, respond=respond):
    time.sleep({seconds})
    return respond(request)


respond = respond_slowly

"""
    return text.replace(main, slow + main)


def _watch_interrupts() -> None:
    """In a notebook, stop the server when a cell is interrupted."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if (shell := get_ipython()) is not None and not hasattr(shell, "lesson_hook"):
            shell.lesson_hook = _after_cell
            shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:
    """Stop the server if a cell has ended by Ctrl-C, or the stop button."""
    if isinstance(result.error_in_exec, KeyboardInterrupt):
        stop()


atexit.register(stop)
