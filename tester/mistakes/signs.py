"""Reads the signs that a failure leaves: what it can be recognised by."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from tester.masks import hide
from tester.results import CheckResult, Failure, StageResult

LOOKED_AT = 8_000  # Characters of a text that may be a sign; of a longer one, its beginning.
OUTPUT_LOOKED_AT = 64_000  # Characters at the end of an output in which we look for errors.
# An escaped character is matched on its own: so no quote is tried twice, and time stays linear.
TEXT = re.compile(r"(?P<escaped>\\.)|b?'(?:[^'\\]|\\.)*'|b?\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
ERROR = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Interrupt|Exit))\b(?:: (.*))?", re.MULTILINE)
SLIPS = ("TypeError", "AttributeError", "NameError")  # Their messages say more than their names.
NOT_ITS_OWN = ("BrokenPipeError", "ConnectionResetError", "ConnectionAbortedError")
"""Errors that say nothing about a server: they mean that a client has left."""
ERROR_INSIDE = re.compile(r"\b(\w+Error)\b.*", re.DOTALL)
GROWN = re.compile(r"\bgrew by (\d{1,6}) MB\b.*\b(\d{1,6}) MB\b")
HELD = 0.8  # A server that holds a whole file grows by at least this share of it.
LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
Sign = tuple[str, str, str]
"""A check's name, the kind of the sign (a key of WEIGHTS), and a text without random parts."""


def check_name(test: CheckResult) -> str:
    """Return the name of a check's function."""
    return test.id.rpartition("::")[2]


def read_signs(result: StageResult) -> frozenset[Sign]:
    """Return the signs of everything that went wrong in a grade."""
    signs: set[Sign] = set()
    if result.error is not None:
        signs.add(("", "start", _mask(result.error)))
    for test in result.tests:
        if test.outcome == "failed" and test.failure is not None:
            name = check_name(test)
            signs.update((name, kind, text) for kind, text in failure_signs(test.failure))
    return frozenset(signs)


def failure_signs(failure: Failure) -> Iterator[tuple[str, str]]:
    """Yield the signs of one failure, each with its kind and its text."""
    message, expected, got, ending = (
        hide(text[:LOOKED_AT])
        for text in (failure.message, failure.expected, failure.got, failure.ending)
    )
    yield "fails", ""
    yield "says", _mask(ERROR_INSIDE.sub(r"\1", message))
    yield "exactly", message
    yield "ends", ending
    if difference := _difference(_unquote(expected), _unquote(got)):
        yield "differs", difference
    if failure.spins:
        yield "spins", ""
    if errors := ERROR.findall(failure.output[-OUTPUT_LOOKED_AT:]):
        kind, words = errors[-1]
        yield "dies", _mask(f"{kind}: {words}") if kind in SLIPS else kind


def _mask(text: str) -> str:
    """Return `text` without times, numbers and quoted words: they differ between grades."""
    text = TEXT.sub(lambda found: found["escaped"] or "'…'", hide(text[:LOOKED_AT]))
    return NUMBER.sub("#", text)


def _unquote(text: str) -> str:
    """Return `text` without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[0] == text[-1] else text


def _difference(expected: str, got: str) -> str:
    """Return how `got` differs from `expected`, whatever the words in them are."""
    if not expected or not got:
        return ""
    if expected == got:  # Two dates of the same form.
        return _mask(got)[:60]
    if expected in got:
        return "more: " + _mask(ERROR_INSIDE.sub(r"\1", got.replace(expected, "·", 1)))[:40]
    if got in expected:
        place = (
            "start" if expected.startswith(got) else "end" if expected.endswith(got) else "middle"
        )
        return f"only its {place}"
    common = len(os.path.commonprefix([expected, got]))
    wanted, came = expected[common : common + 1], got[common : common + 1]
    if not wanted or not came:
        return ""
    if all(character.isalnum() or character == "#" for character in (wanted, came)):
        return _mask(ERROR_INSIDE.sub(r"\1", got))[:60]
    return f"{wanted!r} became {came!r}"
