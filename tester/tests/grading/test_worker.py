"""Attempts that hit the tester, and testers that are killed: a verdict comes, and nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tester.ladder.stages import get_stage
from tester.tests.helpers import (
    ROOT,
    WriteAttempt,
    find_processes,
    fixed_port,
    processes_in,
    processes_with,
    run_tester,
)

DEADLINE = 60.0  # Seconds: only against hanging for ever.
SERVE = (
    'connection.recv(65536)\nconnection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")\nconnection.close()'
)


@contextlib.contextmanager
def running(folder: Path, *words: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Run the tester with a folder of its own for what is temporary; kill it in the end."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tester", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)} | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def wait_until(done: Callable[[], object], what: str) -> None:
    """Wait until it is `done`; fail after a long time."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline, f"{what}, after {DEADLINE:g} s"
        time.sleep(0.02)


def see_nothing_left(folder: Path) -> None:
    """Fail if a process that was started with this TMPDIR, or a file in it, stays."""
    wait_until(lambda: not processes_in(folder), f"{processes_in(folder)} still run")
    wait_until(lambda: not [*folder.iterdir()], "a folder is left")


def grade_hitter(path: Path, folder: Path, *words: object) -> tuple[dict[str, Any], float]:
    """Grade; return the result, and how long it took. Nothing may be left."""
    began = time.monotonic()
    with running(folder, "grade", "--json", "-", *words, path) as process:
        output, errors = process.communicate(timeout=3 * DEADLINE)
        seconds = time.monotonic() - began
        assert process.returncode == 1, errors
    assert "Traceback" not in errors
    see_nothing_left(folder)
    return json.loads(output), seconds


SIGNALS = [
    ("SIGTERM", "sent SIGTERM to the tester"),
    ("SIGINT", "sent SIGINT to the tester"),
    ("SIGHUP", "sent SIGHUP to the tester"),
    ("SIGKILL", "killed the tester (SIGKILL)"),
    ("SIGUSR1", "killed the tester (SIGUSR1)"),
    ("SIGSTOP", "stopped the tester (SIGSTOP)"),
]


@pytest.mark.parametrize(("name", "words"), SIGNALS, ids=[name for name, _ in SIGNALS])
@pytest.mark.parametrize("moment", ["as it begins", "at a request"])
def test_an_attempt_that_signals_its_parent(
    write_attempt: WriteAttempt, tmp_path: Path, name: str, words: str, moment: str
) -> None:
    """The verdict says so, in JSON too, and nothing of it stays."""
    hit = f"os.kill(os.getppid(), {int(signal.Signals[name])})"
    path = write_attempt(f"{hit}\n{SERVE}" if moment == "at a request" else SERVE, loop=True)
    if moment == "as it begins":
        path.write_text(f"import os\n{hit}\n{path.read_text()}")
    result, seconds = grade_hitter(path, tmp_path / "scratch", "--stage", 3)
    assert result["error"].startswith(f"the attempt {words}")
    assert not result["passed"]
    assert seconds < DEADLINE


@pytest.mark.parametrize("name", ["SIGTERM", "SIGSTOP", "SIGKILL"])
def test_an_attempt_that_signals_its_parent_in_one_way_of_starting(
    write_attempt: WriteAttempt, tmp_path: Path, name: str
) -> None:
    """Those stages that were graded in the other way keep their verdicts."""
    hit = f"os.kill(os.getppid(), {int(signal.Signals[name])})"
    server = get_stage(4).server.read_text(encoding="utf-8")
    path = write_attempt(f"import os, sys\nif sys.argv[1:]: {hit}\n{server}")
    result, _ = grade_hitter(path, tmp_path / "scratch")
    assert result["reached"] == 4
    for stage in result["stages"]:
        assert (name in (stage["error"] or "")) == (stage["stage"] >= 12)


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="who sent it can't be known")
def test_an_attempt_that_signals_whoever_it_finds(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """Also the process that its user started, which nobody else told to end."""
    hit = "import psutil; psutil.Process().parent().parent().send_signal(15); time.sleep(60)"
    path = write_attempt(hit, loop=True)
    result, _ = grade_hitter(path, tmp_path / "scratch", "--stage", 3)
    assert result["error"].startswith("the attempt sent SIGTERM to the tester")


@pytest.mark.parametrize("who", ["itself", "its group"])
@pytest.mark.parametrize("moment", ["as it begins", "at a request"])
def test_an_attempt_that_stops_itself(
    write_attempt: WriteAttempt, tmp_path: Path, who: str, moment: str
) -> None:
    """That is said, and nobody waits for it again and again."""
    hit = f"os.kill({'os.getpid()' if who == 'itself' else '0'}, {int(signal.SIGSTOP)})"
    path = write_attempt(f"{hit}\n{SERVE}" if moment == "at a request" else SERVE, loop=True)
    if moment == "as it begins":
        path.write_text(f"import os\n{hit}\n{path.read_text()}")
    result, seconds = grade_hitter(path, tmp_path / "scratch", "--stage", 3)
    said = [result["error"] or "", *(test["message"] for test in result["tests"])]
    assert any("it has stopped itself (SIGSTOP)" in one for one in said), said
    assert seconds < DEADLINE


def write_tale(write_attempt: WriteAttempt, tmp_path: Path, port: int | None = None) -> Path:
    """Write a server that makes a file when it is asked, and then is silent.

    Beside it runs what has left its session and has no environment, so that it is hard to find.
    """
    path = write_attempt(
        f"open({str(tmp_path / 'asked')!r}, 'a').close(); time.sleep(300)", loop=True
    )
    stray = [sys.executable, "-c", f"import time; time.sleep(300)  # {tmp_path}"]
    start = f"subprocess.Popen({stray}, env={{}}, start_new_session=True)"
    path.write_text(f"import subprocess\n{start}\n{path.read_text()}")
    if port:
        path.write_text(path.read_text().replace('int(os.environ["PORT"])', str(port)))
    return path


@pytest.mark.parametrize(
    "words", [("grade", "--stage", "3"), ("grade",), ("watch", "--stage", "3")], ids=" ".join
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_tester_that_is_killed_leaves_nothing(
    write_attempt: WriteAttempt, tmp_path: Path, words: tuple[str, ...], number: int
) -> None:
    """However it was killed: servers end, and their folders go."""
    path = write_tale(write_attempt, tmp_path)
    with running(tmp_path / "scratch", *words, path) as process:
        wait_until((tmp_path / "asked").exists, "the attempt was never asked")
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    assert ("Stopped by SIGTERM." in errors) == (number == signal.SIGTERM)
    see_nothing_left(tmp_path / "scratch")
    assert not processes_with(f"time.sleep(300)  # {tmp_path}")


def test_after_a_tester_was_killed_a_fixed_port_is_free(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """The next grade need not wait for what the last one left."""
    port = fixed_port()
    path = write_tale(write_attempt, tmp_path, port)
    with running(tmp_path / "scratch", "grade", "--stage", 3, path) as process:
        wait_until((tmp_path / "asked").exists, "the attempt was never asked")
    server = get_stage(3).server.read_text(encoding="utf-8")
    default = 'os.environ.get("PORT", "4221")'
    assert default in server
    done = run_tester("grade", "--stage", 3, write_attempt(server.replace(default, str(port))))
    assert process.returncode == -9
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_of_ours_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """`serve` becomes the server: there is nothing beside it."""
    with running(tmp_path / "scratch", "serve", 13, PORT="0") as process:
        while "Listening" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
        process.wait(DEADLINE)
    see_nothing_left(tmp_path / "scratch")


def test_a_stop_by_its_user_is_none_by_the_attempt(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """As by Ctrl-Z: it stays stopped until it is continued, and the verdict is the same."""
    server = get_stage(3).server.read_text(encoding="utf-8")
    mark = tmp_path / "asked"
    path = write_attempt(f"open({str(mark)!r}, 'a').close()\n{server}")
    with running(tmp_path / "scratch", "grade", "--stage", 3, "--json", "-", path) as process:
        wait_until(mark.exists, "the attempt was never started")
        process.send_signal(signal.SIGSTOP)
        stopped = psutil.Process(process.pid)
        wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED, "it never stopped")
        graders = find_processes(lambda one: one.ppid() == process.pid)
        wait_until(
            lambda: all(one.status() == psutil.STATUS_ZOMBIE for one in graders if exists(one)),
            "the grade did not go on",
        )
        assert stopped.status() == psutil.STATUS_STOPPED
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert json.loads(output)["passed"]
    see_nothing_left(tmp_path / "scratch")


def exists(process: psutil.Process) -> bool:
    """Return whether a process is still in the system's table."""
    return psutil.pid_exists(process.pid)
