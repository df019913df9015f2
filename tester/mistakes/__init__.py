"""Mistakes that people make, each as a change to a stage's server. The tester catches all of them.

There is one file for each stage. Read them to learn what goes wrong, and add your own:

- `changes` are as small as possible: pieces of the stage's server.py, each with what replaces it.
- `rule` names the check that catches the mistake, `words` are a part of what that check says.

`tests/mistakes/test_mistakes.py` makes each mistake and tests that it is caught, in these words.
For those of stage 7 alone: `pytest tester/tests/mistakes/test_mistakes.py -k 07`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import STAGES
from tester.ladder.steps import read_server

COSTS_REQUIREMENTS: dict[str, str] = {
    "A reset by the client is an error that nobody catches": (
        "A client that leaves without a request ends it in the same way: that is a requirement."
    ),
    "Escapes are decoded by hand, and %zz is an error that nobody catches": (
        "It decodes UTF-8 wrongly as well, and that escapes are decoded is a requirement."
    ),
    "The path is turned to small letters": (
        "So is the text that `/echo/` sends back, which must stay as it was sent."
    ),
    "Date is made once, when the server starts": (
        "In a long grade it is soon wrong, and a right Date is a requirement."
    ),
    "Each parameter is split at = into two, without a look at how many parts there are": (
        "No query at all is one part as well: it gets an error, where an empty body is required."
    ),
    "The place of a client that breaks off is never given to another": (
        "It has only nine places, to run out soon, and 50 clients at once must be served."
    ),
    "The old file is deleted before the new one has come": (
        "An upload that breaks off must leave the older file untouched: a requirement."
    ),
    "The body is written into the file while others may read it": (
        "An upload that breaks off must leave no file behind: a requirement."
    ),
    "A malformed request ends the connection without a word": (
        "A malformed request line must get 400, which is a requirement since stage 8."
    ),
}
"""Mistakes whose check is an edge case, and why they cost a requirement nevertheless."""


@dataclass(frozen=True)
class Mistake:
    """A mistake in the server of a stage."""

    stage: int
    rule: str
    """The name of the check that must catch it: `test_length_counts_bytes`."""
    title: str
    """The mistake in one plain sentence: `Content-Length counts letters, not bytes`."""
    changes: tuple[tuple[str, str], ...]
    """Texts that occur in the server exactly once, each with the text that replaces it."""
    words: str
    """A part of what its check says, in any letter case; or several, separated by ` / `."""
    row: int | None = None
    """Its number in the list of beginners' mistakes with which this collection began, if any."""


def collect() -> tuple[Mistake, ...]:
    """Return the mistakes of all stages, in the order of the ladder."""
    modules = (importlib.import_module(f"{__name__}.stage_{stage.number:02}") for stage in STAGES)
    return tuple(mistake for module in modules for mistake in module.MISTAKES)


def is_edge(mistake: Mistake) -> bool:
    """Return whether the rule of a mistake is an edge case: then it must cost no requirement."""
    return read_rule(all_checks()[mistake.rule]).kind == "edge"


def source(mistake: Mistake) -> str:
    """Return the server's text with the mistake in it.

    Raises ValueError if a text to be replaced does not occur in the server exactly once.
    """
    text = read_server(mistake.stage)
    for old, new in mistake.changes:
        if text.count(old) != 1:
            raise ValueError(
                f"stage {mistake.stage}, {mistake.title!r}: this occurs {text.count(old)} times in"
                f" its server, not once: {old!r}"
            )
        text = text.replace(old, new)
    return text


MISTAKES: tuple[Mistake, ...]
"""All of them. They are read when somebody asks: a grade needs only the signs that they leave."""


def __getattr__(name: str) -> tuple[Mistake, ...]:
    """Read the mistakes at the first use of MISTAKES."""
    if name != "MISTAKES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = collect()
    return globals()[name]
