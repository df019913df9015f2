"""What has been learnt of an attempt: how long it is waited for, and whether it is asked again."""

from __future__ import annotations

import collections
import threading

from tester.grading.expect import CheckFailed
from tester.ladder.rule import Rule
from tester.wire.connection import IDLE_TIMEOUT, MOST_READ, BadResponse, WireError

DRIPS = 1  # Checks of a kind that an answer without end came to: from then on, less patience; and
FLOODS = 3  # if it was a flood, after so many checks
LESS_READ = 1024 * 1024  # fewer bytes of each answer are read.
KINDS = ("requirement", "edge")
SLOW_CLIENT = 0.7 * IDLE_TIMEOUT  # Seconds after which a server may soon hang up on a client.
TRIES = 2  # Times that a check is asked again which may have failed because the machine was slow;
FAILED_AGAIN = 3  # after so many times in a row that did not help, none is.
ENDED_ALONE = 4  # Checks in a row that end a fresh process, too: the rest are not asked again.


class Alone:
    """What became of the checks that were asked again, each alone on a fresh process."""

    def __init__(self) -> None:
        """None has been yet."""
        self._ended = dict.fromkeys(KINDS, 0)

    def note(self, kind: str, error: BaseException | None, *, gone: bool) -> None:
        """Note how a check of this kind ended, and whether its process was `gone` then.

        One that has passed counts for nothing if it is: of a server that takes one client and no
        other, some checks want no more.
        """
        if not gone:
            self._ended[kind] = 0
        elif isinstance(error, Exception):
            self._ended[kind] += 1

    def enough(self, kind: str) -> bool:
        """Return whether so many of a kind have ended their process that no other is asked."""
        return self._ended[kind] >= ENDED_ALONE


class Endless:
    """How many checks of each kind met an answer without end: drop by drop, or as a flood."""

    def __init__(self) -> None:
        """None has yet."""
        self._counts = {(kind, how): 0 for kind in KINDS for how in ("endless", "flood")}
        self._lock = threading.Lock()

    def note(self, error: BaseException | None, rule: Rule) -> None:
        """Count it if a check of `rule` ended so."""
        if not isinstance(error, WireError) or ("edge", error.kind) not in self._counts:
            return
        with self._lock:
            for kind in kinds_after(rule.kind):
                self._counts[kind, error.kind] += 1

    def drips(self, kind: str) -> bool:
        """Return whether no answer to a check of this kind is likely to end."""
        return self._counts[kind, "endless"] >= DRIPS

    def most_read(self, kind: str) -> int:
        """Return how many bytes of an answer to a check of this kind are read, at most."""
        return LESS_READ if self._counts[kind, "flood"] >= FLOODS else MOST_READ


class Overload:
    """Whether a check may have failed because this machine was too busy for its clients.

    A server hangs up on a client that has been silent for IDLE_TIMEOUT, and it is right to: also
    on one of ours that had to wait for the processor. So a check that failed on a connection
    that was open for nearly that long is asked again. Where that does not help, time after time,
    it is the server that is slow, and no more are asked again.
    """

    def __init__(self) -> None:
        """None has been asked again."""
        self._again: collections.Counter[str] = collections.Counter()
        self._failed_again = 0

    def may_explain(self, check: str) -> bool:
        """Return whether to ask the check of this name again."""
        return self._again[check] < TRIES and self._failed_again < FAILED_AGAIN

    def note(self, check: str, *, helped: bool) -> None:
        """Note that it has been asked again, and whether that has `helped`."""
        self._again[check] += 1
        self._failed_again = 0 if helped else self._failed_again + 1


def was_slow(error: BaseException | None, longest: float) -> bool:
    """Return whether a check that ended with `error` may have been too slow for the server.

    Its `longest` connection was open for that many seconds. To wait in vain for a response is
    something else: for that there is more time than any machine needs.
    """
    if isinstance(error, WireError):
        slow = error.kind in ("closed", "reset")
    else:
        slow = isinstance(error, (CheckFailed, BadResponse))
    return slow and longest > SLOW_CLIENT


def kinds_after(kind: str) -> tuple[str, ...]:
    """Return the kinds of checks that may be hurried, as one of this kind has cost much time.

    An edge case's fault must never cost a requirement; a requirement's costs the stage anyway.
    """
    return KINDS if kind == "requirement" else ("edge",)
