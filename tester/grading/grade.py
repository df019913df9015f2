"""Grades: runs the checks with pytest, in this process, and collects a result."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tester.attempt.family import STOP_SIGNALS, adopt_orphans, wholly
from tester.grading.job import Grading
from tester.grading.plugin import Plugin
from tester.grading.run import Run
from tester.ladder.stages import ROOT, STAGES, get_stage
from tester.mistakes.likeness import name_mistake
from tester.results import StageResult

RULES = ROOT / "tester" / "rules"
# Nothing of the user's own pytest is wanted here: neither plugins nor settings nor caches.
PYTEST_OPTIONS = (
    "-s",
    "--assert=plain",
    "--rootdir",
    str(RULES),
    "-c",
    os.devnull,
    *(f"-pno:{name}" for name in ("terminal", "cacheprovider", "junitxml", "doctest", "warnings")),
    # These cost a tenth.
    *(f"-pno:{name}" for name in ("unraisableexception", "threadexception", "logging")),
)


class Collided(Exception):
    """A copy of the attempt could not run beside the first one."""


def _run(job: Grading, stages: range, started: Callable[[Run], None] = lambda run: None) -> Plugin:
    """Run every check that is in force at any of `stages`, once. Raises UsageError, Collided.

    `started` is called when the attempt listens.
    """
    run = Run(job, stages)
    plugin = Plugin(run, started)
    files = [str(stage.rules) for stage in STAGES if stage.number <= stages[-1]]
    with wholly(run.stop):
        with _own_pytest():
            run.start_early()  # Not before: it reads the environment, which changes here.
            code = pytest.main([*PYTEST_OPTIONS, *files], plugins=[plugin])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if run.collided:
        raise Collided
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"the checks could not be run: pytest ended with {code!r}")
    return plugin


def prepare_process() -> None:
    """Prepare this process for grading, so that it leaves nothing behind, however it ends."""
    stop_on_signals()
    adopt_orphans()


def stop_on_signals() -> None:
    """Make a polite kill, or a closed terminal, end us as Ctrl-C does: all that runs is stopped."""
    for number in STOP_SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _: object) -> None:
    """Do as Ctrl-C does, but say by which signal."""
    raise KeyboardInterrupt(number)


@contextmanager
def _own_pytest() -> Iterator[None]:
    """Keep options and plugins out that the user's environment adds to every pytest."""
    names = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    saved = {name: os.environ.pop(name) for name in names if name in os.environ}
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.update(saved)
        if before is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before


def _stage_result(job: Grading, plugin: Plugin, stage: int, seconds: float) -> StageResult:
    """Return the verdict on one stage from a run that held its checks."""
    tests = [test for rule, test in plugin.results if rule.in_force(stage)]
    error = plugin.error
    result = StageResult(
        stage=stage,
        title=get_stage(stage).title,
        attempt=job.label,
        seed=job.seed,
        seconds=round(seconds, 3),
        tests=tuple(sorted(tests, key=lambda test: test.stage)),
        error=str(error) if error else None,
        output=error.output if error else "",
    )
    return replace(result, looks_like=name_mistake(result))


def grade_stage(grading: Grading, stage: int) -> StageResult:
    """Grade one stage, 1 to 18: all checks in force there. Raises UsageError."""
    began = time.monotonic()
    plugin = _run(grading, range(stage, stage + 1))
    return _stage_result(grading, plugin, stage, time.monotonic() - began)


def grade_stages(
    grading: Grading, stages: range, started: Callable[[Run], None] = lambda run: None
) -> list[StageResult]:
    """Grade several stages that are started in the same way. Raises UsageError, Collided.

    `started` is called when the attempt listens.
    """
    began = time.monotonic()
    plugin = _run(grading, stages, started)
    seconds = time.monotonic() - began
    return [_stage_result(grading, plugin, stage, seconds) for stage in stages]
