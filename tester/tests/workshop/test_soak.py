"""The soak: it grades so often, tells one verdict from another, and says how often each came."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tester.ladder.stages import get_stage
from tester.results import CheckResult, Failure, StageResult
from tester.tests.helpers import ROOT, processes_with
from tester.workshop import soak
from tester.workshop.soak import Subject, list_subjects, read_arguments, repeat

OURS = Subject("stage  7", 7, get_stage(7).server, "passed")
WRONG = Subject("a mistake", 7, Path("server.py"), "caught", "test_one")


def result_of(*failed: str, error: str | None = None, ran: bool = True) -> StageResult:
    """Return a grade of stage 7 in which these checks have failed."""
    tests = [
        CheckResult(
            f"test_07.py::{name}", 7, "A rule.", "requirement", "failed", failure=Failure("is bad")
        )
        for name in failed
    ]
    passed = [CheckResult("test_07.py::test_good", 7, "A rule.", "requirement", "passed")]
    return StageResult(7, "Title", "a", 1, 1.0, tuple(tests + passed if ran else []), error)


@pytest.mark.parametrize(
    ("subject", "result", "verdict"),
    [
        (OURS, result_of(), "passed"),
        (OURS, result_of("test_one"), "test_07.py::test_one: is bad"),
        (OURS, result_of(error="it never listened"), "it never listened"),
        (WRONG, result_of("test_two", "test_one"), "caught"),
        (WRONG, result_of("test_two"), "not caught: other checks failed: test_two"),
        (WRONG, result_of(error="it exited"), "caught"),
        (
            WRONG,
            result_of(error="the checks could not be run", ran=False),
            "not caught: the checks",
        ),
    ],
    ids=["right", "flake", "no start", "caught", "by another", "does not start", "no grade"],
)
def test_a_verdict_is_told_from_another(
    subject: Subject, result: StageResult, verdict: str
) -> None:
    """A mistake must be caught by its own check, unless the server does not even start."""
    assert subject.verdict(result).startswith(verdict)


def test_each_verdict_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """And one that differs is shown; every grade has another seed."""
    seeds = []

    def grade(wanted: list[int]) -> list[str]:
        """Let one grade in five go wrong."""
        seeds.extend(wanted)
        return ["passed", "passed", "a flake (seed 9)", "passed", "passed"]

    assert not repeat(OURS, 5, grade)
    assert "stage  7: 4 of 5 passed\n    1 times: a flake (seed 9)\n" in capsys.readouterr().out
    assert len(set(seeds)) == 5


def test_what_is_graded(tmp_path: Path) -> None:
    """Each stage's own server, and twenty mistakes; or a part of that."""
    every = list_subjects(range(1, 19), soak.KINDS, tmp_path)
    assert [one.wanted for one in every] == ["passed"] * 18 + ["caught"] * soak.SAMPLE
    assert all(one.path.is_file() for one in every)
    assert {one.stage for one in list_subjects([3, 8], soak.KINDS, tmp_path)} == {3, 8}
    assert [one.name for one in list_subjects([2], ["servers"], tmp_path)] == ["stage  2"]


@pytest.mark.parametrize(
    "words", [["0"], ["19"], ["x"], ["--runs", "0"], ["--parallel", "0"], ["--only", "x"]]
)
def test_what_makes_no_sense_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and one line, before anything runs."""
    with pytest.raises(SystemExit) as caught:
        read_arguments(words)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m tester.workshop soak: ")


def test_it_grades() -> None:
    """Twice each, in processes of their own."""
    words = [sys.executable, "-m", "tester.workshop", "soak", "1", "--runs", "2", "--parallel", "2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    first, second, last = done.stdout.splitlines()
    assert first == "stage  1: 2 of 2 passed"
    assert second.startswith("mistake of stage 1 (") and second.endswith("): 2 of 2 caught")
    assert last.startswith("4 grades in ")
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Neither servers, nor folders, nor a traceback."""
    words = [
        sys.executable,
        "-m",
        "tester.workshop",
        "soak",
        "10",
        "--runs",
        "9",
        "--only",
        "servers",
    ]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as soaking:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("http-tester-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        soaking.send_signal(signal.SIGINT)
        _, errors = soaking.communicate(timeout=60)
    assert (soaking.returncode, errors) == (soak.INTERRUPTED, b"")
    assert not list(tmp_path.iterdir())
    assert not processes_with(str(tmp_path))
