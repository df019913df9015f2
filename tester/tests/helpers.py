"""What the tests of all rooms share: writing attempts, and grading them from the command line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tester.attempt.family import GONE

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[1]

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
