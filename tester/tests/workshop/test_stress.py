"""`make soak-server`, in short: our server holds its promises, and whoever breaks one is caught."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tester.ladder.stages import ROOT
from tester.ladder.steps import read_server
from tester.tests.helpers import WriteAttempt
from tester.workshop.stress import command, crowd, endings, mixed, uploads, watched
from tester.workshop.stress.crowd import Crowd, check_crowd
from tester.workshop.stress.endings import end_at_work, end_with_stalls
from tester.workshop.stress.large import check_large
from tester.workshop.stress.mixed import check_mixed
from tester.workshop.stress.uploads import check_uploads
from tester.workshop.stress.watched import BrokenPromise, descriptors

MAIN = '\n\nif __name__ == "__main__":\n'
SMALL_CROWD = Crowd(idle=60, dripping=20, busy=4, seconds=0.5, idle_timeout=8)
ROOM = 10.0  # Seconds that a busy machine may be late; what is promised is measured by the soak.
LONGER_AND_LONGER = range(1, 10)  # Seconds: what a second is good for depends on the machine.
Break = Callable[[str], Path]


@pytest.fixture
def break_server(write_attempt: WriteAttempt) -> Break:
    """Return a function that writes stage 18's server with a fault in it, which comes last."""

    def write(fault: str) -> Path:
        """Put `fault` before the start of the program, and return the path of the whole."""
        text = read_server(18)
        assert text.count(MAIN) == 1
        return write_attempt(text.replace(MAIN, "\n\n" + textwrap.dedent(fault) + MAIN))

    return write


@pytest.fixture
def heeded() -> object:
    """Let the servers of a test heed Ctrl-C, wherever the tests were started."""
    with endings.heeding_ctrl_c():
        yield


def test_a_crowd_is_served_and_leaves_nothing() -> None:
    """Busy clients, amid silent ones and ones that drip."""
    lines = check_crowd(SMALL_CROWD)
    assert "60 idle, 20 dripping, 4 busy" in lines[0]
    assert "none wrong" in lines[1]


def test_a_server_that_can_not_hold_the_crowd(
    break_server: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has fewer places than there are clients."""
    monkeypatch.setattr(crowd, "FULL_TIMEOUT", 0.5)
    path = break_server("slots = threading.Semaphore(30)")
    with pytest.raises(BrokenPromise, match="of 80 connections at once, the server holds only 30"):
        check_crowd(SMALL_CROWD, path)


def test_a_server_that_leaves_connections_open(
    break_server: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets to close them."""
    monkeypatch.setattr(watched, "CALM_TIMEOUT", 1.5)
    path = break_server("""
        forgotten = []
        def hang_up(connection):
            connection.shutdown(socket.SHUT_WR)
            forgotten.append(connection)
    """)
    with pytest.raises(BrokenPromise, match="something is left open: before 1 threads, "):
        check_crowd(SMALL_CROWD, path)


def test_mixed_load_finds_no_fault() -> None:
    """Every kind of visit is made, and compared."""
    made: set[str] = set()
    for seconds in LONGER_AND_LONGER:
        line = check_mixed(seconds, threads=3)[0]
        assert "no byte wrong" in line
        counts = dict(part.split()[::-1] for part in line.split("(")[1].rstrip(")").split(", "))
        made |= {kind for kind, count in counts.items() if count != "0"}
        if made == set(mixed.KINDS):
            break
    assert made == set(mixed.KINDS)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            """
            def echo_body(request):
                body = b"".join(request.body)
                return Response(body=body[:-1] + b"?" if len(body) >= LARGE else body)
            LARGE, POST_ROUTES["/echo"] = 65536, echo_body
            """,
            "CheckFailed: .*body",
        ),
        (
            """
            kept, build = [], build_head
            def build_head(response):
                kept.append(os.urandom(50_000))
                return build(response)
            """,
            "memory grew by",
        ),
        (
            """
            def store_file(request):
                path, body = find_file(request), b"".join(request.body)
                path.with_name(f".{os.urandom(16).hex()}").write_bytes(b"")
                path.write_bytes(body)
                return Response("201 Created")
            POST_ROUTES["/files/"] = store_file
            """,
            "files that should not be there, or are missing: \\.",
        ),
    ],
    ids=["a wrong byte", "memory that is kept", "a file too many"],
)
def test_mixed_load_finds_a_fault(break_server: Break, fault: str, words: str) -> None:
    """Also one that shows only now and then."""
    path = break_server(fault)
    with pytest.raises(BrokenPromise, match=words):
        for seconds in LONGER_AND_LONGER:
            check_mixed(seconds, path, threads=3)


def test_uploads_that_break_off_leave_nothing() -> None:
    """At every byte, in both framings, however the client leaves."""
    (line,) = check_uploads(200_000, 40_000)
    assert "no file, no half, no temporary left" in line


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("path.open('wb').writelines(request.body)", "whose client .* has (left|changed) "),
        (
            "upload.open('xb').writelines(request.body); upload.replace(path)",
            "a temporary file: left-behind-",
        ),
        ("path.unlink(True); path.write_bytes(b''.join(request.body))", "has removed the file"),
        ("path.write_bytes(b''.join(request.body)[:-1])", "is stored wrongly"),
    ],
    ids=["half of it", "a temporary", "the old one is lost", "not all of it"],
)
def test_uploads_that_leave_something(break_server: Break, store: str, words: str) -> None:
    """Each way to go wrong is named."""
    fault = f"""
        def store_file(request):
            path = find_file(request)
            upload = path.with_name(f"left-behind-{{os.urandom(8).hex()}}")
            {store}
            return Response("201 Created")
        POST_ROUTES["/files/"] = store_file
    """
    with pytest.raises(BrokenPromise, match=words):
        check_uploads(1000, 500, break_server(fault))


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("end", "number"),
    [(end_at_work, signal.SIGTERM), (end_with_stalls, signal.SIGINT)],
    ids=["SIGTERM at work", "Ctrl-C with stalled uploads"],
)
def test_a_signal_ends_the_server_in_good_order(end: Callable, number: signal.Signals) -> None:
    """What is in hand is finished, and it exits with 0 in time."""
    assert end(number) <= endings.PROMISED + ROOM


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("end", "then", "words"),
    [
        (end_at_work, "os._exit(0)", "after SIGINT, /stream was not finished"),
        (end_with_stalls, "os._exit(0)", "after SIGINT, stalled uploads have left "),
        (end_with_stalls, "os._exit(3)", "exits with 3 instead of 0"),
        (end_with_stalls, "time.sleep(60)", "s after SIGINT, the server still runs"),
    ],
    ids=["at once", "with files left", "with another code", "too late"],
)
def test_a_signal_that_is_not_heeded_well(
    break_server: Break, monkeypatch: pytest.MonkeyPatch, end: Callable, then: str, words: str
) -> None:
    """Each way to go wrong is named."""
    monkeypatch.setattr(endings, "PROMISED", 0.5)
    path = break_server(f"""
        serve = serve_forever
        def serve_forever(listener):
            try:
                serve(listener)
            except KeyboardInterrupt:
                {then}
    """)
    with pytest.raises(BrokenPromise, match=words):
        end(signal.SIGINT, path)


def test_large_bodies_cost_little_memory() -> None:
    """Downloads and uploads are streamed."""
    lines = check_large(download=50_000_000)
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            """
            def read_file(file, length):
                file.seek(0)
                yield file.read()
            """,
            "a download of 50 MB costs",
        ),
        (
            """
            read_in_pieces = Reader.read_pieces
            def read_at_once(reader, length):
                yield b"".join(read_in_pieces(reader, length))
            Reader.read_pieces = read_at_once
            """,
            "an upload of 104.9 MB with Content-Length costs",
        ),
    ],
    ids=["download", "upload"],
)
def test_large_bodies_that_are_kept_in_memory(break_server: Break, fault: str, words: str) -> None:
    """Whoever reads all of it before he goes on is caught."""
    with pytest.raises(BrokenPromise, match=words):
        check_large(50_000_000, break_server(fault))


def test_the_command_says_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], break_server: Break
) -> None:
    """Exit code 1, and a line; the other promises are looked at all the same."""
    path = break_server("POST_ROUTES.clear()")
    monkeypatch.setattr(sys, "argv", ["soak_server", "--minutes", "0.01"])
    monkeypatch.setattr(command, "check_crowd", lambda: uploads.check_uploads(path=path))
    for name in ("check_uploads", "check_endings", "check_large"):
        monkeypatch.setattr(command, name, lambda: ["held"])
    monkeypatch.setattr(command, "check_mixed", lambda seconds: [f"{seconds:.1f} s"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command.main() == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("Stage 18's server on ")
    assert lines[0].startswith("BROKEN: the status is ")
    assert lines[1:] == [*["held"] * 3, "0.6 s", "Broken promises: 1."]


@pytest.mark.parametrize("minutes", ["soon", "0", "-1", "nan", "inf"])
def test_the_command_refuses_what_is_no_time(minutes: str) -> None:
    """In one line, with exit code 2."""
    words = [sys.executable, "-m", "tester.workshop", "stress", f"--minutes={minutes}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"'{minutes}' is no number of minutes" in done.stderr


def test_too_few_descriptors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is tried with them."""
    monkeypatch.setattr(watched.resource, "getrlimit", lambda _: (256, 1000))
    with pytest.raises(ValueError, match="needs 1,400 open files at once, and your system allows"):
        with descriptors(1400, at_least=True):
            pass
