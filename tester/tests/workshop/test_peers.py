"""The benchmark beside other servers: what it reads, counts, shows and draws; without wrk."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from rich.console import Console

from tester.ladder.stages import ROOT
from tester.wire.connection import Address
from tester.workshop.peers import command as command_line
from tester.workshop.peers.drawing import draw
from tester.workshop.peers.measuring import (
    LOADS,
    MEMORY,
    Load,
    Reading,
    Result,
    check,
    find_wrk,
    measure,
    parse_wrk,
    run_wrk,
)
from tester.workshop.peers.programs import (
    FLOOR,
    OURS,
    PROGRAMS,
    PeersError,
    Program,
    make_environment,
)
from tester.workshop.peers.table import (
    BEGIN,
    END,
    Setting,
    cells,
    error_notes,
    markdown,
    notes,
    screen_table,
    show_rate,
    sort_results,
    spread,
    write_page,
)

# As wrk 4.1.0 and 4.2.0 print it.
QUIET = """\
Running 1s test @ http://127.0.0.1:4221/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.73ms  321.91us   5.55ms   83.20%
    Req/Sec    18.57k     1.09k   19.98k    80.00%
  18474 requests in 1.00s, 4.12MB read
Requests/sec:  18461.22
Transfer/sec:      4.12MB
"""
TROUBLED = QUIET.replace(
    "Requests/sec",
    "  Socket errors: connect 0, read 12, write 0, timeout 3\n"
    "  Non-2xx or 3xx responses: 7\nRequests/sec",
)
SETTING = Setting("4.1.0", {"tornado": "6.6.1", "aiohttp": "3.14.5"}, rounds=3, seconds=2)
WITHOUT_PACKAGES = [program for program in PROGRAMS if not program.packages]
ANYWHERE = Address("127.0.0.1", 4221, "127.0.0.1")


def make_results() -> list[Result]:
    """Return figures for all programs: each is 1,000 requests a second faster than the last."""
    results = []
    for number, program in enumerate(PROGRAMS, start=1):
        rates = [number * 1000.0, number * 1000 + 400.0, 90.0]
        readings = {load.name: [Reading(rate, {}) for rate in rates] for load in LOADS}
        results.append(Result(program, readings, [20.0 + number]))
    results[2].readings["64 KB file"][0] = Reading(3000.0, {"read": 2, "timeout": 1})
    return results


def run_command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark's command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "tester.workshop", "peers", *words],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,  # Only against hanging for ever.
    )


@pytest.fixture
def fake_wrk(tmp_path: Path) -> Path:
    """Return a program that says what wrk would say, and writes down how it was called."""
    path = tmp_path / "wrk"
    path.write_text(
        f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\ncat <<"END"\n{TROUBLED}END\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


# --- What wrk says --------------------------------------------------------------------------------


def test_reads_what_wrk_prints() -> None:
    """The rate alone, where nothing went wrong."""
    assert parse_wrk(QUIET) == Reading(18461.22, {})


def test_reads_errors_that_wrk_counted() -> None:
    """By their kinds, and none of those that did not happen."""
    assert parse_wrk(TROUBLED).errors == {"read": 12, "timeout": 3, "wrong status": 7}


def test_refuses_what_it_does_not_understand() -> None:
    """A rate is never made up."""
    with pytest.raises(PeersError, match="wrk said nothing that is known: 'unable to parse'"):
        parse_wrk("unable to parse\n")


def test_runs_wrk_on_the_load(fake_wrk: Path) -> None:
    """It gets the number of clients, the seconds, the script, and where to ask for what."""
    readings = [run_wrk(str(fake_wrk), 2, load, ANYWHERE) for load in LOADS]
    assert readings == [parse_wrk(TROUBLED)] * len(LOADS)
    calls = (fake_wrk.parent / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[0] == "-t1 -c1 -d2s http://127.0.0.1:4221/"
    assert calls[2] == "-t1 -c256 -d2s http://127.0.0.1:4221/"
    assert calls[3].endswith("-c32 -d2s http://127.0.0.1:4221/files/64k.bin")
    script = Path(re.fullmatch(r".* -s (\S+) http://127.0.0.1:4221/echo", calls[4])[1])
    assert 'wrk.method = "POST"' in script.read_text(encoding="utf-8")


def test_names_what_stopped_wrk(fake_wrk: Path) -> None:
    """In one line."""
    fake_wrk.write_text("#!/bin/sh\necho unable to connect >&2\nexit 1\n", encoding="utf-8")
    with pytest.raises(PeersError, match="^wrk failed: unable to connect$"):
        run_wrk(str(fake_wrk), 1, LOADS[0], ANYWHERE)


# --- The programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("program", WITHOUT_PACKAGES, ids=lambda program: program.name)
def test_programs_answer_rightly(program: Program) -> None:
    """Ours, the floor and http.server; the others need packages and have this check in each run."""
    check(program, sys.executable)


def test_check_sees_a_wrong_answer(tmp_path: Path) -> None:
    """A server is not measured for answers that are none."""
    source = (PROGRAMS[1].path).read_text(encoding="utf-8")
    path = tmp_path / "floor.py"
    path.write_text(source.replace("+ FILE\n", "+ FILE[::-1]\n"), encoding="utf-8")
    (tmp_path / "common.py").write_bytes((PROGRAMS[1].path.parent / "common.py").read_bytes())
    wrong = dataclasses.replace(PROGRAMS[1], path=path)
    with pytest.raises(PeersError, match="the floor answers GET /files/64k.bin with 200 and 65536"):
        check(wrong, sys.executable)


def test_check_names_a_program_that_does_not_start(tmp_path: Path) -> None:
    """With the last line of what it printed."""
    path = tmp_path / "broken.py"
    path.write_text("raise SystemExit('no such package')", encoding="utf-8")
    with pytest.raises(PeersError, match="^broken does not start: .*no such package"):
        check(Program("broken", "none", path), sys.executable)


def test_measures_in_turn_and_leaves_nothing() -> None:
    """Two rounds: each program is checked, then has its turn in each round; the rest is counted."""
    seen, told = [], []

    def run(load: Load, address: Address) -> Reading:
        """Take note of the load instead of putting it on the server."""
        seen.append(load.name)
        return Reading(float(len(seen)), {})

    before = psutil.Process().children(recursive=True)
    floor = PROGRAMS[1]
    again = dataclasses.replace(floor, name="another")
    results = measure([floor, again], sys.executable, 2, run, told.append)
    assert told == [
        *("checking the floor", "checking another"),
        *("round 1 of 2: the floor", "round 1 of 2: another"),
        *("round 2 of 2: the floor", "round 2 of 2: another"),
    ]
    assert seen == [load.name for load in LOADS] * 4
    assert [reading.rate for reading in results[0].readings["1 client"]] == [1.0, 11.0]
    assert all(1 < megabytes < 200 for result in results for megabytes in result.memory)
    assert set(psutil.Process().children(recursive=True)) <= set(before)


def test_every_program_is_there() -> None:
    """Names differ, and each has its file."""
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS) == 11
    assert {OURS, FLOOR} == {program.name for program in PROGRAMS[:2]}
    assert [program.path for program in PROGRAMS if not program.path.is_file()] == []


def test_environment_names_what_pip_could_not_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its folder is gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(PeersError, match="^pip install failed.*not a requirement"):
        with make_environment(["not a requirement"]):
            pytest.fail("it was made")
    assert list(tmp_path.iterdir()) == []


# --- The table ------------------------------------------------------------------------------------


def test_takes_the_median_of_the_rounds() -> None:
    """One slow round does not count."""
    result = make_results()[0]
    assert (result.median("1 client"), result.median(MEMORY)) == (1000.0, 21.0)


def test_adds_up_the_errors_of_all_rounds() -> None:
    """By kind."""
    readings = [Reading(1.0, {"read": 1}), Reading(1.0, {"read": 2, "write": 1})]
    result = Result(PROGRAMS[0], {"1 client": readings})
    assert result.errors("1 client") == {"read": 3, "write": 1}


@pytest.mark.parametrize(
    ("rate", "shown"), [(11734.2, "11,700"), (126_400, "126,000"), (98.44, "98"), (0, "0")]
)
def test_shows_three_digits(rate: float, shown: str) -> None:
    """More would be noise."""
    assert show_rate(rate) == shown


def test_rows_are_sorted_and_errors_have_a_star() -> None:
    """The fastest first; below the table it says which errors there were."""
    results = make_results()
    assert sort_results(results) == results[::-1]
    assert cells(results[2]) == (
        ["http.server", "Python", "3,000", "3,000", "3,000", "3,000*", "3,000", "23"]
    )
    assert list(error_notes(results)) == [
        "* http.server, 64 KB file: errors that wrk counted: 2 read, 1 timeout."
    ]


def test_says_how_far_the_rounds_lie_apart() -> None:
    """In make_results, all but a few go from 90 to number * 1000 + 400."""
    results = make_results()
    shares = sorted((number * 1000 + 310) / (number * 1000) for number in range(1, 12))
    assert spread(results) == pytest.approx(shares[5])
    assert [note for note in notes(results, SETTING) if "less than 105% between" in note]
    assert not [
        note for note in notes(results, dataclasses.replace(SETTING, rounds=1)) if "%" in note
    ]


def test_table_fits_on_a_narrow_terminal() -> None:
    """No name and no figure is cut at 80 columns."""
    console = Console(width=80, record=True, file=open(os.devnull, "w"))
    with console.file:
        console.print(screen_table(make_results()))
    text = console.export_text()
    assert "…" not in text
    for word in (
        "stage 18",
        "memory",
        "(httptools,",
        "http.server",
        "hypercorn",
        "11,000",
        "3,000*",
    ):
        assert word in text


def test_page_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    """What stands around it stays; a second time, the new replaces the old."""
    page = tmp_path / "PAGE.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n", encoding="utf-8")
    for results in (make_results()[1:], make_results()):
        write_page(page, markdown(results, SETTING, "peers.svg"))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n\n![")
    assert text.endswith(f"```\n\n{END}\n\nAfter\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(PROGRAMS)
    assert {line.count("|") for line in rows} == {9}
    assert "**stage 18**" in rows[-1] and r"3,000\*" in rows[-3]
    for words in ("aiohttp 3.14.5, tornado 6.6.1, wrk 4.1.0", f"{os.cpu_count()} cores"):
        assert words in text
    assert (
        "\nwrk -t1 -c32 -d2s -s tester/workshop/peers/post.lua http://127.0.0.1:4221/echo\n" in text
    )


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_page_without_its_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    """The error says what it needs."""
    page = tmp_path / "PAGE.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(PeersError, match="PAGE.md needs one line <!-- peers -->"):
        write_page(page, "table")
    assert page.read_text(encoding="utf-8") == text


# --- The picture ----------------------------------------------------------------------------------


def test_picture_shows_every_figure() -> None:
    """It is well-formed XML, with a bar and a figure for each program in each group."""
    results = make_results()
    svg = ElementTree.fromstring(draw(results, "2 cores & < 3"))
    texts = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    bars = list(svg.iter("{http://www.w3.org/2000/svg}polygon"))
    groups = len(LOADS) + 1
    assert len(bars) == len(PROGRAMS) * groups
    assert [texts.count(program.name) for program in PROGRAMS] == [groups] * len(PROGRAMS)
    assert texts.count("7,000") == len(LOADS) and "27 MB" in texts and "2 cores & < 3" in texts


def test_picture_stays_in_its_frame() -> None:
    """Also a floor that is far above the others is cut, and nothing is drawn outside."""
    results = make_results()
    for load in LOADS:
        results[1].readings[load.name] = [Reading(10**6, {})]
    svg = ElementTree.fromstring(draw(results, ""))
    width, height = float(svg.get("width")), float(svg.get("height"))
    for bar in svg.iter("{http://www.w3.org/2000/svg}polygon"):
        points = [point.split(",") for point in bar.get("points").split()]
        assert all(0 < float(x) < width and 0 < float(y) < height for x, y in points)
        is_cut = len(points) == 5
        assert not is_cut or bar.get("class") == "floor"
    assert sum(bar.get("points").count(",") == 5 for bar in svg.iter() if bar.get("points")) == 5


def test_picture_of_nothing_but_zeros() -> None:
    """No division by zero."""
    empty = {load.name: [Reading(0.0, {})] for load in LOADS}
    ElementTree.fromstring(draw([Result(program, empty, [0.0]) for program in PROGRAMS], ""))


# --- The command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--rounds", "0"), "'0' is no whole number from 1 on"),
        (("--seconds", "1.5"), "'1.5' is no whole number from 1 on"),
        (("--svg", "/no/such/folder/peers.svg"), "there is no folder for it"),
        (("--loud",), "there is no option --loud"),
        (("--svg",), "expected one argument"),
    ],
)
def test_wrong_options_are_one_line(words: tuple[str, ...], complaint: str) -> None:
    """With exit code 2, and before anything is installed."""
    done = run_command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("python -m tester.workshop peers: ") and complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_wrk_is_named(tmp_path: Path) -> None:
    """And how to get it."""
    done = run_command(PATH=str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "wrk, which makes the load, is missing: apt install wrk" in done.stderr


def test_missing_page_is_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits a quarter of an hour for that."""
    monkeypatch.setattr(command_line, "PAGE", tmp_path / "CONFORMANCE.md")
    monkeypatch.setattr(command_line, "run", pytest.fail)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command_line.main(["--write"]) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "there is no CONFORMANCE.md to write the table into" in capsys.readouterr().err


def test_finds_wrk_and_its_version(fake_wrk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wrk -v` names it in its second word, and ends with exit code 1."""
    fake_wrk.write_text(
        "#!/bin/sh\necho 'wrk 4.2.0 [epoll] Copyright (C) 2012 Will Glozer'\nexit 1\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PATH", str(fake_wrk.parent), prepend=os.pathsep)
    assert find_wrk() == (str(fake_wrk), "4.2.0")
