"""What the tester's own tests share: writing attempts, and grading them from the command line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tester.attempt.family import GONE

ROOT = Path(__file__).resolve().parents[2]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # As in the background of a shell script.
    signal.signal(signal.SIGINT, signal.default_int_handler)  # What we start must hear Ctrl-C.

# The same examples in every run, however slow the machine, and nothing is kept for the next run.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")
# A place where no folder can be made: hypothesis keeps notes on our sources, unless it can't.
set_hypothesis_home_dir(os.devnull)

LONGEST = (  # Files whose tests take long, mostly as they grade all of a server, the longest first.
    *("test_stages", "test_two_at_once", "test_naming", "test_lessons", "test_misbehaving"),
    *("test_watch", "test_soak_server", "test_suite", "test_messages", "test_command_line"),
    "test_mistakes",
)

# A server of one loop: what it does with each connection is filled in.
LOOP = """
import os, socket, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen()
while True:
    connection, _ = listener.accept()
    try:
{body}
    except OSError:
        connection.close()
"""

WriteAttempt = Callable[..., Path]


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


def fixed_port() -> int:
    """Return a free port that the system gives to nobody of its own accord."""
    for port in random.SystemRandom().sample(range(10_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def run_tester(
    *words: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m tester` as a user does, and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "tester", *map(str, words)],
        cwd=cwd or ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,  # Only against hanging for ever: a busy machine may be slow.
    )


def grade(path: object, *words: object, stage: int | None = None, seed: int = 1) -> dict[str, Any]:
    """Grade the attempt at `path` and return the JSON result."""
    at_stage = ("--stage", stage) if stage else ()
    done = run_tester("grade", *at_stage, "--seed", seed, "--json", "-", *words, path)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def failed(result: dict[str, Any]) -> list[str]:
    """Return the rules that a stage's JSON result does not hold, with their messages."""
    return [
        f"{test['id']}: {test['message']}"
        for test in result["tests"]
        if test["outcome"] != "passed"
    ]


def find_processes(wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Return the processes that run and are `wanted`; one that ends meanwhile is not."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE):
            if process.status() != psutil.STATUS_ZOMBIE and wanted(process):
                found.append(process)
    return found


def processes_in(folder: Path, text: str = "") -> list[psutil.Process]:
    """Return those that were started with TMPDIR=folder and have `text` on their command line."""
    return find_processes(
        lambda process: (
            process.environ().get("TMPDIR") == str(folder) and text in " ".join(process.cmdline())
        )
    )


def processes_with(text: str) -> list[psutil.Process]:
    """Return the processes on whose command line `text` stands, but for this one."""
    found = find_processes(lambda process: text in " ".join(process.cmdline()))
    return [process for process in found if process.pid != os.getpid()]
