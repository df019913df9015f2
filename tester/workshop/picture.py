"""Draws the README's picture of a failed check, from a real one: `make picture`."""

from __future__ import annotations

import dataclasses
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from tester.arguments import OneLineParser
from tester.grading.grade import grade_stage
from tester.grading.job import Grading
from tester.ladder.stages import ROOT, get_stage
from tester.report.terminal import print_stage
from tester.results import CheckResult, StageResult

PICTURE = ROOT / ".github" / "failed-check.svg"
STAGE = 7
SEED = 2718
WIDTH = 84
# A mistake that many make: letters are counted instead of bytes.
RIGHT, WRONG = "str(len(response.body))", "str(len(response.body.decode(errors='replace')))"


def grade_mistake() -> StageResult:
    """Grade stage 7's server with the mistake in it, the same way each time."""
    source = get_stage(STAGE).server.read_text(encoding="utf-8")
    if source.count(RIGHT) != 1:
        raise SystemExit(f"{get_stage(STAGE).server} has no {RIGHT} any more: mend picture.py")
    with tempfile.TemporaryDirectory() as folder:
        attempt = Path(folder, "my_server.py")
        attempt.write_text(source.replace(RIGHT, WRONG), encoding="utf-8")
        result = grade_stage(Grading(str(attempt), seed=SEED), STAGE)
    return dataclasses.replace(result, attempt="my_server.py", seconds=0.6)


def draw(result: StageResult) -> str:
    """Return the report as an SVG that needs no font from elsewhere, and is always the same."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    tests = tuple(_without_output(test) for test in result.tests)
    print_stage(dataclasses.replace(result, tests=tests), console)
    svg = console.export_svg(
        title="make stage-07 ATTEMPT=my_server.py", theme=MONOKAI, unique_id="failed-check"
    )
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("font-family: Fira Code, monospace", "font-family: monospace")


def main(arguments: Sequence[str] = ()) -> None:
    """Draw it, and say where."""
    OneLineParser(prog="python -m tester.workshop picture").parse_args(arguments)
    PICTURE.write_text(draw(grade_mistake()), encoding="utf-8")
    print(f"Drawn: {PICTURE.relative_to(ROOT)}")


def _without_output(test: CheckResult) -> CheckResult:
    """Leave out what the server printed: the picture has to fit on a screen."""
    if test.failure is None:
        return test
    return dataclasses.replace(test, failure=dataclasses.replace(test.failure, output=""))
