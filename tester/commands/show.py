"""`python -m tester show`: prints the rules of a stage, from the docstrings of its checks."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tester.ladder.rule import checks_of, read_rule
from tester.ladder.stages import STAGES, Stage


def print_rules(stage: Stage, console: Console) -> None:
    """Print the rules that `stage` adds to those of the stages before it."""
    rules = [read_rule(check) for check in checks_of(stage)]
    console.print(Text(f"Stage {stage.number}: {stage.title}", style="bold"))
    console.print(Text(stage.learn))
    console.print(Text(f"To read: {stage.rfc}", style="dim"))
    headings = {
        "requirement": "What it must do to pass",
        "edge": "What it should do as well, for one star each (never needed to pass)",
    }
    for kind, heading in headings.items():
        chosen = [rule for rule in rules if rule.kind == kind]
        if chosen:
            console.print()
            console.print(Text(heading, style="bold"))
        for rule in chosen:
            console.print()
            note = f" (up to stage {rule.last})" if rule.last < len(STAGES) else ""
            mark = "•" if kind == "requirement" else "☆"
            console.print(Padding(Text(f"{mark} {rule.title}{note}"), (0, 0, 0, 2), expand=False))
            for line in (f"Why:  {rule.why}", f"Hint: {rule.hint}"):
                console.print(Padding(Text(line, style="dim"), (0, 0, 0, 4), expand=False))
    console.print()
    if stage.number > 1:
        before = f"stages 1 to {stage.number - 1}" if stage.number > 2 else "stage 1"
        console.print(Text(f"The rules of {before} still apply, except those that have ended."))
    console.print(Text(f"Our own step: python -m tester diff {stage.number}", style="dim"))
    if stage.number < len(STAGES):
        console.print(
            Text(f"Grade yours: python -m tester grade --stage {stage.number} ATTEMPT", style="dim")
        )
