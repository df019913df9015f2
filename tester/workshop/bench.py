"""Measures how long learners wait for a verdict: `make bench`. No test depends on it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tester.arguments import OneLineParser
from tester.ladder.stages import ROOT, get_stage

ROUNDS = 5
# What is graded, and the seconds within which the verdict should be there on two cores.
GOALS = (
    ("grade --stage 7", ("--stage", "7"), 7, 1.0),
    ("grade --stage 18", ("--stage", "18"), 18, 5.0),
    ("grade (all eighteen)", (), 18, 8.0),
)


def measure(words: tuple[str, ...], stage: int) -> float:
    """Return the seconds that one grade of our own server takes, start of Python included."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tester", "grade", *words, str(get_stage(stage).server)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(f"our own stage {stage} is not passed:\n{done.stdout}")
    return time.perf_counter() - began


def main(arguments: Sequence[str] = ()) -> None:
    """Print median and worst of a few rounds beside the goals."""
    OneLineParser(prog="python -m tester.workshop bench").parse_args(arguments)
    table = Table(
        "command", "median", "worst", "goal", title=f"Time to the verdict, {ROUNDS} rounds"
    )
    for name, words, stage, goal in GOALS:
        times = [measure(words, stage) for _ in range(ROUNDS)]
        table.add_row(
            name, f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", f"< {goal:g} s"
        )
    Console().print(table)
