"""Rules: what a check says about itself, and at which stages it is in force."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tester.ladder.stages import LAST_STAGE, STAGES, Stage
from tester.results import Kind

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

    name: str
    """The name of the function: `test_length_counts_bytes`."""
    stage: int
    """The stage that introduces it."""
    last: int
    """The last stage at which it holds."""
    kind: Kind
    title: str
    why: str
    hint: str
    waits: bool
    """Whether it mostly waits."""
    restarts: bool
    """Whether it stops the server."""

    def in_force(self, stage: int) -> bool:
        """Whether the rule holds at `stage`."""
        return self.stage <= stage <= self.last


Check = Callable[..., None]
"""A function that talks to an attempt, and raises an exception where its rule does not hold."""


def read_rule(check: Check | pytest.Item) -> Rule:
    """Return the rule of a check, or of pytest's item for it; each is read once."""
    return _read_rule(getattr(check, "function", check))


@functools.cache
def _read_rule(check: Check) -> Rule:
    """Read the rule of a check: its module's STAGE, its marks, the docstring's three parts."""
    marks = {mark.name: mark for mark in getattr(check, "pytestmark", [])}
    title, why, hint = split_docstring(check.__doc__ or "")
    return Rule(
        name=check.__name__,
        stage=sys.modules[check.__module__].STAGE,
        last=marks["until"].args[0] if "until" in marks else LAST_STAGE,
        kind="edge" if "edge" in marks else "requirement",
        title=title,
        why=why,
        hint=hint,
        waits="waits" in marks,
        restarts="restarts" in marks,
    )


def checks_of(stage: Stage) -> list[Check]:
    """Return the checks that `stage` introduces, in the order in which they are written."""
    # By name, and not before it is asked for: the rules themselves stand on everything else.
    module = importlib.import_module(f"tester.rules.{stage.rules.stem}")
    return [
        function
        for name, function in vars(module).items()
        if name.startswith("test_") and function.__module__ == module.__name__
    ]


@functools.cache
def all_checks() -> dict[str, Check]:
    """Return the checks of all stages by their names."""
    return {check.__name__: check for stage in STAGES for check in checks_of(stage)}


def split_docstring(text: str) -> tuple[str, str, str]:
    """`"Rule.\\n\\nWhy: because.\\nHint: so."` -> `("Rule.", "because.", "so.")`."""
    parts: dict[str, list[str]] = {"title": [], "why": [], "hint": []}
    current = "title"
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith(("Why:", "Hint:")):
            current, _, line = line.partition(":")
            current = current.lower()
        parts[current].append(line.strip())
    title, why, hint = (" ".join(filter(None, lines)) for lines in parts.values())
    return title, why, hint
