"""Runs an attempt: starts it, finds the port it listens on, keeps its output, and stops all of it.

Nothing here connects to the attempt: which port it listens on is read from the system's own tables,
so that a fragile server is never disturbed by being looked at.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

IDLE_TIMEOUT = 1  # Seconds a client may stay silent, as the attempts are told.
STARTUP_TIMEOUT = 10.0  # Seconds until an attempt must listen.
PATIENCE = 5.0  # Seconds until an answer must have come; long, so that load is no failure.
OTHER_PORT_PAUSE = 0.3  # Seconds that another port must be open before we believe in it.
GRACE = 0.5  # Seconds between the request to stop (SIGTERM) and the end (SIGKILL).
EXIT_PAUSE = 0.02  # Seconds until a dying program has closed its sockets, and
EXIT_TIMEOUT = 1.0  # until one that no longer listens has exited.
KEPT_OUTPUT = 256 * 1024  # Bytes of output that are kept; of more, the end.
POLL = 0.005  # Seconds between two looks at the system's table of listening sockets.
MARKER = "HTTP_TESTER_RUN"  # In the environment of all that we start: finds what ran away.
FOLDER_PROGRAMS = ("server.py", "your_program.sh", "your_server.sh", "app/main.py")

# What an attempt prints when it can't start, and what is likely to help.
START_ADVICE = (
    (
        "Address already in use",
        "If no other program has this port, it is still kept for the connections of your last run:"
        " set SO_REUSEADDR before bind, or take the port from the environment variable PORT",
    ),
    ("Permission denied", "Ports below 1024 need special rights: take the one in PORT"),
    ("Invalid argument", "Is listen() called before accept()?"),
)


class UsageError(Exception):
    """Something that the user gave can't be used; the text is one line that says what to do."""


class StartError(Exception):
    """The attempt did not come to listen; `output` is the end of what it printed."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True)
class Attempt:
    """A program to grade, and how to start it."""

    label: str
    """What the user called it."""
    command: tuple[str, ...]
    folder: Path | None = None
    """Where it must run; `None` for the scratch folder."""


@dataclass(frozen=True)
class Address:
    """Where an attempt listens."""

    host: str
    """What to connect to: a wildcard address is replaced by its loopback address."""
    port: int
    bound: str
    """The address as the attempt bound it, such as `0.0.0.0`."""


def locate(path: str | None, command: str | None = None) -> Attempt:
    """Find out how to run the attempt at `path`, or `command` in the folder `path`.

    Raises UsageError with one line that says what to do.
    """
    place = Path(path or ".").expanduser()
    if not place.exists():
        raise UsageError(f"there is no {path}: give the path of your server's file or folder")
    place = place.resolve()
    if command is not None:
        return _command_attempt(command, place)
    if place.is_dir():
        return _folder_attempt(path or ".", place)
    if place.suffix == ".py":
        return Attempt(path or ".", (sys.executable, "-u", str(place)))
    if os.access(place, os.X_OK):
        return Attempt(path or ".", (str(place),))
    raise UsageError(f"{path} is neither a .py file nor executable: run chmod +x on it first")


def _command_attempt(command: str, place: Path) -> Attempt:
    """Return the attempt that `command` starts in the folder `place`, or beside the file."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--command can't be read ({error}): check its quotes") from None
    if not words:
        raise UsageError('--command is empty: write, for example, --command "go run ."')
    folder = place if place.is_dir() else place.parent
    if not shutil.which(words[0], path=None) and not (folder / words[0]).exists():
        raise UsageError(f"--command: there is no program {words[0]!r} on this machine")
    return Attempt(command, words, folder)


def _folder_attempt(path: str, place: Path) -> Attempt:
    """Return the attempt in the folder `place`, by the first program that is found in it."""
    for name in FOLDER_PROGRAMS:
        program = place / name
        if not program.is_file():
            continue
        if name == "server.py":
            return Attempt(path, (sys.executable, "-u", str(program)))
        if name == "app/main.py":
            return Attempt(path, (sys.executable, "-u", "-m", "app.main"), place)
        shell = (str(program),) if os.access(program, os.X_OK) else ("sh", str(program))
        return Attempt(path, shell, place)
    names = ", ".join(FOLDER_PROGRAMS[:-1])
    raise UsageError(
        f"{path} holds no program: it needs {names} or {FOLDER_PROGRAMS[-1]}, or use --command"
    )


class Output:
    """What an attempt prints, both streams together, read as it comes."""

    def __init__(self, stream: object) -> None:
        """Read from `stream`, a binary pipe, in a thread of its own until it ends."""
        self._descriptor: int = stream.fileno()  # type: ignore[attr-defined]
        self._stream = stream
        self._data = b""
        self._ended = False
        self.written = 0
        """How many bytes have come in all."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        """Keep the end of what comes, and tell who waits for it."""
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._descriptor, 65536):
                with self._changed:
                    self._data = (self._data + data)[-KEPT_OUTPUT:]
                    self.written += len(data)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """All that is kept, as text; what is no UTF-8 is escaped."""
        return self._data.decode("utf-8", "backslashreplace")

    def tail(self, lines: int = 12, since: int = 0) -> str:
        """The last `lines` lines of what came after the first `since` bytes."""
        new = self._data[max(0, len(self._data) - (self.written - since)) :]
        text = new.decode("utf-8", "backslashreplace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def wait_for(self, words: str, seconds: float) -> bool:
        """Wait at most `seconds` until `words` have been printed; return whether they were."""
        with self._changed:
            self._changed.wait_for(lambda: words in self.text or self._ended, seconds)
        return words in self.text

    def pause(self, seconds: float) -> None:
        """Wait until something is printed, at most `seconds`."""
        with self._changed:
            self._changed.wait(seconds)

    def finish(self, seconds: float = 0.3) -> None:
        """Wait at most `seconds` for the end of the output, once the attempt has exited."""
        self._thread.join(seconds)

    def close(self) -> None:
        """Let go of the pipe, when nothing writes to it any more."""
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._stream.close()  # type: ignore[attr-defined]


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running attempt, in a scratch folder of its own that holds `public` and `public-secret`."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        with_directory: bool = False,
        startup_timeout: float = STARTUP_TIMEOUT,
    ) -> None:
        """Prepare the scratch folder; `start` runs the attempt."""
        self.attempt = attempt
        self.with_directory = with_directory
        self.startup_timeout = startup_timeout
        self.requested_port = free_port()
        self.address: Address | None = None
        self.output: Output | None = None
        self.starts = 0
        self.patience = PATIENCE
        """Seconds to wait for an answer; fewer, once the attempt has been silent for so long."""
        self.keeps_open = False
        """Whether a connection stayed open that had to end: the next one is not waited for."""
        self._marker = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()
        self._over = False
        self.scratch = Path(tempfile.mkdtemp(prefix="http-tester-")).resolve()
        self.public = self.scratch / "public"
        self.public.mkdir()

    @property
    def hard_coded(self) -> bool:
        """Whether the attempt listens on a port of its own choice."""
        return self.address is not None and self.address.port != self.requested_port

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the attempt or a process that it started runs."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        return None if self._survivors() else process.returncode

    def start(self) -> Address:
        """Run the attempt and wait until it listens. Raises StartError if it does not."""
        self.starts += 1
        environment = os.environ | {
            "PORT": str(self.requested_port),
            "IDLE_TIMEOUT": str(IDLE_TIMEOUT),
            "TZ": "America/New_York",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # Nothing is written into the attempt's folder.
            MARKER: self._marker,
        }
        directory = ("--directory", str(self.public)) if self.with_directory else ()
        with self._lock:  # Who stops us meanwhile must find the process, or keep it from starting.
            if self._over:
                raise StartError("the run is over")
            try:
                self._process = subprocess.Popen(
                    [*self.attempt.command, *directory],
                    cwd=self.attempt.folder or self.scratch,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us: we stop the attempt ourselves.
                )
            except OSError as error:
                advice = " (is its first line #!/bin/sh?)" if error.errno == errno.ENOEXEC else ""
                message = f"the attempt can't be started: {error.strerror}{advice}"
                raise StartError(message) from None
            self.output = Output(self._process.stdout)
            self._known = {}
        self.address = self._wait_until_listening()
        return self.address

    def _wait_until_listening(self) -> Address:
        """Watch the system's table of listening sockets. Raises StartError."""
        deadline = time.monotonic() + self.startup_timeout
        patience = time.monotonic() + OTHER_PORT_PAUSE
        while True:
            if self._over:
                raise StartError("the run is over")
            found = self._listening()
            if found and found.port != self.requested_port and patience > time.monotonic():
                found = None  # Perhaps it opens another port first: look a little longer.
            elif found:
                return found
            else:
                patience = time.monotonic() + OTHER_PORT_PAUSE
            exited = self.exit_code is not None
            if exited or "Traceback (most recent call last)" in self.output.text:
                self.output.finish()  # The error's name is in the last line, which may still come.
                self._fail_start(f"the attempt exited before it listened: {self._last_words()}")
            if time.monotonic() > deadline:
                self._fail_start(
                    f"the attempt never listened: it ran for {self.startup_timeout:g} s without"
                    " opening a port (are bind and listen called?)"
                )
            self.output.pause(POLL)

    def _last_words(self) -> str:
        """Return the output's last line, or the exit code, and what to do if that is known."""
        last = self.output.tail(1)
        if not last:
            last = f"it printed nothing, exit code {self.exit_code}"
        advice = next((words for sign, words in START_ADVICE if sign in self.output.text), "")
        return f"{last}. {advice}" if advice else last

    def _fail_start(self, message: str) -> None:
        """Stop what there is and raise StartError."""
        output = self.output.tail(30)
        self.stop(remove=False)
        raise StartError(message, output)

    def _tree(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Return `process` and all that it started, as far as they are known."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for one in (root, *root.children(recursive=True)):
                self._known.setdefault(one.pid, one)
        return [one for one in self._known.values() if one.is_running()]

    def memory(self) -> int:
        """Return how many bytes of memory the attempt and all that it started have for themselves.

        Pages of files are not counted, where the system tells: it can take them back at any time.
        """
        process, total = self._process, 0
        for one in self._tree(process) if process is not None else ():
            with contextlib.suppress(psutil.Error):
                info = one.memory_info()
                total += info.rss - getattr(info, "shared", 0)
        return total

    def _survivors(self) -> list[psutil.Process]:
        """Return every process that bears our mark, even one that has left the family."""
        found = []
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if environment.get(MARKER) == self._marker and _alive(process):
                found.append(process)
        return found

    def _listening(self) -> Address | None:
        """Return where the attempt listens: on the port it was given, if it does."""
        process = self._process
        if process is None:
            return None
        processes = self._tree(process) if process.poll() is None else self._survivors()
        found = [address for one in processes for address in _listening_sockets(one)]
        found.sort(key=lambda address: (address.port != self.requested_port, address.port))
        return found[0] if found else None

    def wait_for_exit(self) -> int | None:
        """Return the exit code, also of an attempt that is just about to exit; else None."""
        self.output.pause(EXIT_PAUSE)
        deadline = time.monotonic() + EXIT_TIMEOUT
        while self.exit_code is None and not self.listens() and time.monotonic() < deadline:
            self.output.pause(POLL)
        return self.exit_code

    def listens(self) -> bool:
        """Return whether the attempt still listens."""
        return self._listening() is not None

    def restart(self, *, same_port: bool = False) -> Address:
        """Stop the attempt and run it again, on another port unless `same_port`. Raises StartError.

        Another port, as the old one may not be free at once: whether it is, is a rule of its own.
        """
        self.stop(remove=False)
        if not same_port:
            self.requested_port = free_port()
        return self.start()

    def stop(self, *, remove: bool = True) -> None:
        """End the attempt and all that it started; `remove` the scratch folder too."""
        with self._lock:
            self._over = remove
            process = self._process
        if process is not None:
            processes = {one.pid: one for one in (*self._tree(process), *self._survivors())}
            deadline = time.monotonic() + GRACE
            _signal(processes.values(), signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            left = max(0.0, deadline - time.monotonic())
            _, alive = psutil.wait_procs(list(processes.values()), left)
            _signal([*alive, *self._survivors()], signal.SIGKILL)
            psutil.wait_procs(alive, GRACE)
            process.wait()
            self.output.close()
            self._process = None  # Last: who is interrupted before this begins again.
        if remove:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Server:
        """Start on entry."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop on exit, whatever happened."""
        self.stop()


def _alive(process: psutil.Process) -> bool:
    """Return whether `process` still runs: a zombie has only not been waited for."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(processes: object, number: int) -> None:
    """Send the signal `number` to all `processes` that are still there."""
    for process in processes:  # type: ignore[attr-defined]
        with contextlib.suppress(psutil.Error, OSError):
            process.send_signal(number)


def _listening_sockets(process: psutil.Process) -> Iterator[Address]:
    """Yield the addresses on which `process` listens."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    with contextlib.suppress(psutil.Error, OSError):
        for connection in process.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN:
                bound, port = connection.laddr
                yield Address(loopback.get(bound, bound), port, bound)
