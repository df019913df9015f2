"""Breaks the eighteen servers in small ways, one at a time, and sees which check notices it.

`python -m tester.workshop mutants [STAGE ...] [--parallel N] [--whole] [--verbose]`, or
`make mutants`.

A mutant is a stage's server with one change:

- comparison: `==` and `!=`, `<` and `<=`, `>` and `>=`, `in` and `not in`, `is` and `is not`
  swapped
- condition: that of an `if`, `while`, `assert` or comprehension negated; a `not` taken away
- boolean: `and` and `or` swapped
- constant: a number one larger; True and False swapped; a text without its first or last letter
- pattern: in a raw text, `+` and `*` swapped; `?`, `^`, `$` and `(?i)` taken away; `[^` and `[`,
  `(?=` and `(?!` swapped; a letter of a class taken away; a range one letter shorter at an end
- arithmetic: `+` and `-`, `*` and `//`, `&` and `|` swapped; `%` made `*`; a sign taken away
- statement: an expression, assignment, `raise`, `break` or `continue` dropped; a value not returned

At each stage, those lines are changed which that stage brings or changes, and the grade is that
stage's: so each line of the ladder is broken once, where it is taught. What survives there has a
second grade, at the last stage that still has the line: some lines are there for what comes later.
With `--whole`, stage 18 is broken in every line. A mutant is killed if any check fails, requirement
or edge case, or if it does not start. All that survive must stand in `mutants_equivalent.txt`, each
under a reason why no client can see a difference, or why HTTP leaves it open.

Not broken, as no rule asks for it: docstrings, annotations and imports; whatever only the operator
sees (the function `log`, what goes to standard error, `help` and `usage` of the command line, the
words of errors that no client gets); in a status, the words after the number, but for `200 OK` and
`404 Not Found`, which stages 3 and 4 ask for; and names that Python takes for the same encoding.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tester.arguments import OneLineParser
from tester.grading.grade import RULES, stop_on_signals
from tester.ladder.stages import ROOT, STAGES, get_stage
from tester.ladder.steps import read_server
from tester.workshop.mutants.mutate import Change, Mutant, find_mutants
from tester.workshop.options import read_stages

LIMIT = 60.0  # Seconds that the grade of a mutant may take: it hangs, and that is noticed, too.
GRACE = 15.0  # Seconds that a grade has to stop what it has started.
PARALLEL = (os.cpu_count() or 1) + 2  # Grades mostly wait.
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
ENTRY = re.compile(r"stage (\d+)(?:, in (\w+))?(?:, place (\d+))?\n- (.*)\n\+ (.*)")


@dataclass(frozen=True)
class Equivalent:
    """A change that makes no difference, from a stage on."""

    stage: int
    change: Change
    why: str


@functools.cache
def read_equivalents(path: Path = EQUIVALENT) -> tuple[Equivalent, ...]:
    """Return the list of changes that make no difference. Raises ValueError and OSError.

    Its paragraphs are remarks, which begin with `#`, and reasons, which begin with `Why:`, each
    followed by the diffs that it holds for.
    """
    found, why = [], ""
    for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n"):
        if paragraph.startswith("# "):
            continue
        if paragraph.startswith("Why: "):
            why = " ".join(paragraph.removeprefix("Why: ").split())
        elif entry := ENTRY.fullmatch(paragraph):
            stage, function, place, before, after = entry.groups("")
            change = (function, before, after, int(place or 1))
            found.append(Equivalent(int(stage), change, why))
        else:
            raise ValueError(f"{path.name}: this is neither a reason nor a diff:\n{paragraph}")
    return tuple(found)


def reason(mutant: Mutant) -> str:
    """Return why no check can kill `mutant`; empty if nobody has said so."""
    return next((one.why for one in read_equivalents() if matches(one, mutant)), "")


def matches(equivalent: Equivalent, mutant: Mutant) -> bool:
    """Whether the list means this mutant."""
    return mutant.stage >= equivalent.stage and mutant.change == equivalent.change


@dataclass(frozen=True)
class Outcome:
    """What the grade of a program came to."""

    killer: str
    """The check that failed first, or why there was no grade; empty: all have passed."""
    hung: bool = False
    """Whether the grade had to be broken off."""
    late: bool = False
    """Whether it was killed at a later stage, not at its own."""


def grade(stage: int, text: str, limit: float = LIMIT) -> Outcome:
    """Grade the program `text` at `stage`, up to the first check that fails.

    It is a pytest of its own, with the checks of the stage itself first: those notice most.
    Raises RuntimeError if pytest itself fails.
    """
    rules = [str(get_stage(number).rules) for number in range(stage, 0, -1)]
    options = ("-x", "-q", "-rf", "--tb=no", "--assert=plain", "-p", "no:cacheprovider")
    with tempfile.TemporaryDirectory(prefix="http-tester-mutant-") as folder:
        path = Path(folder, "server.py")
        path.write_text(text, encoding="utf-8")
        where = ("--rootdir", str(RULES), "-c", os.devnull, "--stage", str(stage), "--attempt")
        command = (sys.executable, "-m", "pytest", *options, *where, str(path), *rules)
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                stop(process)
                return Outcome("the grade did not end", hung=True)
    if process.returncode == pytest.ExitCode.OK:
        return Outcome("")
    if process.returncode == pytest.ExitCode.USAGE_ERROR and "the attempt" in output:
        return Outcome("it did not start")
    if process.returncode != pytest.ExitCode.TESTS_FAILED:
        raise RuntimeError(f"pytest ended with {process.returncode}:\n{output[-2000:]}")
    return Outcome(re.findall(r"^FAILED \S*::(\w+)", output, re.MULTILINE)[0])


def grade_twice(mutant: Mutant) -> Outcome:
    """Grade `mutant` at its own stage and, if it survives, at the last one that has the line."""
    outcome = grade(mutant.stage, mutant.text)
    later = None if outcome.killer else last_form(mutant)
    return outcome if later is None else replace(grade(later.stage, later.text), late=True)


def last_form(mutant: Mutant) -> Mutant | None:
    """Return the same change at the last stage where it can be made; None if that is its own."""
    for stage in range(len(STAGES), mutant.stage, -1):
        if mutant.change in changes(stage):
            return changes(stage)[mutant.change]
    return None


@functools.cache
def changes(stage: int) -> dict[Change, Mutant]:
    """Return all mutants of the whole server of `stage` by their changes."""
    return {mutant.change: mutant for mutant in find_mutants(stage, whole=True)}


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a grade as Ctrl-C does, so that it stops the server, too."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


@dataclass(frozen=True)
class Tally:
    """What became of the mutants of one stage."""

    name: str
    outcomes: tuple[tuple[Mutant, Outcome], ...]

    @property
    def survivors(self) -> list[Mutant]:
        """Those that no check has noticed."""
        return [mutant for mutant, outcome in self.outcomes if not outcome.killer]

    @property
    def unexplained(self) -> list[Mutant]:
        """Survivors for which nobody has given a reason."""
        return [mutant for mutant in self.survivors if not reason(mutant)]

    @property
    def row(self) -> str:
        """How many were killed, how many not, in a table's row."""
        total, left = len(self.outcomes), len(self.survivors)
        late = sum(outcome.late for _, outcome in self.outcomes if outcome.killer)
        hung = sum(outcome.hung for _, outcome in self.outcomes)
        share = f"{100 * (total - left) / max(1, total):.1f} %"
        known = left - len(self.unexplained)
        cells = (self.name, total, total - left, share, late, hung, known, left - known)
        return f"| {' | '.join(map(str, cells))} |"


HEADER = """\
| stage | mutants | killed | share | at a later stage | by hanging | equivalent | unexplained |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def grade_all(name: str, mutants: Sequence[Mutant], pool: ThreadPoolExecutor) -> Tally:
    """Grade `mutants`, several at a time. Raises RuntimeError if a sound server is not passed."""
    stage = mutants[0].stage
    if sound := grade(stage, read_server(stage)).killer:
        raise RuntimeError(f"stage {stage}: our own server does not pass: {sound}")
    return Tally(name, tuple(zip(mutants, pool.map(grade_twice, mutants), strict=True)))


def remarks(tally: Tally) -> Iterator[str]:
    """Yield what is to be done about survivors, and about the list.

    An entry whose mutant hangs is no matter: on a faster machine its grade ends.
    """
    for mutant in tally.unexplained:
        yield f"\nsurvived: {mutant.diff}"
    for equivalent in read_equivalents():
        meant = [pair for pair in tally.outcomes if matches(equivalent, pair[0])]
        if meant and all(outcome.killer and not outcome.hung for _, outcome in meant):
            yield f"\nlisted as equivalent, killed by {meant[0][1].killer}: {meant[0][0].diff}"


def stale(stages: Iterable[int]) -> list[Equivalent]:
    """Return the entries of the list for `stages` that are no mutants any more."""
    mutants = [mutant for stage in stages for mutant in find_mutants(stage)]
    return [
        one
        for one in read_equivalents()
        if one.stage in stages and not any(matches(one, mutant) for mutant in mutants)
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for. Leaves with exit code 2 if that makes no sense."""
    parser = OneLineParser(prog="python -m tester.workshop mutants", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="stage 18 in every line, too")
    parser.add_argument("--verbose", action="store_true", help="tell which check killed each")
    return read_stages(parser, arguments, PARALLEL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade all mutants and tell what became of them; return 1 if one lives without a reason."""
    options = read_arguments(arguments)
    os.nice(10)  # Other work on this machine comes first.
    stop_on_signals()
    work = [(str(stage), find_mutants(stage)) for stage in options.stages]
    if options.whole:
        work.append(("18, whole", find_mutants(len(STAGES), whole=True)))
    began, tallies, pool = time.monotonic(), [], ThreadPoolExecutor(options.parallel)
    try:
        for name, mutants in work:
            tallies.append(grade_all(name, mutants, pool))
            print(tallies[-1].row, *remarks(tallies[-1]), sep="\n", flush=True)
            if options.verbose:
                for mutant, outcome in tallies[-1].outcomes:
                    print(f"\n{outcome.killer or 'survived'}: {mutant.diff}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    for one in stale(options.stages):
        print(f"\nlisted as equivalent, but no mutant any more: {one.stage}, {one.change}")
    outcomes = tuple(pair for tally in tallies for pair in tally.outcomes)
    print(f"\n{HEADER}", *(tally.row for tally in tallies), Tally("all", outcomes).row, sep="\n")
    print(f"{len(outcomes)} grades in {time.monotonic() - began:.0f} s")
    return 1 if any(tally.unexplained for tally in tallies) else 0
