"""What grading found: the plain data that every report is made from.

This module imports nothing else of the tester, so that the code that makes results and the code
that shows them can share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

Outcome = Literal["passed", "failed", "skipped"]
Kind = Literal["requirement", "edge"]
Direction = Literal["sent", "received"]


def printable(text: str) -> str:
    r"""Return text from outside, with `\xNN` for every character that could move a cursor.

    Line breaks stay.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    r"""`"\x1b"` -> `\\x1b`: the escape for a character that can't be shown."""
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


@dataclass(frozen=True)
class Message:
    """Bytes that went one way at one time; the client is the tester, the server the attempt."""

    direction: Direction
    data: bytes
    seconds: float = 0.0
    """When, in seconds since the connection was opened."""
    connection: int = 1
    """Which of the check's connections, counted from 1."""
    cuts: tuple[int, ...] = ()
    """Where one packet ended and the next began, if there was a pause between them."""


@dataclass(frozen=True)
class Pointer:
    """A line of bytes, and the place in it where it goes wrong."""

    line: bytes
    index: int
    """In bytes from the start of `line`; may be one past its end."""


@dataclass(frozen=True)
class Failure:
    """What there is to say about a failed check, apart from its rule, `Why:` and `Hint:`."""

    message: str
    """What went wrong in one sentence; for JSON, and for the short list of failures."""
    expected: str = ""
    got: str = ""
    pointer: Pointer | None = None
    exchange: tuple[Message, ...] = ()
    ending: str = ""
    """How the conversation ended, in words: "the server closed the connection"."""
    command: str = ""
    """A shell command that repeats it by hand."""
    output: str = ""
    """The end of what the server printed, or nothing."""
    likely: str = ""
    """The likely cause, mostly as a question; only where the bytes do not show it."""
    spins: bool = False
    """Whether the server kept the processor busy although no client asked for anything."""
    kind: str = ""
    """What went wrong, as a name that does not change with the sentence: "status.wrong"."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The facts that the sentence is about: {"wanted": [200], "came": 404}."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check."""

    id: str
    """`test_07_respond_with_content.py::test_length_counts_bytes`"""
    stage: int
    """The stage that introduces the rule."""
    title: str
    """The rule: the first line of the check's docstring."""
    kind: Kind
    outcome: Outcome
    why: str = ""
    hint: str = ""
    failure: Failure | None = None
    skipped: str = ""
    """Why it was not run, for an outcome of `skipped`."""
    seconds: float = 0.0


@final
@dataclass(frozen=True)
class StageResult:
    """The verdict on one stage."""

    stage: int
    title: str
    attempt: str
    seed: int
    seconds: float
    tests: tuple[CheckResult, ...] = ()
    error: str | None = None
    """Why it could not be graded at all, such as "the attempt exited before it listened: …"."""
    output: str = ""
    """The end of what the attempt printed, where there is an error."""
    looks_like: str = ""
    """A sentence with the name of a known mistake, if the failures look like one."""

    def count(self, kind: Kind) -> tuple[int, int]:
        """Return how many checks of this kind passed, and how many there are."""
        chosen = [test for test in self.tests if test.kind == kind]
        return sum(test.outcome == "passed" for test in chosen), len(chosen)

    @property
    def passed(self) -> bool:
        """Whether every requirement holds. Edge cases never count for that."""
        passed, total = self.count("requirement")
        return self.error is None and total > 0 and passed == total

    @property
    def holds_most(self) -> bool:
        """Whether more than half of the requirements that this stage introduces hold."""
        own = [
            test for test in self.tests if (test.stage, test.kind) == (self.stage, "requirement")
        ]
        return sum(test.outcome == "passed" for test in own) > len(own) / 2

    @property
    def failures(self) -> list[CheckResult]:
        """The checks that did not pass, requirements before edge cases, in the ladder's order."""
        failed = [test for test in self.tests if test.outcome != "passed"]
        return sorted(failed, key=lambda test: test.kind == "edge")

    @property
    def first_failure(self) -> CheckResult | None:
        """The failure to start with: the first requirement that failed, or else was not run."""
        chosen = sorted(
            self.failures, key=lambda test: (test.kind == "edge", test.outcome == "skipped")
        )
        first = chosen[0] if chosen else None
        if first and first.failure and first.failure.likely:
            # The cause is not in this rule. It may be in one that is new at this stage.
            same = (
                test
                for test in chosen
                if (test.kind, test.stage) == ("requirement", self.stage)
                and test.failure
                and test.failure.likely == first.failure.likely
            )
            return next(same, first)
        return first


@final
@dataclass(frozen=True)
class LadderResult:
    """How far an attempt gets on the whole ladder."""

    attempt: str
    seed: int
    seconds: float
    stages: tuple[StageResult, ...] = field(default=())

    @property
    def reached(self) -> int:
        """The last stage that is passed, or 0 if none is."""
        return max((result.stage for result in self.stages if result.passed), default=0)

    @property
    def tries(self) -> int:
        """The last stage that `holds_most`, or 0: the stage that the attempt tries to be."""
        return max((result.stage for result in self.stages if result.holds_most), default=0)
