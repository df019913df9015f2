"""Settings and fixtures of all tests; what they call is in `helpers.py`."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tester.tests.helpers import LOOP, WriteAttempt

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # As in the background of a shell script.
    signal.signal(signal.SIGINT, signal.default_int_handler)  # What we start must hear Ctrl-C.

# The same examples in every run, however slow the machine, and nothing is kept for the next run.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")
# A place where no folder can be made: hypothesis keeps notes on our sources, unless it can't.
set_hypothesis_home_dir(os.devnull)

LONGEST = (  # Files whose tests take long, mostly as they grade all of a server, the longest first.
    *("test_stages", "test_two_at_once", "test_likeness", "test_keep", "test_misbehaving"),
    *("test_watch", "test_stress", "test_run", "test_messages", "test_command_line"),
    "test_mistakes",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: else, one process is still at it when the others are done."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture
def write_attempt(tmp_path: Path) -> WriteAttempt:
    """Return a function that writes a program: source and file name, or the body of a loop."""

    def write(source: str, name: str = "attempt.py", *, loop: bool = False) -> Path:
        """Write the file, make it executable unless it is Python, and return its path."""
        source = textwrap.dedent(source)
        if loop:
            source = LOOP.format(body=textwrap.indent(source, " " * 8))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        if path.suffix != ".py":
            path.chmod(0o755)
        return path

    return write
