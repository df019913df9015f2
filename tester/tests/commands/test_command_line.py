"""The commands, their exit codes, and what other programs get from them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tester.commands.show import print_rules
from tester.ladder.rule import checks_of, read_rule
from tester.ladder.stages import STAGES, Stage, get_stage
from tester.tests.helpers import ROOT, WriteAttempt, grade, run_tester

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def test_without_arguments_it_says_what_to_do() -> None:
    """Every command, and where to begin."""
    done = run_tester()
    assert done.returncode == 0
    for command in ("grade", "watch", "show", "diff", "serve"):
        assert f"python -m tester {command}" in done.stdout


def test_json_of_a_stage_has_the_agreed_shape() -> None:
    """So that other programs can rely on it."""
    result = grade(get_stage(3).server, stage=3, seed=12)
    assert list(result) == [
        *("stage", "title", "attempt", "passed", "seed", "seconds"),
        *("requirements", "edge_cases", "tests", "error", "looks_like", "network", "sandbox"),
    ]
    assert (result["stage"], result["title"]) == (3, "Respond with 200 OK")
    assert (result["passed"], result["seed"], result["error"]) == (True, 12, None)
    assert result["attempt"] == str(get_stage(3).server)
    for kind, key in (("requirement", "requirements"), ("edge", "edge_cases")):
        tests = [test for test in result["tests"] if test["kind"] == kind]
        assert result[key] == {"passed": len(tests), "total": len(tests)}
    for test in result["tests"]:
        assert set(test) >= {"id", "stage", "title", "kind", "outcome", "message"}
        assert set(test) >= {"why", "hint", "exchange"}


def test_json_of_all_stages_tells_how_far_it_came() -> None:
    """One object a stage, all eighteen."""
    result = grade(get_stage(2).server)
    assert result["reached"] == 2
    assert [stage["stage"] for stage in result["stages"]] == list(range(1, 19))
    assert [stage["passed"] for stage in result["stages"][:3]] == [False, True, False]


def test_json_and_junit_go_to_files_beside_the_report(tmp_path: Path) -> None:
    """Both at once, and the report still on the screen."""
    files = ("--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml")
    done = run_tester("grade", "--stage", 2, *files, get_stage(1).server)
    assert done.returncode == 1
    assert "not passed yet" in done.stdout
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    cases = ElementTree.parse(tmp_path / "r.xml").findall(".//testcase")
    assert len(cases) == len(result["tests"])


def test_an_exchange_shows_both_sides() -> None:
    """As text, in the order of the wire."""
    result = grade(get_stage(3).server, stage=4)
    test = next(test for test in result["tests"] if "unknown_path" in test["id"])
    sides = [next(iter(message)) for message in test["exchange"]]
    assert sides == ["sent", "received"]
    assert test["exchange"][0]["sent"].startswith("GET /")
    assert test["exchange"][1]["received"].startswith("HTTP/1.1 200 OK\r\n")


def test_a_seed_repeats_a_run_exactly() -> None:
    """Byte for byte, and another seed does not."""

    def exchanges(seed: int) -> list[object]:
        """Return all that was said."""
        return [
            test["exchange"] for test in grade(get_stage(4).server, stage=7, seed=seed)["tests"]
        ]

    assert exchanges(7) == exchanges(7)
    assert exchanges(7) != exchanges(8)


def test_exit_codes(write_attempt: WriteAttempt) -> None:
    """0 passed, 1 not passed; also where it does not start."""
    assert run_tester("grade", "--stage", 1, get_stage(1).server).returncode == 0
    assert run_tester("grade", "--stage", 3, get_stage(1).server).returncode == 1
    assert run_tester("grade", "--stage", 1, write_attempt("1 / 0")).returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ("grade", "no-such-file.py"),
        ("grade", "--stage", "0", "x.py"),
        ("grade", "--stage", "19", "x.py"),
        ("grade", "--stage", "seven", "x.py"),
        ("grade", "--stage", "٣", "x.py"),
        ("grade",),
        ("grade", "--command", "go run", "no-such-folder"),
        ("grade", "stages/public"),
        ("grade", "--startup-timeout", "never", "x.py"),
        ("grade", "--startup-timeout", "nan", "x.py"),
        ("grade", "--seed", "x", "x.py"),
        ("grade", "--json", "no/such/folder/x.json", "stages/01-bind-to-a-port"),
        ("watch", "no-such-file.py"),
        ("watch",),
        ("show", "19"),
        ("show",),
        ("diff", "0"),
        ("diff", "1", "2", "3"),
        ("serve", "x"),
        ("dance",),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_and_exit_code_2(words: tuple[str, ...]) -> None:
    """Never a traceback, and nothing on standard output."""
    done = run_tester(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_any_folder_may_be_the_current_one(tmp_path: Path) -> None:
    """The attempt's path is taken from there."""
    (tmp_path / "here.py").write_text(get_stage(1).server.read_text(encoding="utf-8"))
    done = run_tester("grade", "--stage", "01", "here.py", cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["here.py"]


def test_the_users_own_pytest_settings_do_not_matter(tmp_path: Path) -> None:
    """Neither options nor a conftest beside the attempt."""
    (tmp_path / "conftest.py").write_text("raise RuntimeError('never read me')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "here.py").write_text(get_stage(1).server.read_text(encoding="utf-8"))
    environment = ENVIRONMENT | {"PYTEST_ADDOPTS": "--no-such-option"}
    done = run_tester("grade", "--stage", 1, "here.py", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plain_pytest_runs_the_same_rules() -> None:
    """`pytest tester/rules --attempt PATH --stage N`."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tester/rules"),
            *("--attempt", get_stage(4).server, "--stage", "4"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = sum(
        grade(get_stage(4).server, stage=4)[k]["total"] for k in ("requirements", "edge_cases")
    )
    assert f"{total} passed" in done.stdout


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.slug)
def test_show_tells_what_a_stage_asks_for(stage: Stage) -> None:
    """Each rule with its reason and a hint, none of them empty."""
    rules = [read_rule(check) for check in checks_of(stage)]
    assert rules
    for rule in rules:
        assert rule.stage == stage.number
        assert rule.title.endswith((".", "`"))
        assert rule.why
        assert rule.hint
    text = io.StringIO()
    print_rules(stage, Console(file=text, width=80))
    assert stage.title in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 80


def test_show_prints_it() -> None:
    """No wider than a terminal of 80 columns."""
    shown = run_tester("show", 7)
    assert shown.returncode == 0
    assert get_stage(7).title in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_diff_shows_a_step() -> None:
    """Of one stage, or between two."""
    one = run_tester("diff", 9)
    assert '+        "Server": "eighteen-stages",' in one.stdout
    two = run_tester("diff", 8, 10)
    assert "+import threading" in two.stdout
    assert '+        "Server"' in two.stdout


def test_serve_runs_a_stage_over_the_sample_site() -> None:
    """It ends with Ctrl-C."""
    from tester.attempt.sockets import free_port
    from tester.wire.connection import Address, Connection
    from tester.wire.request import request_bytes

    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "tester", "serve", "13"],
        cwd=ROOT,
        env=os.environ | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            while "Listening" not in process.stdout.readline():
                assert process.poll() is None
            with Connection(Address("127.0.0.1", port, "127.0.0.1")) as connection:
                connection.send(request_bytes("/files/index.html"))
                response = connection.read_response()
            assert response.status == 200
            assert response.body == (ROOT / "stages/public/index.html").read_bytes()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_ctrl_c_leaves_nothing_behind(write_attempt: WriteAttempt, tmp_path: Path) -> None:
    """Neither the attempt nor its scratch folder."""
    import psutil

    path = write_attempt(
        'print(os.getpid(), file=open(sys.argv[0] + ".pid", "a"), flush=True)\ntime.sleep(60)',
        loop=True,
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tester", "grade", "--stage", "3", str(path)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid_file = path.with_name(path.name + ".pid")
    while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not any(psutil.pid_exists(int(pid)) for pid in pid_file.read_text().split())
    assert not list(tmp_path.glob("http-tester-*"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that an attempt may spoil."""
    ignored = shutil.ignore_patterns("__pycache__", "tests", "*.ipynb")
    for name in ("tester", "stages"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=ignored)
    return tmp_path / "project"


def write_spoiler(folder: Path, spoil: str) -> Path:
    """Write stage 1's server that does `spoil` before it listens; return its path."""
    server = get_stage(1).server.read_text(encoding="utf-8")
    path = folder / "spoiler.py"
    path.write_text(f"import os, pathlib\n{textwrap.dedent(spoil)}\n{server}", encoding="utf-8")
    return path


@pytest.mark.parametrize("stage", [("--stage", "1"), ()], ids=["one stage", "ladder"])
def test_an_attempt_that_changes_the_tester_is_not_passed(
    project: Path, tmp_path: Path, stage: tuple[str, ...]
) -> None:
    """Its own stage would be: the verdict says which file is not as it was, in every report."""
    rule = project / "tester" / "rules" / "test_09_send_response_headers.py"
    spoil = f"""
        path = pathlib.Path({str(rule)!r})
        times = path.stat()
        path.write_text(path.read_text())
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        """
    path = write_spoiler(tmp_path, spoil)
    files = ("--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml")
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = run_tester("grade", *stage, *files, path, cwd=project, env=environment)
    assert done.returncode == 1
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    result = json.loads(text)
    for one in result.get("stages", [result]):
        assert not one["passed"]
        assert one["error"].startswith("files of the tester or of the stages changed")
        assert "tester/rules/test_09_send_response_headers.py." in one["error"]
    errors = ElementTree.parse(tmp_path / "r.xml").findall(".//testcase/error")
    assert errors and all("test_09_send" in error.get("message") for error in errors)
    assert "changed during the grade" in done.stdout


def test_an_attempt_may_change_itself_and_editors_may_scribble(
    project: Path, tmp_path: Path
) -> None:
    """The first is told beside the verdict; what editors write beside a file does not matter."""
    spoil = f"""
        pathlib.Path(__file__).touch()
        pathlib.Path({str(project)!r}, "stages", ".README.md.swp").touch()
        """
    path = write_spoiler(tmp_path, spoil)
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = run_tester("grade", "--stage", 1, path, cwd=project, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "spoiler.py changed during the grade: grade again" in done.stderr
