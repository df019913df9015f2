"""What may go wrong, or be in doubt, while an attempt starts, and what helps then."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from tester.attempt.family import MARKER
from tester.attempt.ports import Holder
from tester.wire.connection import IDLE_TIMEOUT

OTHER_PORT_PAUSE = 0.3  # Seconds that an attempt must wait for clients on another port before we
OTHER_PORT_LONG_PAUSE = 1.5  # believe in that port; the second, where its program reads PORT; and
OTHER_PORT_TIMEOUT = 5.0  # seconds after which we do, though it never waits.
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


def environment_of(port: int, marker: str) -> dict[str, str]:
    """Return the environment of an attempt that is given `port`, and is marked by `marker`."""
    return os.environ | {
        "PORT": str(port),
        "IDLE_TIMEOUT": str(IDLE_TIMEOUT),
        "TZ": "America/New_York",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # Nothing is written into the attempt's folder.
        MARKER: marker,
    }


def advise_on_input(code: int | None, last_lines: str, program: str) -> str:
    """Return what to do if a program ended with `code` for want of input, else nothing.

    Its `last_lines` say so where that is an error; where it is not, its text may show it.
    """
    if code and INPUT_ENDED in last_lines:
        return INPUT_ADVICE.format(reads="read")
    if code == 0 and READS_INPUT.search(program):
        return INPUT_ADVICE.format(reads="is likely to have read")
    return ""


class StartError(Exception):
    """The attempt did not come to listen; `output` is the end of what it printed.

    `holder` is who has the port that it wanted, if that is why.
    """

    def __init__(self, message: str, output: str = "", holder: Holder | None = None) -> None:
        super().__init__(message)
        self.output = output
        self.holder = holder


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
