"""Names the mistake behind failed checks, if it is a known one: "This looks like: ...".

Each mistake of `tester/mistakes/` has left its prints in `fingerprints.json`: the signs by which a
grade of it can be told from others (which checks fail, what they say, how the response ended, where
the bytes go wrong). The signs of a new grade are compared with them, and rare signs count for more.
A mistake is named only if the likeness is great and no other mistake comes close.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tester.masks import hide
from tester.mistakes.signs import (
    GROWN,
    HELD,
    LENGTH,
    LOOKED_AT,
    NOT_ITS_OWN,
    Sign,
    check_name,
    read_signs,
)
from tester.results import StageResult

PRINTS = Path(__file__).with_name("fingerprints.json")
LIKENESS = 0.65  # From 0 to 1: below this, nothing is said.
LEAD = 0.05  # How far ahead of the next one the best must be: otherwise it is a guess.
LATER = 0.2  # The weight of failures in stages after the mistake's own: many are its consequences.
MOST_NAMES = 2  # How many mistakes with the same signs are named.
WEIGHTS = {"fails": 1, "says": 2, "exactly": 1, "ends": 1, "differs": 2, "dies": 1, "start": 3}
WEIGHTS |= {"spins": 2}
"""The kinds of signs, and how much each of them says."""


@dataclass(frozen=True)
class Print:
    """The signs that a mistake leaves every time it is graded at its stage."""

    stage: int
    rule: str
    """The name of the check that must catch it."""
    title: str
    signs: frozenset[Sign]


@dataclass(frozen=True)
class Match:
    """How similar a grade is to the prints of a mistake."""

    likeness: float
    """From 0 to 1."""
    known: Print


class Prints:
    """All known prints, and how much each sign says."""

    def __init__(self, prints: Iterable[Print]) -> None:
        """Count how many mistakes leave each sign: one that many leave says little."""
        self.prints = tuple(prints)
        self._counts = Counter(sign for one in self.prints for sign in one.signs)

    def weigh(self, signs: Iterable[Sign]) -> float:
        """Return how much `signs` say together."""
        size = len(self.prints)
        return sum(
            WEIGHTS[sign[1]] * math.log(1 + size / (self._counts[sign] or 1)) for sign in signs
        )

    def knows(self, sign: Sign) -> bool:
        """Return whether any mistake leaves `sign`."""
        return sign in self._counts

    def without(self, left_out: Iterable[Print]) -> Prints:
        """Return these prints without some, to measure what is said about an unknown mistake."""
        titles = {one.title for one in left_out}
        return Prints(one for one in self.prints if one.title not in titles)

    def twins(self, known: Print) -> list[Print]:
        """Return the mistakes that leave the same signs as `known`, including itself."""
        return [one for one in self.prints if one.signs == known.signs]

    def matches(self, result: StageResult) -> list[Match]:
        """Return how similar a grade is to each mistake that has anything in common with it."""
        stages = {check_name(test): test.stage for test in result.tests}
        # Words that no mistake leaves do not count: they may be random.
        signs = {s for s in read_signs(result) if s[1] != "exactly" or self.knows(s)}
        found = []
        for known in self.prints:
            if known.stage <= result.stage and (known.rule in stages or result.error):
                likeness = self._compare(signs, known, stages)
                found += [Match(likeness, known)] if likeness else []
        return sorted(found, key=lambda match: -match.likeness)

    def _compare(self, signs: set[Sign], known: Print, stages: dict[str, int]) -> float:
        """Return how similar `signs` are to those of `known`, in checks that ran for both."""
        seen = {sign for sign in signs if stages.get(sign[0], 0) <= known.stage}
        expected = {sign for sign in known.signs if not sign[0] or sign[0] in stages}
        common = self.weigh(seen & expected)
        if not common:
            return 0.0
        covered = common / self.weigh(expected)
        explained = common / (self.weigh(seen) + LATER * self.weigh(signs - seen))
        return 2 * covered * explained / (covered + explained)

    def best(self, result: StageResult) -> list[Print]:
        """Return the mistake that a grade looks like, with its twins; nothing if that is unlikely.

        The check that must catch the mistake has to say what it says about it. And the mistake must
        explain what a learner sees first: the first failed requirement, and errors in the output.
        """
        matches = self.matches(result)
        if not matches or matches[0].likeness < LIKENESS:
            return []
        first = matches[0]
        others = [match for match in matches if match.known.signs != first.known.signs]
        if others and first.likeness - others[0].likeness < LEAD:
            return []
        signs = read_signs(result)
        words = {
            sign
            for sign in first.known.signs
            if sign[0] == first.known.rule and sign[1] in ("says", "differs")
        }
        explains = (
            _explains_first(first.known, result)
            and _explains_errors(first.known, signs)
            and _explains_load(first.known, result)
        )
        return self.twins(first.known) if words <= signs and explains else []


def _explains_first(known: Print, result: StageResult) -> bool:
    """Return whether `known` fails the check that a learner is shown first."""
    first = result.first_failure
    return first is None or (check_name(first), "fails", "") in known.signs


def _explains_errors(known: Print, signs: Iterable[Sign]) -> bool:
    """Return whether `known` prints one of the errors in the output, if there were any."""
    seen = {sign[2] for sign in signs if sign[1] == "dies"} - set(NOT_ITS_OWN)
    return not seen or any(sign[1] == "dies" and sign[2] in seen for sign in known.signs)


def _explains_load(known: Print, result: StageResult) -> bool:
    """Return whether `known` explains the processor time and the memory that the server took.

    A server that spins slows down everything beside it, which fails other checks. And a server that
    grew by less than it was sent did not hold all of it: it may have freed memory late, or started
    another process.
    """
    spun = any(test.failure and test.failure.spins for test in result.failures)
    if spun and not any(sign[1] == "spins" for sign in known.signs):
        return False
    own = [test.failure for test in result.failures if check_name(test) == known.rule]
    figures = GROWN.search(own[0].message[:LOOKED_AT]) if own and own[0] else None
    return not figures or int(figures[1]) >= HELD * int(figures[2])


def name_mistake(result: StageResult) -> str:
    """Return `This looks like: ...` for a grade that looks like a known mistake, else ""."""
    if result.error is None and not any(test.failure for test in result.tests):
        return ""
    found = load().best(result)
    if not found:
        return ""
    titles = "; or: ".join(one.title for one in found[:MOST_NAMES])
    figures = _lengths(result, found[0]) if "length" in titles.lower() else ""
    return f"This looks like: {titles}.{figures}"


def _lengths(result: StageResult, known: Print) -> str:
    """Return ` 7 declared, 10 sent.` if the response in the check of `known` shows that."""
    failures = [test.failure for test in result.failures if check_name(test) == known.rule]
    messages = failures[0].exchange if failures and failures[0] else ()
    answers = [message.data for message in messages if message.direction == "received"]
    head, end, body = answers[-1].partition(b"\r\n\r\n") if answers else (b"", b"", b"")
    declared = [int(digits) for digits in LENGTH.findall(head)]
    if not end or len(declared) != 1 or declared[0] == len(body):
        return ""
    return f" {declared[0]} declared, {len(body)} sent."


@functools.cache
def load() -> Prints:
    """Return the prints of all known mistakes."""
    data = json.loads(PRINTS.read_text(encoding="utf-8"))
    table: list[Sign] = [(rule, kind, hide(text)) for rule, kind, text in data["signs"]]
    return Prints(
        Print(one["stage"], one["rule"], one["title"], frozenset(table[n] for n in one["signs"]))
        for one in data["mistakes"]
    )


def save(prints: Iterable[Print]) -> None:
    """Write the prints of all known mistakes, in the given order."""
    prints = list(prints)
    table = sorted({sign for one in prints for sign in one.signs})
    index = {sign: number for number, sign in enumerate(table)}
    rows = [
        {
            "stage": one.stage,
            "rule": one.rule,
            "title": one.title,
            "signs": sorted(index[sign] for sign in one.signs),
        }
        for one in prints
    ]
    # One line for each, so that a change shows in a diff.
    signs, mistakes = (",\n".join(map(json.dumps, entries)) for entries in (table, rows))
    text = f'{{"signs": [\n{signs}\n], "mistakes": [\n{mistakes}\n]}}\n'
    PRINTS.write_text(text, encoding="utf-8")
    load.cache_clear()
