"""pytest's side of the rules, for both ways in: `pytest tester/rules --attempt …`, and a grade.

`tester/rules/conftest.py` shows pytest the options, and makes a `Plugin` from them; a grade hands
one over. pytest finds the checks and chooses among them (`-k`, `-x`); what runs them is `Run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from tester.attempt.limits import MEMORY_LIMIT
from tester.attempt.locate import UsageError
from tester.attempt.server import STARTUP_TIMEOUT
from tester.attempt.starting import StartError
from tester.grading.job import Grading
from tester.grading.run import Run, not_run
from tester.ladder.rule import Rule, read_rule
from tester.results import CheckResult, printable

MARKS = (
    "edge: counted apart, never needed to pass",
    "until(stage): the rule no longer holds after this stage",
    "restarts: stops the server, so it comes last of all",
    "waits: runs beside the others, on a server of its own",
)


class Plugin:
    """Runs the checks of a pytest session against an attempt, and keeps their results."""

    def __init__(self, run: Run, started: Callable[[Run], None] | None = None) -> None:
        """Serve a grade that wants to know when the attempt has `started`; or plain pytest."""
        self.run = run
        self.results: list[tuple[Rule, CheckResult]] = []
        """Of each check in force; one that never came to run has failed."""
        self.error: StartError | None = None
        """Why the attempt did not start."""
        self._started = started

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep the checks that are in force."""
        chosen, left = self.run.select(items)
        config.hook.pytest_deselected(items=left)
        items[:] = chosen

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Start the attempt, and run the checks against it."""
        if session.config.option.collectonly or session.testsfailed:
            return None  # As pytest does it, which also complains.
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        done: dict[str, CheckResult] = {}
        try:
            self._start()
            for item, result in self.run.results(items) if not self.error else ():
                done[item.nodeid] = result
                _report(item, result)
                _stop_if_told(session)
        finally:
            self.results = [
                (read_rule(item), done.get(item.nodeid) or not_run(item)) for item in items
            ]
        return True

    def _start(self) -> None:
        """Wait until the attempt listens. Plain pytest is told at once if it does not."""
        try:
            self.run.start()
        except StartError as error:
            self.error = error
            if self._started is None:
                raise pytest.UsageError(f"{error}\n{error.output}".rstrip()) from error
        else:
            if self._started:
                self._started(self.run)

    def pytest_unconfigure(self) -> None:
        """Leave nothing running."""
        self.run.stop()


def _stop_if_told(session: pytest.Session) -> None:
    """Break off where an option such as `-x` says so."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def _report(item: pytest.Function, result: CheckResult) -> None:
    """Tell pytest what came of a check, in words instead of a traceback through our own code."""
    hook, words = item.ihook, _describe(result)
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    steps: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")
    for when in steps:
        failed = when == "call" and result.outcome != "passed"
        report = pytest.TestReport(
            item.nodeid,
            item.location,
            item.keywords,
            "failed" if failed else "passed",
            words if failed else None,
            when,
            duration=result.seconds if when == "call" else 0,
        )
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _describe(result: CheckResult) -> str:
    """Return what there is to say about a check that did not pass."""
    failure = result.failure
    if failure is None:
        return printable(result.skipped)
    return printable(
        f"{result.title}\n  {failure.message}\n  expected: {failure.expected}\n"
        f"  got:      {failure.got}\n  Why:  {result.why}\n  Hint: {result.hint}\n"
        f"  Try:  {failure.command}"
    )


# What follows is for tester/rules/conftest.py: pytest finds hooks and fixtures by their names.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say what is graded."""
    group = parser.getgroup("attempt", "which server to grade")
    group.addoption("--attempt", help="path of the server: a file or a folder")
    group.addoption("--command", help="a command that starts it, run in the folder --attempt")
    group.addoption(
        "--stage", default="18", help="the stage, 1 to 18 (default 18), or a range: 1-11"
    )
    group.addoption("--seed", type=int, default=0, help="makes the same random words again")
    group.addoption("--startup-timeout", type=float, default=STARTUP_TIMEOUT, help="seconds")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and a plugin if there is an attempt to run the checks against."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if any(isinstance(plugin, Plugin) for plugin in config.pluginmanager.get_plugins()):
        return
    path, command = config.getoption("attempt"), config.getoption("command")
    if path is None and command is None:
        return
    if hasattr(config, "workerinput"):
        raise pytest.UsageError("the checks run beside each other by themselves: without -n")
    first, _, last = config.getoption("stage").partition("-")
    seed, timeout = config.getoption("seed"), config.getoption("startup_timeout")
    try:
        job = Grading(path, command, seed, timeout, MEMORY_LIMIT)
        run = Run(job, range(int(first), int(last or first) + 1))
    except (UsageError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(Plugin(run))


@pytest.fixture
def client() -> None:
    """Talks to the attempt; the run gives each check its own."""
    pytest.skip("no server to check: pytest tester/rules --attempt PATH --stage N")


@pytest.fixture
def words() -> None:
    """Random words; the run gives each check its own."""


@pytest.fixture
def server() -> None:
    """The running attempt; the run gives it."""
    pytest.skip("no server to check: pytest tester/rules --attempt PATH --stage N")
