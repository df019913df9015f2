"""One incarnation of an attempt: a process that was started, with its output and its end.

It looks at the system's table of sockets to know where the attempt listens, and at all processes
that it has started to know whether it is at work, has ended, or never rests. Nothing here connects
to it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tester.attempt.family import GONE, ON_LINUX, Family
from tester.attempt.limits import Watch
from tester.attempt.output import GRACE, Output
from tester.attempt.sockets import ask_listening, open_sockets, read_listening
from tester.wire.connection import Address

EXIT_PAUSE = 0.02  # Seconds until a dying program has closed its sockets, and
EXIT_TIMEOUT = 1.0  # until one that no longer listens has exited,
LESS_EXIT_TIMEOUT = 0.1  # less where it has once run on for so long;
EXIT_POLL = 0.001  # between two looks whether it has.
POLL = 0.005  # Seconds between two looks later on.
SPIN_LOOKS, SPIN_PAUSE = 25, 0.02  # Looks, and seconds between two: what never rests runs in vain;
LESS_SPIN_LOOKS = 2  # fewer, where it has done so before.
LAST_PRIORITY = 19  # Of processes: all others come first.


@dataclass
class Habits:
    """What was learnt about an attempt: its program is the same in all its processes."""

    lingers: bool = False
    """Whether it runs on without listening, as nothing suggests that it exits."""
    spins: bool = False
    """Whether it has been found to compute without a pause, though nobody asked for anything."""


class Process:
    """A process of an attempt, and all that it has started itself."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        family: Family,
        habits: Habits,
        address: Address,
    ) -> None:
        """Start it. Raises OSError if that can't be done.

        `address` is where it should listen; all that it starts is marked as `family`.
        """
        self.address = address
        """Where it listens, once it does."""
        self.addresses: list[Address] = []
        """All places where it listens: the port that it was given comes first."""
        self.is_over = False
        """Whether we have ended it."""
        self._given_port = address.port
        self._family = family
        self._habits = habits
        self._sockets: set[str] = set()
        self._watch: Watch | None = None
        self._was_waited_for = False
        """Whether we have waited in vain for its exit."""
        with family.marking():
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we stop the attempt ourselves.
            )
        self.output = Output(self._process.stdout)
        with contextlib.suppress(*GONE):
            family.root = psutil.Process(self._process.pid)

    def watch(self, scratch: Path, memory_limit: int) -> None:
        """See to it, until the end, that it takes no more than it may; `memory_limit` in MB."""
        output = self.output
        self._watch = Watch(self._family, scratch, memory_limit, lambda: output.written)

    @property
    def pid(self) -> int:
        """The number of the process that was started."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it or a process that it started runs, or if we ended it."""
        if self.is_over or self._process.poll() is None:
            return None
        running = self._family.pids() or self._family.all_pids()
        return None if running else self._process.returncode

    @property
    def stopped(self) -> str:
        """Why we stopped it: "it took more than …"; else nothing."""
        return self._watch.reason if self._watch else ""

    def find_address(self) -> Address | None:
        """Return where it listens now: on the port that it was given, if it does."""
        if self.is_over:
            return None
        found = (read_listening if ON_LINUX else ask_listening)(self._family.pids())
        self._sockets = set(found)
        self.addresses = sorted(
            found.values(), key=lambda address: (address.port != self._given_port, address.port)
        )
        return self.addresses[0] if self.addresses else None

    def listens(self) -> bool:
        """Return whether it still listens."""
        if ON_LINUX and self._sockets & open_sockets(self._family.pids()):
            return True  # That was quick: the system's table may be long.
        return self.find_address() is not None

    def is_idle(self) -> bool:
        """Return whether it waits for something, as far as the system tells."""
        return self._family.is_asleep() or not ON_LINUX

    def wait_for_exit(self) -> int | None:
        """Return the exit code, also of an attempt that is just about to exit; else None."""
        began = time.monotonic()
        timeout = LESS_EXIT_TIMEOUT if self._habits.lingers else EXIT_TIMEOUT
        timeout = EXIT_PAUSE if self._was_waited_for else timeout
        while self.exit_code is None:
            seconds = time.monotonic() - began
            busy = seconds < EXIT_PAUSE and not self._family.is_asleep()
            if not busy and self.listens():
                break
            if seconds > timeout:
                self._habits.lingers = self._was_waited_for = True
                break
            self.output.pause(EXIT_POLL if seconds < EXIT_PAUSE else POLL)
        return self.exit_code

    def spins(self) -> bool:
        """Return whether it never rests, though nobody asks it for anything."""
        if not ON_LINUX or self.is_over:
            return False
        for _ in range(LESS_SPIN_LOOKS if self._habits.spins else SPIN_LOOKS):
            if self._family.is_asleep():
                return False
            time.sleep(SPIN_PAUSE)  # Not a wait for anything: what is printed must not hurry us.
        self._habits.spins = True
        return self.exit_code is None

    def make_way(self) -> None:
        """Let all others have the processor before it, as nobody asks it any more."""
        for pid in self._family.pids() if ON_LINUX else ():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.setpriority(os.PRIO_PROCESS, int(task), LAST_PRIORITY)

    def unwatch(self) -> None:
        """Look no more at what it takes."""
        if self._watch is not None:
            self._watch.end()

    def bury(self) -> None:
        """Let it go, now that all its processes have been ended."""
        if self.is_over:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._family.pids()  # Buries those that have ended last.
        self.output.close()
        self.is_over = True
