"""Grades: runs the checks with pytest, in this process, and collects a result."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tester.attempt.family import STOP_SIGNALS, adopt_orphans, wholly
from tester.attempt.server import StartError
from tester.grading.job import Grading
from tester.grading.plugin import SUITE
from tester.grading.run import GivenUp, Suite
from tester.ladder.rule import Rule, read_rule
from tester.ladder.stages import ROOT, STAGES, get_stage
from tester.mistakes.likeness import name_mistake
from tester.results import CheckResult, StageResult

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


@dataclass
class Collector:
    """A pytest plugin that gives the suite to a run and keeps the outcome of every check."""

    suite: Suite
    started: Callable[[Suite], None]
    rules: dict[str, Rule] = field(default_factory=dict)
    results: dict[str, CheckResult] = field(default_factory=dict)
    error: StartError | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Hand over the suite before the rules' own set-up looks for it."""
        config.stash[SUITE] = self.suite
        config.option.tbstyle = "native"  # No traceback is shown: do not lose time on making one.

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note every check that is in force: one that never comes to run has failed."""
        for item in session.items:
            rule = self.rules[item.nodeid] = read_rule(item)
            self.results[item.nodeid] = _result(
                item, rule, "skipped", skipped="the grade ended before"
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Stop before the first check if the attempt does not listen."""
        try:
            self.suite.start()
        except StartError as error:
            self.error = error
            return True
        self.started(self.suite)
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        """Keep the outcome of a check."""
        report = yield
        if call.when == "call":
            self.results[item.nodeid] = self._outcome(item, call)
        return report

    def _outcome(self, item: pytest.Item, call: pytest.CallInfo[None]) -> CheckResult:
        """Return the result of the check that `call` ran."""
        rule = self.rules[item.nodeid]
        seconds = call.duration
        if call.excinfo is None:
            return _result(item, rule, "passed", seconds=seconds)
        error = call.excinfo.value
        if item.nodeid in self.suite.failures:
            failure = self.suite.failures[item.nodeid]
            return _result(item, rule, "failed", failure=failure, seconds=seconds)
        reason = str(error) if isinstance(error, (GivenUp, pytest.skip.Exception)) else repr(error)
        if isinstance(error, pytest.fail.Exception):
            reason = str(error)
        return _result(item, rule, "skipped", skipped=reason, seconds=seconds)


def _result(item: pytest.Item, rule: Rule, outcome: Any, **more: Any) -> CheckResult:
    """Return the result of a check with this outcome."""
    identity = item.nodeid.rpartition("/")[2]
    return CheckResult(
        identity, rule.stage, rule.title, rule.kind, outcome, rule.why, rule.hint, **more
    )


def _run(
    grading: Grading, stages: range, started: Callable[[Suite], None] = lambda suite: None
) -> Collector:
    """Run every check that is in force at any of `stages`, once. Raises UsageError, Collided.

    `started` is called when the attempt listens.
    """
    suite = Suite(
        grading.path,
        grading.command,
        stages,
        grading.seed,
        grading.startup_timeout,
        grading.memory_limit,
        is_copy=grading.is_copy,
    )
    collector = Collector(suite, started)
    files = [str(stage.rules) for stage in STAGES if stage.number <= stages[-1]]
    with wholly(suite.stop):
        with _own_pytest():
            suite.start_early()  # Not before: it reads the environment, which changes here.
            code = pytest.main([*PYTEST_OPTIONS, *files], plugins=[collector])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if suite.collided:
        raise Collided
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"the checks could not be run: pytest ended with {code!r}")
    return collector


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


def _stage_result(
    grading: Grading, collector: Collector, stage: int, seconds: float
) -> StageResult:
    """Return the verdict on one stage from a run that held its checks."""
    tests = tuple(
        result
        for identity, result in collector.results.items()
        if collector.rules[identity].in_force(stage)
    )
    error = collector.error
    result = StageResult(
        stage=stage,
        title=get_stage(stage).title,
        attempt=grading.label,
        seed=grading.seed,
        seconds=round(seconds, 3),
        tests=tuple(sorted(tests, key=lambda test: test.stage)),
        error=str(error) if error else None,
        output=error.output if error else "",
    )
    return replace(result, looks_like=name_mistake(result))


def grade_stage(grading: Grading, stage: int) -> StageResult:
    """Grade one stage, 1 to 18: all checks in force there. Raises UsageError."""
    began = time.monotonic()
    collector = _run(grading, range(stage, stage + 1))
    return _stage_result(grading, collector, stage, time.monotonic() - began)


def grade_stages(
    grading: Grading, stages: range, started: Callable[[Suite], None] = lambda suite: None
) -> list[StageResult]:
    """Grade several stages that are started in the same way. Raises UsageError, Collided.

    `started` is called when the attempt listens.
    """
    began = time.monotonic()
    collector = _run(grading, stages, started)
    seconds = time.monotonic() - began
    return [_stage_result(grading, collector, stage, seconds) for stage in stages]
