"""Learns how each mistake looks to a grade, and measures how well it is recognised by that.

`python -m tester.workshop learn [--new] [STAGE ...]` grades each mistake of these stages (of all,
if none is given; with `--new`, those of which no sign is kept yet) at its stage, and keeps the
signs that are the same in two grades with other random words, in `mistakes/fingerprints.json`.
Then a third grade shows how many are called by their names, and that no mistake in an edge case
costs a requirement, unless `COSTS_REQUIREMENTS` says why; else the exit code is 1: `make mistakes`.

That takes hours. After the words of a check have changed, `--own` learns only what each mistake's
own check says of it, and keeps what is known of the other checks: some minutes, and nothing is
measured.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tester.arguments import OneLineParser
from tester.grading.alone import catch
from tester.grading.grade import grade_stage
from tester.grading.job import Grading
from tester.ladder.stages import STAGES
from tester.mistakes import COSTS_REQUIREMENTS, MISTAKES, Mistake, is_edge, source
from tester.mistakes.likeness import Print, Prints, load, save
from tester.mistakes.signs import Sign, check_name, failure_signs, read_signs
from tester.results import StageResult

PARALLEL = 3  # Grades at a time: each of them waits a good part of its time.
LEARNT_FROM = (1, 2)  # The seeds of the grades whose common signs are kept,
MEASURED_BY = 3  # and of the grade that shows how well that works.


@dataclass
class Figures:
    """How well mistakes are recognised."""

    mistakes: int
    recognised: int
    """Called by their own name, or by that of a twin, which leaves the same signs."""
    misnamed: list[tuple[str, str]]
    """Titles: of the mistake, and of the one it was called."""
    silent: list[str]
    """Titles of mistakes that got no name."""
    guesses: list[tuple[str, str]]
    """Titles: of a mistake that is not in the collection, for a trial, and what it is called."""


def grade_mistake(mistake: Mistake, seed: int) -> StageResult:
    """Grade the server of the mistake's stage with the mistake in it."""
    with tempfile.TemporaryDirectory(prefix="http-tester-mistake-") as folder:
        path = Path(folder, "server.py")
        path.write_text(source(mistake), encoding="utf-8")
        return grade_stage(Grading(str(path), seed=seed), mistake.stage)


def grade_all(mistakes: list[Mistake], seed: int) -> list[StageResult]:
    """Grade each mistake, several at a time in processes of their own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PARALLEL, mp_context=context) as pool:
        return list(pool.map(grade_mistake, mistakes, [seed] * len(mistakes)))


def learn(mistakes: list[Mistake]) -> Prints:
    """Learn the prints of `mistakes` anew, keep those of the others, and return all."""
    grades = [grade_all(mistakes, seed) for seed in LEARNT_FROM]
    known = {one.title: one for one in load().prints}
    for mistake, *results in zip(mistakes, *grades, strict=True):
        signs = frozenset.intersection(*map(read_signs, results))
        known[mistake.title] = Print(mistake.stage, mistake.rule, mistake.title, signs)
    save(known[mistake.title] for mistake in MISTAKES if mistake.title in known)
    return load()


def own_signs(mistake: Mistake) -> frozenset[Sign]:
    """Return the signs that the mistake's own check, run alone, finds with either seed."""
    found = []
    for seed in LEARNT_FROM:
        failure = catch(mistake, seed)
        signs = failure_signs(failure) if failure else ()
        found.append({(mistake.rule, kind, text) for kind, text in signs})
    return frozenset.intersection(*map(frozenset, found))


def learn_own(mistakes: list[Mistake]) -> None:
    """Learn what the own check of each of `mistakes` says, and keep what others say."""
    known = {one.title: one for one in load().prints}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PARALLEL, mp_context=context) as pool:
        learnt = list(pool.map(own_signs, mistakes))
    for mistake, signs in zip(mistakes, learnt, strict=True):
        if not signs:
            print(f"not caught: {mistake.stage}, {mistake.title}")
        old = known[mistake.title].signs if mistake.title in known else frozenset()
        signs |= {sign for sign in old if sign[0] != mistake.rule}
        known[mistake.title] = Print(mistake.stage, mistake.rule, mistake.title, signs)
    save(known[mistake.title] for mistake in MISTAKES if mistake.title in known)


def measure(prints: Prints, mistakes: list[Mistake], results: list[StageResult]) -> Figures:
    """Count which of `mistakes`, graded with these results, are called by their names."""
    figures = Figures(len(mistakes), 0, [], [], [])
    known = {one.title: one for one in prints.prints}
    for mistake, result in zip(mistakes, results, strict=True):
        twins = prints.twins(known[mistake.title])
        titles = [one.title for one in prints.best(result)]
        if mistake.title in titles:
            figures.recognised += 1
        elif titles:
            figures.misnamed.append((mistake.title, titles[0]))
        else:
            figures.silent.append(mistake.title)
        guess = prints.without(twins).best(result)
        figures.guesses += [(mistake.title, one.title) for one in guess[:1]]
    return figures


def find_costly(mistakes: list[Mistake], results: list[StageResult]) -> list[str]:
    """Return what mistakes in edge cases have cost that should be passed: each title, and what.

    But for those in COSTS_REQUIREMENTS, where it is said why.
    """
    found = []
    for mistake, result in zip(mistakes, results, strict=True):
        if is_edge(mistake) and not result.passed and mistake.title not in COSTS_REQUIREMENTS:
            costs = [check_name(test) for test in result.failures if test.kind == "requirement"]
            found.append(f"{mistake.title}\n    > {result.error or ', '.join(costs)}")
    return found


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for: `mistakes`, and whether only their `own` checks."""
    parser = OneLineParser(
        prog="python -m tester.workshop learn",
        description="Grade each known mistake, and keep the signs that it leaves.",
    )
    parser.add_argument("--own", action="store_true", help="run only the check of each mistake")
    parser.add_argument("--new", action="store_true", help="only mistakes of which no sign is kept")
    parser.add_argument(
        "stages", type=int, nargs="*", metavar="STAGE", help="all, if none is given"
    )
    options = parser.parse_args(arguments)
    if not set(options.stages) <= {stage.number for stage in STAGES}:
        parser.error("the stages are 1 to 18")
    known = {one.title for one in load().prints} if options.new else set()
    stages = options.stages or [stage.number for stage in STAGES]
    options.mistakes = [one for one in MISTAKES if one.stage in stages and one.title not in known]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, measure, and print the figures."""
    options = read_arguments(arguments)
    mistakes = options.mistakes
    if options.own:
        learn_own(mistakes)
        return 0
    began = time.monotonic()
    prints = learn(mistakes)
    results = grade_all(mistakes, MEASURED_BY)
    figures = measure(prints, mistakes, results)
    twins = [group for group in _twin_groups(prints) if len(group) > 1]
    print(f"{figures.mistakes} mistakes, graded in {time.monotonic() - began:.0f} s")
    print(f"{figures.recognised} recognised, {len(twins)} groups of twins:")
    for group in twins:
        print("    " + "\n    = ".join(group))
    print(f"{len(figures.misnamed)} called by a wrong name:")
    for title, name in figures.misnamed:
        print(f"    {title}\n    > {name}")
    print(f"{len(figures.silent)} not named:")
    for title in figures.silent:
        print(f"    {title}")
    print(f"{len(figures.guesses)} would get another's name if they were not in the collection:")
    for title, name in figures.guesses:
        print(f"    {title}\n    > {name}")
    costly = find_costly(mistakes, results)
    print(f"{len(costly)} mistakes in edge cases cost requirements, and should not:")
    for cost in costly:
        print(f"    {cost}")
    return 1 if costly else 0


def _twin_groups(prints: Prints) -> list[list[str]]:
    """Return the titles of the mistakes that leave the same signs, group by group."""
    groups: dict[frozenset[object], list[str]] = collections.defaultdict(list)
    for one in prints.prints:
        groups[one.signs].append(one.title)
    return list(groups.values())
