"""Runs an attempt: starts it, finds the port it listens on, keeps its output, and stops all of it.

Nothing here connects to the attempt: which port it listens on is read from the system's own tables,
so that a fragile server is never disturbed by being looked at. But of several ports of its own, one
must be chosen: then each is asked, once, whether it speaks HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psutil

from tester.attempt.family import GONE, Family, wholly
from tester.attempt.guard import protect, release
from tester.attempt.limits import MEMORY_LIMIT
from tester.attempt.locate import Attempt, first_line_advice
from tester.attempt.output import GRACE, Output
from tester.attempt.ports import (
    IN_USE,
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
from tester.attempt.process import EXIT_POLL, Habits, Process
from tester.attempt.sockets import free_port
from tester.attempt.starting import START_ADVICE, Doubt, StartError, advise_on_input, environment_of
from tester.wire.connection import MOST_READ, PATIENCE, Address

STARTUP_TIMEOUT = 10.0  # Seconds until an attempt must listen.
ERROR_PAUSE = (
    2.0  # Seconds of doing nothing after an error's traceback: it will not listen any more.
)
SETTLE_TIMEOUT = 0.1  # Seconds that an attempt may go on with its start once it listens.
MOST_ASKED = 5  # Ports of its own that are asked whether they speak HTTP.
POLL = 0.005  # Seconds between two looks at the system's table of listening sockets.
LONGEST_POLL = 0.05  # The same, where looking takes long.
COPY_POLL = 0.02  # The same for a copy, which nobody waits for in a hurry.
TRACEBACK = "Traceback (most recent call last)"  # How Python begins to tell of an error.
TRIES = 10  # Starts of an attempt that does not get its port, each after waiting for who has it.
QUICK_TRIES = 3  # The same where nothing is waited for.


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
        self.is_alone = False
        """Whether no copy can run beside it: it has ports of its own, which each would want."""
        self.late_answers = 0
        """How many answers in a row were late."""
        self.waits_for_silence = False
        """Whether it answers only when nothing came for a while, or when a client half-closes."""
        self._marker = uuid.uuid4().hex
        self._process: Process | None = None
        """The last that was started."""
        self._may_run = False
        """Whether anything may be there that has not been stopped."""
        self._family = Family(self._marker)
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._over = False
        self._own_port: int | None = None
        self._program = read_program(attempt.command, attempt.folder)
        self._turn = Turn(lambda: self._over)
        self.scratch = Path(tempfile.gettempdir()).resolve() / f"http-tester-{self._marker}"
        self.public = self.scratch / "public"

    @property
    def marker(self) -> str:
        """The value of MARKER in the environment of all that belongs to the attempt."""
        return self._marker

    @property
    def process(self) -> Process:
        """The process of the moment, or the last one. To be asked for after a start."""
        assert self._process is not None, "nothing has been started"
        return self._process

    @property
    def address(self) -> Address:
        """Where the attempt listens; before it does, where it should."""
        return self._process.address if self._process else self._given_address

    @property
    def _given_address(self) -> Address:
        """Where the attempt should listen."""
        return Address("127.0.0.1", self.requested_port, "127.0.0.1")

    @property
    def output(self) -> Output:
        """What the process prints."""
        return self.process.output

    @property
    def has_begun(self) -> bool:
        """Whether anything has been started, so that there is a `process`."""
        return self._process is not None

    @property
    def hard_coded(self) -> bool:
        """Whether the attempt listens on a port of its own choice."""
        return self.address.port != self.requested_port

    def has_collided(self) -> bool:
        """Return whether a port that it wants is the first server's, as it is a copy.

        It has said so before it ends, or, where its connections end first, it does soon.
        """
        if not self.is_copy or self._process is None:
            return False
        self.output.catch_up()
        if not IN_USE.search(self.output.text) and self.wait_for_exit() is not None:
            self.output.finish()
        return bool(IN_USE.search(self.output.text))

    @property
    def pid(self) -> int:
        """The number of the process that was started."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the attempt or a process that it started runs."""
        return self._process.exit_code if self._process else None

    @property
    def stopped(self) -> str:
        """Why we stopped the attempt since its last start: "it took more than …"; else nothing."""
        return self._process.stopped if self._process else ""

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
                        self.process.address = address
                        ports = {one.port for one in self.process.addresses}
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
        directory = ("--directory", str(self.public)) if self.with_directory else ()
        with self._lock:  # Who stops us meanwhile must find the process, or keep it from starting.
            if self._over:
                raise StartError("the run is over")
            protect(self._family, self.scratch)
            self.scratch.mkdir(0o700, exist_ok=True)
            self.public.mkdir(exist_ok=True)
            self._may_run = True
            try:
                self._process = Process(
                    [*self.attempt.command, *directory],
                    self.attempt.folder or self.scratch,
                    environment_of(self.requested_port, self._marker),
                    self._family,
                    self._habits,
                    self._given_address,
                )
            except OSError as error:
                advice = first_line_advice(self.attempt.command, error.errno == errno.ENOEXEC)
                message = f"the attempt can't be started: {advice or error.strerror}"
                raise StartError(message) from None
            self._process.watch(self.scratch, self._memory_limit)

    def _wait_until_listening(self) -> Address:
        """Watch the system's table of listening sockets. Raises StartError."""
        deadline = time.monotonic() + self.startup_timeout
        doubt = Doubt(self._own_port is None and reads_port(self._program))
        calm = time.monotonic()
        while True:
            looked = time.monotonic()
            if self._over:
                raise StartError("the run is over")
            found = self.process.find_address()
            own = found is not None and found.port != self.requested_port
            # Perhaps it opens another port first.
            doubtful = doubt.remains(own, self.process.is_idle)
            if found and not (doubtful and self._turn.take(found.port)):
                return self._choose(found)
            if self.exit_code is not None:
                self.output.finish()  # The error's name is in the last line, which may still come.
                self._fail_start(f"the attempt exited before it listened: {self._last_words()}")
            late, failed = time.monotonic() > deadline, self.output.holds(TRACEBACK)
            if not failed or not self.process.is_idle():
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
        own = {address.port: address for address in reversed(self.process.addresses)}
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
        process = self.process
        while process.exit_code is None and time.monotonic() < deadline and not process.is_idle():
            process.output.pause(EXIT_POLL)
        if self.exit_code is not None:
            self.output.finish()
            if IN_USE.search(self.output.text):
                self._fail_start(f"the attempt exited as it began: {self._last_words()}")
        self.process.find_address()

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
        """Return what to do if the attempt ended with `code` for want of input, else nothing."""
        return advise_on_input(code, self.output.tail(3), self._program)

    def _find_holder(self) -> Holder | None:
        """Return who has the port that the attempt wanted, if its output says that this is why.

        Which port that is, is likely to stand in the output, or else in the program.
        """
        if not IN_USE.search(self.output.text):
            return None
        own = [self._own_port] if self._own_port else []
        wanted = [*own, *find_numbers(self.output.text), *find_numbers(self._program)]
        return find_holder([self.requested_port, *wanted]) or Holder("nobody")

    def wait_for_exit(self) -> int | None:
        """Return the exit code, also of an attempt that is just about to exit; else None."""
        return self._process.wait_for_exit() if self._process else None

    def spins(self) -> bool:
        """Return whether the attempt never rests, though nobody asks it for anything."""
        return self._process is not None and self._process.spins()

    def make_way(self) -> None:
        """Let all others have the processor before the attempt, as nobody asks it any more."""
        if self._process:
            self._process.make_way()

    def listens(self) -> bool:
        """Return whether the attempt still listens."""
        return self._process is not None and self._process.listens()

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
        if process is not None:
            process.unwatch()
        if may_run:  # Also where Ctrl-C came before we knew the process: it bears our mark.
            self._family.end(grace)
        if process is not None:
            process.bury()
        self._may_run = False  # Last: an interrupt before this begins all again.
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
