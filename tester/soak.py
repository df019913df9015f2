"""Grades our own servers again and again, several at a time: `make soak`. No verdict may vary.

`python -m tester.soak [RUNS [PARALLEL [STAGE ...]]]`; if not told, 50 runs, four at a time.
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tester.ladder import ROOT, STAGES, get_stage

RUNS = 50
PARALLEL = 4


def verdict(stage: int) -> str:
    """Grade our own server of `stage` and return `passed`, or the checks that did not pass."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tester", "grade", "--stage", str(stage), "--json", "-"),
            str(get_stage(stage).server),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if not done.stdout:
        return f"no result, exit code {done.returncode}: {done.stderr[-300:]}"
    result = json.loads(done.stdout)
    wrong = [
        f"{test['id']}: {test['message']} (seed {result['seed']})"
        for test in result["tests"]
        if test["outcome"] != "passed"
    ]
    return "; ".join(wrong) or result["error"] or "passed"


def main() -> int:
    """Print how often each stage was passed, and what else happened; return 1 if anything did."""
    numbers = [int(word) for word in sys.argv[1:]]
    runs, parallel, *stages = [*numbers, *(RUNS, PARALLEL)[len(numbers) :]]
    stages = stages or [stage.number for stage in STAGES]
    began, steady = time.monotonic(), True
    with ThreadPoolExecutor(parallel) as pool:
        for stage in stages:
            verdicts = collections.Counter(pool.map(verdict, [stage] * runs))
            print(f"stage {stage:2}: {verdicts.pop('passed', 0)} of {runs} passed", flush=True)
            for words, count in verdicts.items():
                steady = False
                print(f"    {count} times: {words}", flush=True)
    print(f"{runs * len(stages)} grades in {time.monotonic() - began:.0f} s, {parallel} at a time")
    return 0 if steady else 1


if __name__ == "__main__":
    sys.exit(main())
