"""Grades again and again while both cores are busy: `make soak`. No verdict may ever vary.

`python -m tester.workshop soak [STAGE ...] [--runs N] [--parallel N] [--only servers|mistakes]`: if
not told otherwise, 300 grades of each stage's own server, which must pass, and of 20 known
mistakes, which must be caught; sixteen at a time. Without two hours to spare, make a part of it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

from tester.arguments import OneLineParser
from tester.attempt.family import STOP_SIGNALS
from tester.grading.grade import grade_stage, prepare_process, stop_on_signals
from tester.grading.job import Grading
from tester.ladder.stages import STAGES, get_stage
from tester.mistakes import MISTAKES, Mistake, source
from tester.results import StageResult
from tester.workshop.options import read_stages

RUNS = 300
PARALLEL = 16  # They wait much of their time, and keep the cores busy for each other.
SAMPLE = 20  # Mistakes, spread over the stages.
KINDS = ("servers", "mistakes")
LARGEST_SEED = 2**31
INTERRUPTED = 130  # The exit code after Ctrl-C.


@dataclass(frozen=True)
class Subject:
    """What is graded again and again, and which verdict must come each time."""

    name: str
    stage: int
    path: Path
    wanted: str
    rule: str = ""
    """The check that must fail, where it is a mistake."""

    def verdict(self, result: StageResult) -> str:
        """Return `wanted`, or how the grade differs from it."""
        failed = [test for test in result.tests if test.outcome != "passed"]
        if not self.rule:
            said = [test.failure.message if test.failure else test.skipped for test in failed]
            wrong = (f"{test.id}: {words}" for test, words in zip(failed, said, strict=True))
            return "; ".join(wrong) or result.error or self.wanted
        names = {test.id.rpartition("::")[2] for test in failed if test.outcome == "failed"}
        if self.rule in names or (result.error and result.tests):
            return self.wanted
        return f"not caught: {result.error or 'other checks failed: ' + ', '.join(sorted(names))}"


def list_subjects(stages: Sequence[int], kinds: Sequence[str], folder: Path) -> list[Subject]:
    """Return what is to be graded at `stages`; servers with mistakes are written into `folder`."""
    found = []
    if "servers" in kinds:
        found += [Subject(f"stage {n:2}", n, get_stage(n).server, "passed") for n in stages]
    if "mistakes" in kinds:
        sample = MISTAKES[:: len(MISTAKES) // SAMPLE][:SAMPLE]
        chosen = [mistake for mistake in sample if mistake.stage in stages]
        found += [_write(mistake, folder / f"{n}.py") for n, mistake in enumerate(chosen)]
    return found


def _write(mistake: Mistake, path: Path) -> Subject:
    """Write the server with this mistake in it."""
    path.write_text(source(mistake), encoding="utf-8")
    name = f"mistake of stage {mistake.stage} ({mistake.title})"
    return Subject(name, mistake.stage, path, "caught", mistake.rule)


def run(subject: Subject, seed: int) -> str:
    """Grade once, in this process, which is for nothing else; return the verdict."""
    try:
        prepare_process()
        result = grade_stage(Grading(str(subject.path), seed=seed), subject.stage)
    except KeyboardInterrupt:  # The soak was broken off: end without another word.
        raise SystemExit(INTERRUPTED) from None
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
    verdict = subject.verdict(result)
    return verdict if verdict == subject.wanted else f"{verdict} (seed {seed})"


def _spin(parent: int) -> None:
    """Keep a core busy for as long as the process `parent` lives."""
    while os.getppid() == parent:
        pass


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy with other work meanwhile."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_spin, args=(os.getpid(),), daemon=True)
        for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def start_pool(parallel: int, folder: str) -> Pool:
    """Return a pool in which each grade has a process of its own, that has all modules already.

    Whatever is temporary goes into `folder`: a grade that is broken off may leave some of it.
    """
    context = multiprocessing.get_context("forkserver")
    rules = [f"tester.rules.{stage.rules.stem}" for stage in STAGES]
    context.set_forkserver_preload(["tester.grading.grade", "tester.mistakes", *rules])
    return context.Pool(parallel, use_folder, (folder,), maxtasksperchild=1)


def use_folder(folder: str) -> None:
    """Put whatever is temporary into `folder` from now on."""
    tempfile.tempdir = folder


def repeat(subject: Subject, runs: int, grade: Callable[[list[int]], Iterator[str]]) -> bool:
    """Grade so often, print how often it came to which verdict; return whether to one alone."""
    seeds = [1 + number * (LARGEST_SEED // runs) for number in range(runs)]
    verdicts = collections.Counter(grade(seeds))
    print(
        f"{subject.name}: {verdicts.pop(subject.wanted, 0)} of {runs} {subject.wanted}", flush=True
    )
    for words, count in verdicts.items():
        print(f"    {count} times: {words}", flush=True)
    return not verdicts


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for. Leaves with exit code 2 if that makes no sense."""
    parser = OneLineParser(prog="python -m tester.workshop soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="grades of each")
    parser.add_argument("--only", choices=KINDS, help="grade these alone")
    options = read_stages(parser, arguments, PARALLEL)
    options.kinds = [options.only] if options.only else KINDS
    if options.runs < 1:
        parser.error("at least one grade is made of each")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how often each server came to its verdict; return 1 if it ever came to another."""
    options = read_arguments(arguments)
    stop_on_signals()
    began, steady = time.monotonic(), []
    with (
        tempfile.TemporaryDirectory() as folder,
        start_pool(options.parallel, folder) as pool,
        busy_cores(),
    ):
        for subject in list_subjects(options.stages, options.kinds, Path(folder)):
            grade = functools.partial(pool.imap_unordered, functools.partial(run, subject))
            steady.append(repeat(subject, options.runs, grade))
    count, seconds = options.runs * len(steady), time.monotonic() - began
    print(f"{count} grades in {seconds:.0f} s, {options.parallel} at a time, all cores busy")
    return 0 if all(steady) else 1
