"""Servers for the lessons: one runs at a time, and none of them outlives the notebook."""

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

SITE = ROOT / "stages" / "public"  # The sample site, which a server of a later stage serves.
PRINT_TIMEOUT = 5.0  # Seconds to wait for words that a server should print.
_guard = Guard()
_current: Running | None = None


class LessonError(Exception):
    """Something that a cell asked for can't be done; the text is one line that says what to do."""

    def _render_traceback_(self) -> list[str]:
        """Show the one line in a notebook, and no way through our own code."""
        return [f"LessonError: {self}"]


def check_kind(what: object, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Raise LessonError unless `what` is of one of these kinds; `wanted` says it, as in "a text".

    A slip in a cell then ends in one line, and not in the midst of our own code.
    """
    if not isinstance(what, kinds):
        raise LessonError(f"this must be {wanted}, and not {reprlib.repr(what)}")


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
        """Return what to call the server, its stage (18 where that is unknown), and the program."""
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
        """The address as a browser wants it, without a slash at the end."""
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
        """Return whether it still runs, and is not just about to end."""
        return not self._is_stopped and self._server.wait_for_exit() is None

    @property
    def memory(self) -> int:
        """How many bytes of memory it has for itself right now; 0 once it has been stopped."""
        return self._server.memory() if self.alive else 0

    def printed(self, lines: int = 12, *, until: str = "", seconds: float = PRINT_TIMEOUT) -> str:
        """Return the last `lines` lines that it has printed.

        What it prints takes a moment to get here: so wait until the words `until` are there, but
        at most so many seconds, and no longer than the server lives.
        """
        self._server.output.wait_for(until, seconds)
        return self._server.output.tail(lines)

    def stop(self) -> None:
        """End it, and remove what it had on the disk."""
        self._server.stop()
        self._is_stopped = True
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        _guard.release(self._server.marker)

    def __repr__(self) -> str:
        """Say what runs; not where, as that is another port each time."""
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
    """Run a server beside the one that `start` has started, as long as the `with` block lasts."""
    server = Running(what, files)
    try:
        yield server
    finally:
        server.stop()


def find_running(server: Running | None = None) -> Running:
    """Return `server`, or the one that runs. Raises LessonError where none does."""
    check_kind(server, (Running, type(None)), "a server that `start` has returned")
    chosen = server or _current
    if chosen is None:
        raise LessonError("no server is running: run the cell with start(…) first")
    return chosen


def mistake(stage: int, words: str) -> Mistake:
    """Return the one mistake of a stage in whose title `words` stand. Raises LessonError.

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
    """Return a stage. Raises LessonError for whatever is no number of a stage."""
    if not isinstance(number, int) or not 1 <= number <= len(STAGES):
        raise LessonError(f"there is no stage {number!r}: write a number from 1 to {len(STAGES)}")
    return get_stage(number)


def load(stage: int) -> types.ModuleType:
    """Return the server of a stage as a module, so that its functions can be called.

    Nothing is started by that. Raises LessonError where there is no such stage.
    """
    path = find_stage(stage).server
    module = types.ModuleType(f"stage_{stage:02}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # Where dataclasses look for it.
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def slowed(stage: int, seconds: float) -> str:
    """Return the text of a stage's server in which each answer takes so many seconds to make.

    As if it had to ask a database first. Give it to `start`. Raises LessonError.
    """
    text = Path(str(load(stage).__file__)).read_text(encoding="utf-8")
    main = 'if __name__ == "__main__":'
    if text.count(main) != 1 or "\ndef respond(request" not in text:
        raise LessonError(f"the server of stage {stage} has no `respond` to be slowed down")
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
