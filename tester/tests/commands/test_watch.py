"""Watching: a verdict at every save, and on to the next stage."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tester.commands.changes import snapshot, wait_for_change
from tester.ladder.stages import get_stage
from tester.tests.helpers import ROOT


class Watcher:
    """`python -m tester watch` at work."""

    def __init__(self, path: Path, *words: str, project: Path = ROOT) -> None:
        """Watch the attempt at `path`, by the tester in the folder `project`."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tester", "watch", *words, str(path)],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, words: str) -> str:
        """Return what is printed, down to the line with `words`; fail if that never comes."""
        lines: list[str] = []
        while not lines or words not in lines[-1]:
            line = self.process.stdout.readline()
            assert line, f"no {words!r} in {''.join(lines)}"
            lines.append(line)
        return "".join(lines)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Path, Watcher]]:
    """A copy of stage 1's server, being watched from stage 1 on."""
    path = tmp_path / "my server.py"
    path.write_text(get_stage(1).server.read_text(encoding="utf-8"), encoding="utf-8")
    watcher = Watcher(path, "--stage", "1")
    yield path, watcher
    watcher.process.send_signal(signal.SIGINT)
    watcher.process.communicate(timeout=20)


def save(path: Path, source: str) -> None:
    """Save as many editors do: a new file takes the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(source, encoding="utf-8")
    os.utime(new, ns=(time.time_ns(), time.time_ns()))
    new.replace(path)


def test_grades_at_every_save_and_moves_on(watched: tuple[Path, Watcher]) -> None:
    """A pass stays visible, and shows what the next stage asks for."""
    path, watcher = watched
    shown = watcher.read_until("Waiting for you")
    assert "Stage 1 passed" in shown
    assert "Stage 2: Read Connection Data" in shown
    save(path, "def (:\n")
    shown = watcher.read_until("Waiting for you")
    assert "SyntaxError" in shown
    assert "Stage 2 not passed yet" in shown
    save(path, get_stage(2).server.read_text(encoding="utf-8"))
    shown = watcher.read_until("Waiting for you")
    assert "Stage 2 passed" in shown
    assert "Stage 3: Respond with 200 OK" in shown


def test_ctrl_c_ends_it(watched: tuple[Path, Watcher]) -> None:
    """Without a traceback."""
    _, watcher = watched
    watcher.read_until("Waiting for you")
    watcher.process.send_signal(signal.SIGINT)
    said, _ = watcher.process.communicate(timeout=20)
    assert watcher.process.returncode == 130
    assert "Traceback" not in said


def test_an_attempt_that_changes_the_tester_does_not_move_on(tmp_path: Path) -> None:
    """Its stage would be passed: the verdict says which file is not as it was."""
    project = tmp_path / "project"
    for name in ("tester", "stages"):
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    page = project / "stages" / "README.md"
    path = tmp_path / "server.py"
    spoil = f"open({str(page)!r}, 'a').close(); __import__('os').utime({str(page)!r})\n"
    path.write_text(spoil + get_stage(1).server.read_text(encoding="utf-8"), encoding="utf-8")
    watcher = Watcher(path, "--stage", "1", project=project)
    try:
        shown = watcher.read_until("Waiting for you")
    finally:
        watcher.process.send_signal(signal.SIGINT)
        watcher.process.communicate(timeout=20)
    assert "changed during the grade: stages/README.md" in " ".join(shown.split())
    assert "Stage 1 not passed yet" in shown
    assert "Stage 2" not in shown


def test_a_change_anywhere_in_a_folder_is_seen(tmp_path: Path) -> None:
    """But not in what only the machine writes."""
    (tmp_path / "app").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "app" / "main.py").write_text("1")
    before = snapshot(tmp_path)
    (tmp_path / ".git" / "index").write_text("x")
    assert snapshot(tmp_path) == before
    (tmp_path / "app" / "main.py").write_text("1 + 1")
    wait_for_change(tmp_path, before)
    assert snapshot(tmp_path) != before
