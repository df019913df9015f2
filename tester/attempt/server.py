"""Runs an attempt: starts it, finds the port it listens on, keeps its output, and stops all of it.

Nothing here connects to the attempt: which port it listens on is read from the system's own tables,
so that a fragile server is never disturbed by being looked at. But of several ports of its own, one
must be chosen: then each is asked, once, whether it speaks HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tester.guard import protect, release
from tester.limits import MEMORY_LIMIT, ON_LINUX, Family, Watch
from tester.ports import (
    GONE,
    IN_USE,
    MARKER,
    Holder,
    PortTaken,
    Turn,
    find_holder,
    find_numbers,
    guess_own_ports,
    read_program,
    reads_port,
    speaks_http,
)

IDLE_TIMEOUT = 1  # Seconds a client may stay silent, as the attempts are told.
STARTUP_TIMEOUT = 10.0  # Seconds until an attempt must listen.
MOST_READ = 16 * 1024 * 1024  # Bytes of an answer whose length is not told: a check asks for 12 MB.
PATIENCE = 5.0  # Seconds until an answer must have come; long, so that load is no failure.
OTHER_PORT_PAUSE = 0.3  # Seconds that an attempt must wait for clients on another port before we
OTHER_PORT_LONG_PAUSE = 1.5  # believe in that port; the second, where its program reads PORT; and
OTHER_PORT_TIMEOUT = 5.0  # seconds after which we do, though it never waits.
ERROR_PAUSE = (
    2.0  # Seconds of doing nothing after an error's traceback: it will not listen any more.
)
GRACE = 0.5  # Seconds between the request to stop (SIGTERM) and the end (SIGKILL).
SETTLE_TIMEOUT = 0.1  # Seconds that an attempt may go on with its start once it listens.
MOST_ASKED = 5  # Ports of its own that are asked whether they speak HTTP.
EXIT_PAUSE = 0.02  # Seconds until a dying program has closed its sockets, and
EXIT_TIMEOUT = 1.0  # until one that no longer listens has exited,
LESS_EXIT_TIMEOUT = 0.1  # less where it has once run on for so long;
EXIT_POLL = 0.001  # between two looks whether it has.
SPIN_LOOKS, SPIN_PAUSE = 25, 0.02  # Looks, and seconds between two: what never rests runs in vain;
LESS_SPIN_LOOKS = 2  # fewer, where it has done so before.
LAST_PRIORITY = 19  # Of processes: all others come first.
KEPT_OUTPUT = 256 * 1024  # Bytes of output that are kept; of more, the end.
FEW, GATHER = 4096, 0.003  # Bytes: after fewer, these seconds until we read on.
END_PAUSE = 0.3  # Seconds until the output of a program that exits has ended, and
FINISH_TIMEOUT = 5.0  # until we have read what it left to read.
LONGEST_LINE = 2000  # Characters of one line of it that are shown; of more, head and end.
POLL = 0.005  # Seconds between two looks at the system's table of listening sockets.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_POLL = 0.05  # The same, where looking takes long.
COPY_POLL = 0.02  # The same for a copy, which nobody waits for in a hurry.
LISTENS = "0A"  # What that table says of a socket that listens.
TRACEBACK = "Traceback (most recent call last)"  # How Python begins to tell of an error.
TRIES = 10  # Starts of an attempt that does not get its port, each after waiting for who has it.
QUICK_TRIES = 3  # The same where nothing is waited for.
FOLDER_PROGRAMS = ("server.py", "your_program.sh", "your_server.sh", "app/main.py")

# What an attempt prints when it can't start, and what is likely to help.
START_ADVICE = (
    ("Permission denied", "Ports below 1024 need special rights: take the one in PORT"),
    ("Invalid argument", "Is listen() called before accept()?"),
)
READS_INPUT = re.compile(  # How programs read what somebody types.
    r"\binput\(|\b(?:sys|process)\.stdin\b|\bos\.Stdin\b|\bScanln\(|\bSystem\.in\b|\bgetchar\("
)
INPUT_ENDED = "EOF when reading a line"  # What Python prints where there is no more of it.
INPUT_ADVICE = (
    "It {reads} its standard input, which is empty in a grade: nobody types anything. To keep the"
    " program running, wait for its threads (join), or call accept in the main program"
)


class UsageError(Exception):
    """Something that the user gave can't be used; the text is one line that says what to do."""


class StartError(Exception):
    """The attempt did not come to listen; `output` is the end of what it printed.

    `holder` is who has the port that it wanted, if that is why.
    """

    def __init__(self, message: str, output: str = "", holder: Holder | None = None) -> None:
        super().__init__(message)
        self.output = output
        self.holder = holder


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
        self._data = bytearray()
        """The end of what came: KEPT_OUTPUT bytes and up to as many more, if there are so many."""
        self._ended = False
        self.written = 0
        """How many bytes have come in all."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        """Keep the end of what comes, and tell who waits for it."""
        ready = select.poll()
        with contextlib.suppress(OSError, ValueError):
            ready.register(self._descriptor, select.POLLIN)
            while ready.poll():
                with self._changed:  # From here on nothing is on its way from the pipe to us.
                    data = os.read(self._descriptor, 65536)
                    if not data:
                        break
                    self._data += data
                    if len(self._data) > 2 * KEPT_OUTPUT:  # Not each time: that takes long.
                        del self._data[:-KEPT_OUTPUT]
                    self.written += len(data)
                    self._changed.notify_all()
                if len(data) < FEW:
                    time.sleep(GATHER)  # A line for each request: several are read as one.
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _end(self, size: int) -> bytes:
        """Return the last bytes that came: `size`, or as many as are kept."""
        with self._changed:
            return bytes(self._data[-min(size, KEPT_OUTPUT) :]) if size > 0 else b""

    @property
    def text(self) -> str:
        """All that is kept, as text; what is no UTF-8 is escaped."""
        return self._end(KEPT_OUTPUT).decode("utf-8", "backslashreplace")

    def tail(self, lines: int = 12, since: int = 0) -> str:
        """The last `lines` lines of what came after the first `since` bytes."""
        with self._changed:
            new = self._end(self.written - since)
        text = new.decode("utf-8", "backslashreplace")
        return "\n".join(map(_shorten_line, text.rstrip().splitlines()[-lines:]))

    def holds(self, words: str) -> bool:
        """Return whether `words` stand in what is kept; quick, however much that is."""
        with self._changed:
            return words.encode() in self._data

    def wait_for(self, words: str, seconds: float) -> bool:
        """Wait at most `seconds` until `words` have been printed; return whether they were."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.holds(words), seconds)
            return self.holds(words)

    def catch_up(self, seconds: float = 0.3) -> None:
        """Wait at most `seconds` until all has been read that was printed before this call."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not self._waiting(), seconds)

    def _waiting(self) -> bool:
        """Return whether the pipe holds what nobody has read yet."""
        with contextlib.suppress(OSError, ValueError):
            return any(fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))
        return False

    def pause(self, seconds: float) -> None:
        """Wait until something is printed, at most `seconds`."""
        with self._changed:
            self._changed.wait(seconds)

    def finish(self) -> None:
        """Wait a moment for the end of the output, once the attempt has exited or will soon.

        What is in the pipe already is read in any case, however busy the machine.
        """
        self._thread.join(END_PAUSE)
        self.catch_up(FINISH_TIMEOUT)

    def close(self) -> None:
        """Let go of the pipe, when nothing writes to it any more."""
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._stream.close()  # type: ignore[attr-defined]


def _shorten_line(line: str) -> str:
    """Return a line of output, of a very long one head and end: errors name themselves there."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} … {line[-half:]}"


@contextlib.contextmanager
def wholly(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the end, whenever Ctrl-C comes: also on the way to it, or in the midst of it.

    Then it is called once more, and no other Ctrl-C is heard until it has ended.
    """
    try:
        try:
            yield
        finally:
            stop()
    except KeyboardInterrupt:  # So this is the main thread: no other one may set handlers.
        saved = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
        stop()
        for number, handler in saved.items():
            signal.signal(number, handler)
        raise


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Doubt:
    """Whether a port that an attempt has opened, another than it was given, is the one to grade."""

    def __init__(self, long: bool) -> None:
        """Nothing is open yet; doubt for `long` where it should open the one that it was given."""
        self._pause = OTHER_PORT_LONG_PAUSE if long else OTHER_PORT_PAUSE
        self._seen = self._idle = 0.0

    def remains(self, is_open: bool, is_idle: Callable[[], bool]) -> bool:
        """Return whether to look a little longer: it has just opened it, or is still at work."""
        now = time.monotonic()
        if not is_open:
            self._seen = self._idle = now
            return False
        self._seen, self._idle = self._seen or now, self._idle or now
        if now - self._seen < OTHER_PORT_TIMEOUT and not is_idle():
            self._idle = now
        return now - self._idle < self._pause


@dataclass
class Habits:
    """What was learnt about an attempt: its program is the same in all its processes."""

    lingers: bool = False
    """Whether it runs on without listening, as nothing suggests that it exits."""
    spins: bool = False
    """Whether it has been found to compute without a pause, though nobody asked for anything."""


class Server:
    """A running attempt, in a scratch folder of its own that holds `public` and `public-secret`."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        with_directory: bool = False,
        startup_timeout: float = STARTUP_TIMEOUT,
        memory_limit: int = MEMORY_LIMIT,
        is_copy: bool = False,
        habits: Habits | None = None,
    ) -> None:
        """Prepare; `start` makes the scratch folder and runs the attempt.

        `memory_limit` is in megabytes, for the attempt and all that it starts. A copy runs beside
        another server of ours with the same attempt: a port that both want is never waited for.
        What one of them learns about the attempt, all know that have its `habits` in common.
        """
        self.attempt = attempt
        self.is_copy = is_copy
        self.with_directory = with_directory
        self.startup_timeout = startup_timeout
        self.requested_port = free_port()
        self.address: Address | None = None
        self.output: Output | None = None
        self.starts = 0
        self.patience = PATIENCE
        """Seconds to wait for an answer; fewer, once the attempt has been silent for so long."""
        self.most_read = MOST_READ
        """Bytes of an answer of unknown length; fewer, once several answers did not end."""
        self.keeps_open = False
        """Whether a connection stayed open that had to end: the next one is not waited for."""
        self.missed_ends = 0
        """How many connections stayed open so."""
        self._habits = habits or Habits()
        self._waited_for = 0
        """Which start it was whose process we have waited for in vain to exit."""
        self.is_alone = False
        """Whether no copy can run beside it: it has ports of its own, which each would want."""
        self.late_answers = 0
        """How many answers in a row were late."""
        self.waits_for_silence = False
        """Whether it answers only when nothing came for a while, or when a client half-closes."""
        self._marker = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self._may_run = False
        """Whether anything may be there that has not been stopped."""
        self._family = Family(self._marker)
        self._memory_limit = memory_limit
        self._watch: Watch | None = None
        self._sockets: set[str] = set()
        self._lock = threading.Lock()
        self._over = False
        self._own_port: int | None = None
        self._addresses: list[Address] = []
        self._program = read_program(attempt.command, attempt.folder)
        self._turn = Turn(lambda: self._over)
        self.scratch = Path(tempfile.gettempdir()).resolve() / f"http-tester-{self._marker}"
        self.public = self.scratch / "public"

    @property
    def marker(self) -> str:
        """The value of MARKER in the environment of all that belongs to the attempt."""
        return self._marker

    @property
    def hard_coded(self) -> bool:
        """Whether the attempt listens on a port of its own choice."""
        return self.address is not None and self.address.port != self.requested_port

    def has_collided(self) -> bool:
        """Return whether a port that it wants is the first server's, as it is a copy.

        It has said so before it ends, or, where its connections end first, it does soon.
        """
        if not self.is_copy or self.output is None:
            return False
        self.output.catch_up()
        if not IN_USE.search(self.output.text) and self.wait_for_exit() is not None:
            self.output.finish()
        return bool(IN_USE.search(self.output.text))

    @property
    def pid(self) -> int | None:
        """The number of the process that was started, or None where there is none."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the attempt or a process that it started runs."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        return None if self._family.pids() or self._family.all_pids() else process.returncode

    @property
    def stopped(self) -> str:
        """Why we stopped the attempt since its last start: "it took more than …"; else nothing."""
        return self._watch.reason if self._watch else ""

    def start(self, *, patient: bool = True) -> Address:
        """Run the attempt and wait until it listens. Raises StartError if it does not.

        An attempt with a port of its own waits for its turn; and, if `patient`, for a port that is
        still taken: by another tester, or for connections that have ended. If not, it begins again
        at once all the same: another tester may have had the port for the moment until it saw that
        it is not its turn. Connections that have ended keep it longer than that.
        """
        self.starts += 1
        try:
            for tries_left in range(TRIES if patient else QUICK_TRIES, 0, -1):
                try:
                    if not self.is_copy:
                        self._turn.wait_for(self._guess_ports())
                    self._launch()
                    address = self._wait_until_listening()
                    self._settle()
                    if self._has_port(address):
                        self.address = address
                        ports = {one.port for one in self._addresses}
                        self.is_alone = self.is_alone or self.hard_coded or len(ports) > 1
                        return address
                except StartError as error:
                    if tries_left == 1 or error.holder is None:
                        raise
                    if self.is_copy and error.holder.port != self.requested_port:
                        raise
                    if patient and not self._await_port(error.holder, tries_left == TRIES):
                        raise
        except PortTaken as taken:
            self.stop(remove=False)
            raise StartError(str(taken), holder=taken.holder) from None
        raise StartError("the attempt never had its port for itself: other testers wanted it too")

    def _guess_ports(self) -> list[int]:
        """Return the ports of its own that the attempt has, or is likely to have."""
        return [self._own_port] if self._own_port else guess_own_ports(self._program)

    def _await_port(self, holder: Holder, first: bool) -> bool:
        """Wait until the port is free that the attempt could not have; return whether to try again.

        Raises PortTaken.
        """
        if self._over:
            return False
        if holder.port == self.requested_port:  # Somebody was quicker: that is easily mended.
            self.requested_port = free_port()
        elif holder.kind == "tester":
            self._turn.wait_for([holder.port])
            self._turn.wait_until_free(holder.port)
        elif holder.kind == "connections":
            self._turn.wait_until_free(holder.port)
        else:
            return first and holder.kind == "nobody"  # It may just have gone.
        return True

    def _has_port(self, address: Address) -> bool:
        """Return whether all who connect to `address` reach our attempt, now that it listens.

        If another tester has its turn, ours makes way. Raises PortTaken if any other program
        listens there too, which SO_REUSEPORT allows.
        """
        if address.port == self.requested_port:
            self._turn.release()
            return True
        ours = self._turn.take(address.port)
        self._turn.release(keep=address.port)
        self._own_port = address.port
        if not ours:
            self.stop(remove=False)
            return False

        self._turn.wait_until_alone(address.bound, address.port, self._family.all_pids())
        return True

    def _launch(self) -> None:
        """Run the attempt. Raises StartError if there is nothing to run, or the run is over."""
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
            protect(self._family, self.scratch)
            self.scratch.mkdir(0o700, exist_ok=True)
            self.public.mkdir(exist_ok=True)
            self._may_run = True
            try:
                with self._family.marking():
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
                advice = _first_line_advice(self.attempt.command, error.errno == errno.ENOEXEC)
                message = f"the attempt can't be started: {advice or error.strerror}"
                raise StartError(message) from None
            self.output = output = Output(self._process.stdout)
            with contextlib.suppress(*GONE):
                self._family.root = psutil.Process(self._process.pid)
            self._sockets = set()
            self._watch = Watch(
                self._family, self.scratch, self._memory_limit, lambda: output.written
            )

    def _wait_until_listening(self) -> Address:
        """Watch the system's table of listening sockets. Raises StartError."""
        deadline = time.monotonic() + self.startup_timeout
        doubt = Doubt(self._own_port is None and reads_port(self._program))
        calm = time.monotonic()
        while True:
            looked = time.monotonic()
            if self._over:
                raise StartError("the run is over")
            found = self._listening()
            own = found is not None and found.port != self.requested_port
            doubtful = doubt.remains(own, self._is_idle)  # Perhaps it opens another port first.
            if found and not (doubtful and self._turn.take(found.port)):
                return self._choose(found)
            if self.exit_code is not None:
                self.output.finish()  # The error's name is in the last line, which may still come.
                self._fail_start(f"the attempt exited before it listened: {self._last_words()}")
            late, failed = time.monotonic() > deadline, self.output.holds(TRACEBACK)
            if not failed or not self._is_idle():
                calm = time.monotonic()
            if failed and (late or time.monotonic() - calm > ERROR_PAUSE):
                self._fail_start(f"the attempt failed before it listened: {self._last_words()}")
            if late:
                self._fail_start(
                    f"the attempt never listened: it ran for {self.startup_timeout:g} s without"
                    " opening a port (are bind and listen called?)"
                )
            took = time.monotonic() - looked  # Others start their attempts too.
            poll = COPY_POLL if self.is_copy else POLL
            self.output.pause(min(max(poll, 5 * took), LONGEST_POLL))

    def _choose(self, found: Address) -> Address:
        """Return what to grade: what was `found`, but of several ports of its own, a better one.

        That is the one that was graded before, or else the first that speaks HTTP.
        """
        own = {address.port: address for address in reversed(self._addresses)}
        if self._own_port in own:
            return own[self._own_port]
        if len(own) == 1 or self.requested_port in own:
            return found
        asked = sorted(own.values(), key=lambda address: address.port)[:MOST_ASKED]
        return next((one for one in asked if speaks_http(one.host, one.port)), found)

    def _settle(self) -> None:
        """Wait until the attempt waits for clients: it may just be opening another port.

        Raises StartError if it ends as it can't have that.
        """
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while ON_LINUX and self.exit_code is None and time.monotonic() < deadline:
            if self._family.is_asleep():
                break
            self.output.pause(EXIT_POLL)
        if self.exit_code is not None:
            self.output.finish()
            if IN_USE.search(self.output.text):
                self._fail_start(f"the attempt exited as it began: {self._last_words()}")
        self._listening()

    def _is_idle(self) -> bool:
        """Return whether the attempt waits for something, as far as the system tells."""
        return self._family.is_asleep() or not ON_LINUX

    def _last_words(self) -> str:
        """Return the output's last line, or the exit code."""
        last = self.output.tail(1)
        if not last:
            last = f"it printed nothing, exit code {self.exit_code}"
        return last

    def _fail_start(self, message: str) -> None:
        """Stop what there is and raise StartError, with what to do if that is known."""
        output = self.output.tail(30)
        advice = next((words for sign, words in START_ADVICE if sign in self.output.text), "")
        advice = self.input_advice(self.exit_code) or advice
        holder = self._find_holder()
        self.stop(remove=False)
        if self.stopped:
            raise StartError(f"the attempt was stopped before it listened: {self.stopped}", output)
        advice = holder.advice if holder else advice
        raise StartError(f"{message}. {advice}" if advice else message, output, holder)

    def input_advice(self, code: int | None) -> str:
        """Return what to do if the attempt ended with `code` for want of input, else nothing.

        Its output says so where that is an error; if it is none, its program may tell.
        """
        if code and INPUT_ENDED in self.output.tail(3):
            return INPUT_ADVICE.format(reads="read")
        if code == 0 and READS_INPUT.search(self._program):
            return INPUT_ADVICE.format(reads="is likely to have read")
        return ""

    def _find_holder(self) -> Holder | None:
        """Return who has the port that the attempt wanted, if its output says that this is why.

        Which port that is, is likely to stand in the output, or else in the program.
        """
        if not IN_USE.search(self.output.text):
            return None
        own = [self._own_port] if self._own_port else []
        wanted = [*own, *find_numbers(self.output.text), *find_numbers(self._program)]
        return find_holder([self.requested_port, *wanted]) or Holder("nobody")

    def memory(self) -> int:
        """Return how many bytes of memory the attempt and all that it started have for themselves.

        Pages of files are not counted, where the system tells: it can take them back at any time.
        What a fork has in common with its parent counts once.
        """
        return self._family.memory(exact=True)

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the attempt that run; some may end while they are looked at."""
        found = []
        for pid in self._family.pids():
            with contextlib.suppress(*GONE):
                found.append(psutil.Process(pid))
        return found

    def _listening(self) -> Address | None:
        """Return where the attempt listens: on the port it was given, if it does."""
        process = self._process
        if process is None:
            return None
        find = _read_listening if ON_LINUX else _ask_listening
        found = find(self._family.pids())
        self._sockets = set(found)
        addresses = list(found.values())
        addresses.sort(key=lambda address: (address.port != self.requested_port, address.port))
        self._addresses = addresses
        return addresses[0] if addresses else None

    def wait_for_exit(self) -> int | None:
        """Return the exit code, also of an attempt that is just about to exit; else None."""
        began = time.monotonic()
        timeout = LESS_EXIT_TIMEOUT if self._habits.lingers else EXIT_TIMEOUT
        timeout = EXIT_PAUSE if self._waited_for == self.starts else timeout
        while self.exit_code is None:
            seconds = time.monotonic() - began
            busy = seconds < EXIT_PAUSE and not self._family.is_asleep()
            if not busy and self.listens():
                break
            if seconds > timeout:
                self._habits.lingers, self._waited_for = True, self.starts
                break
            self.output.pause(EXIT_POLL if seconds < EXIT_PAUSE else POLL)
        return self.exit_code

    def spins(self) -> bool:
        """Return whether the attempt never rests, though nobody asks it for anything."""
        if not ON_LINUX or self._process is None:
            return False
        for _ in range(LESS_SPIN_LOOKS if self._habits.spins else SPIN_LOOKS):
            if self._family.is_asleep():
                return False
            time.sleep(SPIN_PAUSE)  # Not a wait for anything: what is printed must not hurry us.
        self._habits.spins = True
        return self.exit_code is None

    def make_way(self) -> None:
        """Let all others have the processor before the attempt, as nobody asks it any more."""
        for pid in self._family.pids() if ON_LINUX else ():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.setpriority(os.PRIO_PROCESS, int(task), LAST_PRIORITY)

    def listens(self) -> bool:
        """Return whether the attempt still listens."""
        if ON_LINUX and self._sockets & _open_sockets(self._family.pids()):
            return True  # That was quick: the system's table may be long.
        return self._listening() is not None

    def restart(self, *, same_port: bool = False) -> Address:
        """Stop the attempt and run it again, on another port unless `same_port`. Raises StartError.

        Another port, as the old one may not be free at once: whether it is, is a rule of its own.
        That rule has a connection open, which the attempt may wait for: so it is killed at once.
        """
        self.stop(remove=False, grace=0 if same_port or self._habits.spins else GRACE)
        if not same_port:
            self.requested_port = free_port()
        return self.start(patient=not same_port)

    def stop(self, *, remove: bool = True, grace: float = GRACE) -> None:
        """End the attempt and all that it started; `remove` the scratch folder too.

        It is asked to end, and has `grace` seconds for that; 0 does not ask.

        All of it, also where Ctrl-C comes meanwhile: then once more, and KeyboardInterrupt after.
        """
        with wholly(lambda: self._stop(remove, grace)):
            pass

    def _stop(self, remove: bool, grace: float) -> None:
        """End all that there is, as far as nobody interrupts us; to begin again does no harm."""
        with self._lock:
            self._over = self._over or remove
            process, may_run = self._process, self._may_run
        if self._watch is not None:
            self._watch.end()
        if may_run:  # Also where Ctrl-C came before we knew the process: it bears our mark.
            self._family.end(grace)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            self._family.pids()  # Buries who was left behind by those that have ended last.
            self.output.close()
            self._process = None
        self._may_run = False  # Last: who is interrupted before this begins again.
        if remove:
            self._turn.release()
            shutil.rmtree(self.scratch, ignore_errors=True)
            release(self._family)

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


def _first_line_advice(command: tuple[str, ...], wants_one: bool) -> str:
    """Return what is wrong with the first line of the script that `command` runs, if that is so."""
    try:
        with open(command[0], "rb") as file:
            line = file.readline(200)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return "its first line does not say how: is it #!/bin/sh?" if wants_one else ""
    program = line[2:].split(maxsplit=1)[0].decode(errors="replace") if line[2:].split() else ""
    if line.endswith(b"\r\n"):
        return (
            f"there is no program {program + chr(13)!r}, which its first line names: its lines end"
            " in CR LF. Save it with LF alone (in an editor, or with dos2unix)"
        )
    return "" if Path(program).exists() else f"there is no {program!r}, which its first line names"


def _open_sockets(pids: Iterable[int]) -> set[str]:
    """Return the numbers (inodes) of the sockets that processes have open. On Linux only."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as files:
            for file in files:
                with contextlib.suppress(OSError):
                    name = os.readlink(file.path)
                    if name.startswith("socket:["):
                        found.add(name[8:-1])
    return found


def _read_listening(pids: Iterable[int]) -> dict[str, Address]:
    """Return where processes listen, by the numbers of their sockets. On Linux only, where it is
    much quicker than asking for each process: the table may hold many thousand ended connections.
    """
    mine, found = _open_sockets(pids), {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for words in _rows_that_listen(table) if mine else ():
            if words[9] in mine:
                host, _, port = words[1].partition(":")
                parts = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
                data = struct.pack(f"={len(parts)}I", *parts)
                found[words[9]] = _address(socket.inet_ntop(family, data), int(port, 16))
    return found


def _rows_that_listen(table: str) -> Iterator[list[str]]:
    """Yield the rows in the state LISTEN of the system's `table` of TCP sockets.

    Linux lists them before all others, which may be many thousand: what comes after is not read.
    """
    with contextlib.suppress(OSError), open(f"/proc/net/{table}") as file:
        file.readline()  # The columns' names
        for line in file:
            words = line.split()
            if words[3] != LISTENS:
                break
            yield words


def _ask_listening(pids: Iterable[int]) -> dict[str, Address]:
    """Return where processes listen, by numbers that stand for their sockets."""
    found = {}
    for pid in pids:
        with contextlib.suppress(*GONE):
            for connection in psutil.Process(pid).net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found[f"{pid} {connection.fd}"] = _address(*connection.laddr)
    return found


def _address(bound: str, port: int) -> Address:
    """Return what to connect to for a socket that is bound to `bound`."""
    return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, bound), port, bound)
