"""pytest's hooks."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tester.attempt.locate import UsageError
from tester.attempt.server import STARTUP_TIMEOUT, StartError
from tester.grading.run import GivenUp, Suite
from tester.ladder.rule import read_rule
from tester.results import printable

SUITE = pytest.StashKey[Suite]()


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
    """Register the marks, and prepare the suite if there is an attempt to run it against."""
    config.addinivalue_line("markers", "edge: counted apart, never needed to pass")
    config.addinivalue_line("markers", "until(stage): the rule no longer holds after this stage")
    config.addinivalue_line("markers", "restarts: stops the server, so it comes last of all")
    config.addinivalue_line("markers", "waits: runs beside the others, on a server of its own")
    if SUITE in config.stash:
        return
    if config.getoption("attempt") is None and config.getoption("command") is None:
        return
    first, _, last = config.getoption("stage").partition("-")
    try:
        config.stash[SUITE] = Suite(
            config.getoption("attempt"),
            config.getoption("command"),
            range(int(first), int(last or first) + 1),
            config.getoption("seed"),
            config.getoption("startup_timeout"),
        )
    except (UsageError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running."""
    if SUITE in config.stash:
        config.stash[SUITE].stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the checks that are in force."""
    if SUITE in config.stash:
        items[:], left = config.stash[SUITE].select(items)
        config.hook.pytest_deselected(items=left)


def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the attempt, and the checks that wait, before the first check."""
    if SUITE not in session.config.stash or session.config.option.collectonly:
        return
    suite = session.config.stash[SUITE]
    try:
        suite.start()
    except StartError as error:
        raise pytest.UsageError(f"{error}\n{error.output}".rstrip()) from error
    suite.start_waiting(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a check through the suite."""
    if SUITE not in pyfuncitem.config.stash:
        pytest.skip("no server to check: pytest tester/rules --attempt PATH --stage N")
    try:
        pyfuncitem.config.stash[SUITE].run(pyfuncitem)
    except GivenUp as reason:
        pytest.fail(str(reason), pytrace=False)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Show a failed check in words instead of a traceback through our own code."""
    report = yield
    suite = item.config.stash.get(SUITE, None)
    failure = suite.failures.get(item.nodeid) if suite and call.when == "call" else None
    if failure and report.failed:
        rule = read_rule(item)
        report.longrepr = printable(
            f"{rule.title}\n  {failure.message}\n  expected: {failure.expected}\n"
            f"  got:      {failure.got}\n  Why:  {rule.why}\n  Hint: {rule.hint}\n"
            f"  Try:  {failure.command}"
        )
    return report


@pytest.fixture
def client() -> None:
    """Talks to the attempt; the suite gives each check its own."""


@pytest.fixture
def words() -> None:
    """Random words; the suite gives each check its own."""


@pytest.fixture
def server() -> None:
    """The running attempt; the suite gives it."""
