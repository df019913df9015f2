"""What has been learnt of an attempt: how long it is waited for, and whether it is asked again."""

from __future__ import annotations

import threading

from tester.ladder.rule import Rule
from tester.wire.connection import MOST_READ, WireError

DRIPS = 1  # Checks of a kind that an answer without end came to: from then on, less patience; and
FLOODS = 3  # if it was a flood, after so many checks
LESS_READ = 1024 * 1024  # fewer bytes of each answer are read.
KINDS = ("requirement", "edge")
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


def kinds_after(kind: str) -> tuple[str, ...]:
    """Return the kinds of checks that may be hurried, as one of this kind has cost much time.

    An edge case's fault must never cost a requirement; a requirement's costs the stage anyway.
    """
    return KINDS if kind == "requirement" else ("edge",)
