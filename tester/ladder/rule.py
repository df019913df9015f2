"""Rules: what a check says about itself, and at which stages it is in force."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pytest

LAST_STAGE = 18
edge = pytest.mark.edge
"""Marks an edge case: counted apart, never needed to pass."""
waits = pytest.mark.waits
"""Marks a check that mostly waits: it runs beside the others, on a server of its own."""
restarts = pytest.mark.restarts
"""Marks a check that stops the server: it comes last of all."""


def until(stage: int) -> pytest.MarkDecorator:
    """Mark a rule that no longer holds after `stage`."""
    return pytest.mark.until(stage)


@dataclass(frozen=True)
class Rule:
    """What a check's function says about itself."""

    stage: int
    last: int
    kind: str
    title: str
    why: str
    hint: str

    def in_force(self, stage: int) -> bool:
        """Whether the rule holds at `stage`."""
        return self.stage <= stage <= self.last


RULE = pytest.StashKey["Rule"]()


def read_rule(item: pytest.Item) -> Rule:
    """Return the rule of a check, which is read once."""
    if RULE not in item.stash:
        item.stash[RULE] = _read_rule(item)
    return item.stash[RULE]


def _read_rule(item: pytest.Item) -> Rule:
    """Read the rule of a check: its module's STAGE, marks, and the docstring's three parts."""
    until_mark = item.get_closest_marker("until")
    title, why, hint = split_docstring(item.function.__doc__ or "")  # type: ignore[attr-defined]
    return Rule(
        stage=item.module.STAGE,  # type: ignore[attr-defined]
        last=until_mark.args[0] if until_mark else LAST_STAGE,
        kind="edge" if item.get_closest_marker("edge") else "requirement",
        title=title,
        why=why,
        hint=hint,
    )


def split_docstring(text: str) -> tuple[str, str, str]:
    """`"Rule.\\n\\nWhy: because.\\nHint: so."` -> `("Rule.", "because.", "so.")`."""
    parts = {"title": [], "why": [], "hint": []}
    current = "title"
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith(("Why:", "Hint:")):
            current, _, line = line.partition(":")
            current = current.lower()
        parts[current].append(line.strip())
    title, why, hint = (" ".join(filter(None, lines)) for lines in parts.values())
    return title, why, hint
