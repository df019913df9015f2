"""Grades again and again while both cores are busy: `make soak`. No verdict may ever vary.

`python -m tester.soak [RUNS [PARALLEL [STAGE ...]]]`: if not told, 300 grades of each stage's own
server, which must pass, and of 20 known mistakes, which must be caught; four at a time.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tester.ladder import ROOT, STAGES, get_stage
from tester.mistakes import MISTAKES, Mistake, source

RUNS = 300
PARALLEL = 4
SAMPLE = 20  # Mistakes, spread over the stages.


def grade(path: Path, stage: int) -> dict[str, Any]:
    """Return the JSON of a grade, or an object that holds nothing but an `error`."""
    words = ("grade", "--stage", str(stage), "--json", "-", str(path))
    done = subprocess.run(
        [sys.executable, "-m", "tester", *words], cwd=ROOT, capture_output=True, text=True
    )
    if done.stdout:
        return json.loads(done.stdout)
    return {"tests": [], "error": f"exit code {done.returncode}: {done.stderr[-300:]}"}


def grade_stage(stage: int) -> str:
    """Grade our own server of `stage` and return `passed`, or the checks that did not pass."""
    result = grade(get_stage(stage).server, stage)
    wrong = [
        f"{test['id']}: {test['message']} (seed {result['seed']})"
        for test in result["tests"]
        if test["outcome"] != "passed"
    ]
    return "; ".join(wrong) or result["error"] or "passed"


def grade_mistake(mistake: Mistake, path: Path) -> str:
    """Grade a server with a mistake in it and return `caught`, or that it was not."""
    result = grade(path, mistake.stage)
    failed = {
        test["id"].rpartition("::")[2] for test in result["tests"] if test["outcome"] == "failed"
    }
    if mistake.rule in failed or (result["error"] and result["tests"]):
        return "caught"
    return f"not caught (seed {result.get('seed')}): {result['error']}"


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


def repeat(name: str, runs: int, pool: ThreadPoolExecutor, run: Callable[[], str]) -> bool:
    """Run so often, print how often it came to which verdict; return whether to one alone."""
    wanted = "caught" if name.startswith("mistake") else "passed"
    verdicts = collections.Counter(pool.map(lambda _: run(), range(runs)))
    print(f"{name}: {verdicts.pop(wanted, 0)} of {runs} {wanted}", flush=True)
    for words, count in verdicts.items():
        print(f"    {count} times: {words}", flush=True)
    return not verdicts


def main() -> int:
    """Print how often each server came to its verdict; return 1 if it ever came to another."""
    numbers = [int(word) for word in sys.argv[1:]]
    runs, parallel, *stages = [*numbers, *(RUNS, PARALLEL)[len(numbers) :]]
    stages = stages or [stage.number for stage in STAGES]
    mistakes = [one for one in MISTAKES[:: len(MISTAKES) // SAMPLE] if one.stage in stages]
    began, steady = time.monotonic(), []
    with (
        busy_cores(),
        ThreadPoolExecutor(parallel) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        for stage in stages:
            run = functools.partial(grade_stage, stage)
            steady.append(repeat(f"stage {stage:2}", runs, pool, run))
        for number, mistake in enumerate(mistakes):
            path = Path(folder, f"{number}.py")
            path.write_text(source(mistake), encoding="utf-8")
            run = functools.partial(grade_mistake, mistake, path)
            name = f"mistake of stage {mistake.stage} ({mistake.title})"
            steady.append(repeat(name, runs, pool, run))
    seconds = time.monotonic() - began
    print(f"{runs * len(steady)} grades in {seconds:.0f} s, {parallel} at a time, all cores busy")
    return 0 if all(steady) else 1


if __name__ == "__main__":
    sys.exit(main())
