"""Tells what a stage asks for, from the docstrings of its checks."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tester.ladder.rule import split_docstring
from tester.ladder.stages import STAGES, Stage


def read_rules(stage: Stage) -> Iterator[tuple[int, str, str, str, str, int | None]]:
    """Yield line, kind, rule, why, hint and last stage (or None) of each check of `stage`."""
    spec = importlib.util.spec_from_file_location(stage.rules.stem, stage.rules)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if not name.startswith("test_") or function.__module__ != module.__name__:
            continue
        marks = {mark.name: mark for mark in getattr(function, "pytestmark", [])}
        last = marks["until"].args[0] if "until" in marks else None
        kind = "edge" if "edge" in marks else "requirement"
        line = inspect.getsourcelines(function)[1]
        yield line, kind, *split_docstring(function.__doc__ or ""), last


def print_rules(stage: Stage, console: Console) -> None:
    """Print what `stage` asks for beside what the stages before it did."""
    rules = [rule[1:] for rule in sorted(read_rules(stage))]
    console.print(Text(f"Stage {stage.number}: {stage.title}", style="bold"))
    console.print(Text(stage.learn))
    console.print(Text(f"To read: {stage.rfc}", style="dim"))
    headings = {
        "requirement": "What it must do to pass",
        "edge": "What it should do as well, for a star each (never needed to pass)",
    }
    for kind, heading in headings.items():
        chosen = [rule for rule in rules if rule[0] == kind]
        if chosen:
            console.print()
            console.print(Text(heading, style="bold"))
        for _, title, why, hint, last in chosen:
            console.print()
            note = f" (up to stage {last})" if last else ""
            mark = "•" if kind == "requirement" else "☆"
            console.print(Padding(Text(f"{mark} {title}{note}"), (0, 0, 0, 2), expand=False))
            console.print(Padding(Text(f"Why:  {why}", style="dim"), (0, 0, 0, 4), expand=False))
            console.print(Padding(Text(f"Hint: {hint}", style="dim"), (0, 0, 0, 4), expand=False))
    console.print()
    if stage.number > 1:
        before = f"stages 1 to {stage.number - 1}" if stage.number > 2 else "stage 1"
        console.print(Text(f"The rules of {before} still apply, but for those that ended before."))
    console.print(Text(f"Our own step: python -m tester diff {stage.number}", style="dim"))
    if stage.number < len(STAGES):
        console.print(
            Text(f"Grade yours: python -m tester grade --stage {stage.number} ATTEMPT", style="dim")
        )
