"""The pytest side of the rules: which are in force, what they run against, how waits overlap.

`tester/rules/conftest.py` hands this to pytest, so that plain `pytest tester/rules --attempt PATH
--stage N` runs the same checks as `python -m tester grade`.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from tester.attempt import STARTUP_TIMEOUT, Server, StartError, UsageError, locate
from tester.explain import explain
from tester.facts import Client, Words
from tester.results import Failure
from tester.wire import WireError

LAST_STAGE = 18
FIRST_WITH_FILES = 12  # From this stage on an attempt gets `--directory`.
MAX_DEATHS = 3  # So many checks in a row that kill or silence the server, and we give up.

edge = pytest.mark.edge
"""Marks an edge case: counted apart, never needed to pass."""
waits = pytest.mark.waits
"""Marks a check that mostly waits: it runs beside the others, on a server of its own."""


restarts = pytest.mark.restarts
"""Marks a check that stops the server: it comes last of all."""


def until(stage: int) -> pytest.MarkDecorator:
    """Mark a rule that no longer holds after `stage`."""
    return pytest.mark.until(stage)


@dataclass(frozen=True)
class Rule:
    """What a check's function says about itself."""

    stage: int
    last: int
    kind: str
    title: str
    why: str
    hint: str

    def in_force(self, stage: int) -> bool:
        """Whether the rule holds at `stage`."""
        return self.stage <= stage <= self.last


def read_rule(item: pytest.Item) -> Rule:
    """Read the rule of a check: its module's STAGE, marks, and the docstring's three parts."""
    until_mark = item.get_closest_marker("until")
    title, why, hint = split_docstring(item.function.__doc__ or "")  # type: ignore[attr-defined]
    return Rule(
        stage=item.module.STAGE,  # type: ignore[attr-defined]
        last=until_mark.args[0] if until_mark else LAST_STAGE,
        kind="edge" if item.get_closest_marker("edge") else "requirement",
        title=title,
        why=why,
        hint=hint,
    )


def split_docstring(text: str) -> tuple[str, str, str]:
    """`"Rule.\\n\\nWhy: because.\\nHint: so."` -> `("Rule.", "because.", "so.")`."""
    parts = {"title": [], "why": [], "hint": []}
    current = "title"
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith(("Why:", "Hint:")):
            current, _, line = line.partition(":")
            current = current.lower()
        parts[current].append(line.strip())
    title, why, hint = (" ".join(filter(None, lines)) for lines in parts.values())
    return title, why, hint


class GivenUp(Exception):
    """A check that is not run, as the attempt has failed too often before."""


class Suite:
    """One run of the checks against one attempt, started in one way."""

    def __init__(
        self,
        path: str | None,
        command: str | None,
        stages: range,
        seed: int,
        startup_timeout: float,
    ) -> None:
        """Prepare to check what is in force at any of `stages`. Raises UsageError."""
        attempt = locate(path, command)
        self.stages = stages
        self.seed = seed
        self.failures: dict[str, Failure] = {}
        """By the check's id: what there is to say about it."""
        options = {
            "with_directory": stages[-1] >= FIRST_WITH_FILES,
            "startup_timeout": startup_timeout,
        }
        self.server = Server(attempt, **options)
        self.second_server = Server(attempt, **options)
        self._waiting: dict[str, Waiting] = {}
        self._later: list[pytest.Item] = []
        self._deaths = 0
        self._starting: Future[object] | None = None

    def start_early(self) -> None:
        """Start the attempt in the background: `start` waits for it."""
        self._starting = Future()

        def run() -> None:
            """Start, and keep what comes of it."""
            try:
                self._starting.set_result(self.server.start())
            except BaseException as error:
                self._starting.set_exception(error)

        threading.Thread(target=run, daemon=True).start()

    def start(self) -> None:
        """Wait until the attempt listens. Raises StartError."""
        if self._starting is None:
            self.start_early()
        self._starting.result()

    def stop(self) -> None:
        """Stop whatever runs."""
        for waiting in self._waiting.values():
            waiting.thread.join()
        self.server.stop()
        self.second_server.stop()

    def select(self, items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
        """Return the checks in force, those that wait last, and the others."""
        chosen, left = [], []
        for item in items:
            rule = read_rule(item)
            fits = any(rule.in_force(stage) for stage in self.stages)
            (chosen if fits else left).append(item)
        chosen.sort(key=_turn)
        return chosen, left

    def words(self, name: str) -> Words:
        """Return the random words of the check `name`: the same ones for the same seed."""
        return Words(f"{self.seed}:{name}")

    def start_waiting(self, items: list[pytest.Item]) -> None:
        """Run the checks that wait, all at once, on a second server while the others go on.

        An attempt with a port of its own can't run twice: then they share the first server, later.
        """
        self._later = [item for item in items if item.get_closest_marker("waits")]
        if self._later and not self.server.hard_coded:
            with contextlib.suppress(StartError):
                self.second_server.start()
                self._wait_on(self.second_server)

    def _wait_on(self, server: Server) -> None:
        """Run the checks that wait now, all at once, on `server`."""
        for item in self._later:
            self._waiting[item.nodeid] = Waiting(item, Client(server, self.words(item.name)))
        self._later = []

    def run(self, item: pytest.Function) -> None:
        """Run one check; what it raises has been put into words in `failures`."""
        if item in self._later:
            self._revive()
            self._wait_on(self.server)
        waiting = self._waiting.pop(item.nodeid, None)
        if waiting:
            client, error = waiting.client, waiting.join()
        else:
            self._revive()
            client = Client(self.server, self.words(item.name))
            error = call(item.function, client)
        if error is not None:
            self._count(error, client)
            if not isinstance(error, (pytest.skip.Exception, KeyboardInterrupt)):
                self.failures[item.nodeid] = explain(error, client, read_rule(item).stage)
            raise error
        self._deaths = 0

    def _revive(self) -> None:
        """Start a server that has died again. Raises GivenUp after too many deaths in a row."""
        if self._deaths >= MAX_DEATHS:
            raise GivenUp(
                f"not run: the server did not survive, or did not answer, the {MAX_DEATHS} checks"
                " before this one"
            )
        if self.server.exit_code is not None or not self.server.listens():
            try:
                self.server.restart()
            except StartError as error:
                self._deaths = MAX_DEATHS
                raise GivenUp(f"not run: the server could not be started again ({error})") from None

    def _count(self, error: BaseException, client: Client) -> None:
        """Count the failures in a row after which the server was gone or stuck."""
        gone = client.server.exit_code is not None
        silent = isinstance(error, WireError) and error.kind in ("silent", "refused")
        self._deaths = self._deaths + 1 if gone or silent else 0


def call(function: Callable[..., None], client: Client) -> BaseException | None:
    """Run a check with what it asks for; return what it raises."""
    offered: dict[str, Any] = {
        "client": client,
        "words": client.words,
        "server": client.server,
    }
    wanted = {name: offered[name] for name in inspect.signature(function).parameters}
    try:
        function(**wanted)
    except (Exception, pytest.skip.Exception) as error:
        return error
    finally:
        client.close()
    return None


def _turn(item: pytest.Item) -> int:
    """Return when a check has its turn: plain ones first, then those that wait, then restarts."""
    return next(
        (n for n, name in ((1, "waits"), (2, "restarts")) if item.get_closest_marker(name)), 0
    )


class Waiting:
    """A check that runs in a thread of its own."""

    def __init__(self, item: pytest.Function, client: Client) -> None:
        """Start it."""
        self.client = client
        self._error: BaseException | None = None
        self._function = item.function
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        """Run the check and keep what it raises."""
        self._error = call(self._function, self.client)

    def join(self) -> BaseException | None:
        """Wait for the end; return what was raised."""
        self.thread.join()
        return self._error


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
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Show a failed check in words instead of a traceback through our own code."""
    report = yield
    suite = item.config.stash.get(SUITE, None)
    failure = suite.failures.get(item.nodeid) if suite and call.when == "call" else None
    if failure and report.failed:
        rule = read_rule(item)
        report.longrepr = (
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
