"""Ports that two want: testers take turns, other programs are named, nobody meets the wrong one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tester.attempt import ports
from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.grading.check import call, in_background
from tester.grading.client import Client
from tester.grading.words import Words
from tester.ladder.stages import get_stage
from tester.rules.test_01_bind_to_a_port import test_can_be_restarted_at_once as restart_rule
from tester.tests.helpers import WriteAttempt, fixed_port, run_tester
from tester.wire.connection import Connection

DEADLINE = 30.0  # Seconds: only against hanging for ever.
AGAIN = "SO_REUSEADDR"
SHARED = "SO_REUSEPORT"
HIDDEN = "number in a file"  # So that nobody can tell the port before the attempt listens.

# Greets, and hangs up first.
OWN_PORT = """
import pathlib, socket
port = {port}
listener = socket.socket()
{options}
listener.bind(("127.0.0.1", port))
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"{word}")
    connection.close()
"""


Write = Callable[..., Path]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port for the attempts of a test, which see no others that have one of their own."""
    port, look = fixed_port(), ports._sockets
    monkeypatch.setattr(ports, "_sockets", lambda: [one for one in look() if one.port == port])
    return port


@pytest.fixture
def write(write_attempt: WriteAttempt, port: int) -> Write:
    """Return a function that writes an attempt that greets with a word on `port`."""

    def write_one(word: str, *options: str) -> Path:
        """Write it; `options` are those of its socket, or HIDDEN."""
        where = str(port)
        if HIDDEN in options:
            where = f"int(pathlib.Path({str(write_attempt(where, 'number.py'))!r}).read_text())"
        lines = [
            f"listener.setsockopt(socket.SOL_SOCKET, socket.{option}, 1)"
            for option in options
            if option != HIDDEN
        ]
        source = OWN_PORT.format(port=where, options="\n".join(lines), word=word)
        return write_attempt(source, f"{word}.py")

    return write_one


@contextmanager
def waiting(server: Server, capsys: pytest.CaptureFixture[str]) -> Iterator[Future[object]]:
    """Start `server`, which has to wait, and stop it at the end; yields what comes of the start.

    Goes on as soon as it has said that it waits.
    """
    started = in_background(server.start)
    try:
        deadline, told = time.monotonic() + DEADLINE, ""
        while "Waiting for it" not in told:
            assert not started.done(), started.exception()
            assert time.monotonic() < deadline, f"it never said that it waits: {told}"
            told += capsys.readouterr().err
            time.sleep(0.01)
        assert f"Port {server_port(server)} is taken by another tester (process" in told
        yield started
    finally:
        server.stop()


def server_port(server: Server) -> int:
    """Return the port that stands in the attempt's file, or in the file beside it."""
    source = Path(server.attempt.command[-1])
    beside = source.with_name("number.py")
    return ports.find_numbers((beside if beside.exists() else source).read_text())[0]


def greetings(server: Server, count: int = 20) -> set[bytes]:
    """Connect so many times and return what was said."""
    found = set()
    for _ in range(count):
        with Connection(server.address) as connection:
            found.add(connection.read_end(5))
    return found


@contextmanager
def program(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an attempt as its user does, without a tester, until the end of the block."""
    with subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "options",
    [(), (AGAIN,), (SHARED,), (AGAIN, HIDDEN), (SHARED, HIDDEN)],
    ids=" ".join,
)
def test_the_second_tester_waits_for_the_first(
    write: Write, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    """And says so; the first one is not disturbed, and the second one then meets its own server."""
    second = Server(locate(str(write("second", *options))))
    with Server(locate(str(write("first", *options)))) as first:
        assert first.hard_coded
        with waiting(second, capsys) as started:
            assert greetings(first) == {b"first"}
            first.stop()
            started.result(DEADLINE)
            assert greetings(second) == {b"second"}


def test_who_waits_can_be_stopped(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """As by Ctrl-C."""
    second = Server(locate(str(write("second", AGAIN))))
    with Server(locate(str(write("first", AGAIN)))) as first, waiting(second, capsys) as started:
        second.stop()
        assert isinstance(started.exception(DEADLINE), StartError)
        assert greetings(first) == {b"first"}


def test_waiting_has_an_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is said who still has the port."""
    monkeypatch.setattr(ports, "TURN", 0.2)
    words = r"still taken after 0\.2 s by another tester \(process [0-9]+: .+\)"
    second = Server(locate(str(write("second", AGAIN))))
    with (
        Server(locate(str(write("first", AGAIN)))),
        pytest.raises(StartError, match=words),
        second,
    ):
        pass


def test_an_attempt_that_reads_its_port_does_not_wait(
    write: Write, write_attempt: WriteAttempt, port: int
) -> None:
    """Not even if the other's port is the one that it would take of its own accord."""
    path = write_attempt(f"DEFAULT = {port}\nconnection.sendall(b'free')\nconnection.close()")
    path = write_attempt(path.read_text(), "free.py", loop=True)
    with Server(locate(str(write("first", SHARED)))), Server(locate(str(path))) as free:
        assert not free.hard_coded
        assert greetings(free, 1) == {b"free"}


def test_a_given_port_that_another_has_taken_is_given_up(write_attempt: WriteAttempt) -> None:
    """Between the choice of a port and the attempt's start, anybody may be quicker."""
    server = Server(locate(str(write_attempt("connection.close()", loop=True))))
    first_choice = server.requested_port
    with socket.socket() as quicker:
        quicker.bind(("127.0.0.1", first_choice))
        quicker.listen()
        with server:
            assert server.address.port not in (first_choice, None)
            assert not server.hard_coded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((AGAIN,), "Port {port} is taken by another program (process {pid}: "),
        ((SHARED,), "port {port} is shared by two programs (SO_REUSEPORT)"),
        ((SHARED, HIDDEN), "stop another program (process {pid}: "),
    ],
    ids=["busy", "shared", "shared and hidden"],
)
def test_another_program_on_the_port_is_named(
    write: Write, port: int, options: tuple[str, ...], words: str
) -> None:
    """At once: nobody knows when it will end, and a grade must not be that of a wrong server."""
    with (
        program(write("old", *options)) as old,
        pytest.raises(StartError) as caught,
        Server(locate(str(write("new", *options)))),
    ):
        pass
    assert words.format(port=port, pid=old.pid) in str(caught.value)
    assert "old.py" in str(caught.value)


def test_a_port_can_be_had_again_without_so_reuseaddr(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the server closed first: the tester lets it forget its connections."""
    for word in ("once", "twice", "again"):
        with Server(locate(str(write(word)))) as server:
            assert greetings(server) == {word.encode()}
    assert not capsys.readouterr().err


def test_a_restart_without_so_reuseaddr_fails_where_that_is_the_rule(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """And there alone: afterwards the port is free."""
    for _ in range(2):
        with Server(locate(str(write("hello")))) as server:
            error = call(restart_rule, Client(server, Words("1")))
            assert "could not be started again on the same port" in str(error)
    with Server(locate(str(write("hello", AGAIN)))) as server:
        assert call(restart_rule, Client(server, Words("1"))) is None
    assert not capsys.readouterr().err


def test_a_restart_survives_a_port_that_is_taken_for_a_moment(write_attempt: WriteAttempt) -> None:
    """As by another tester's attempt, which makes way as soon as its port is seen."""
    before = """
        import pathlib
        starts = pathlib.Path("starts")
        number = len(starts.read_text()) + 1 if starts.exists() else 1
        starts.write_text("." * number)
        if number == 2:
            raise OSError("[Errno 98] Address already in use")
        """
    server = get_stage(1).server.read_text(encoding="utf-8")
    path = write_attempt(textwrap.dedent(before) + server)
    with Server(locate(str(path))) as running:
        assert call(restart_rule, Client(running, Words("1"))) is None
        assert (running.scratch / "starts").read_text() == "..."


def test_connections_that_others_left_are_waited_for(
    write: Write, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They go by themselves, in a minute."""
    monkeypatch.setattr(ports, "TURN", 0.2)
    monkeypatch.setattr(ports, "SAY_AFTER", 0.0)
    path = write("hello")
    with program(path), socket.create_connection(("127.0.0.1", port)) as connection:
        while connection.recv(100):
            pass
    with pytest.raises(StartError, match=r"taken after 0\.2 s by connections"):
        Server(locate(str(path))).__enter__()
    assert f"Port {port} is taken by connections that a server closed" in capsys.readouterr().err


def test_two_graders_at_once(write_attempt: WriteAttempt, port: int) -> None:
    """On attempts that would share a port: both get the verdict that they get alone."""
    source = get_stage(4).server.read_text(encoding="utf-8")
    default = 'os.environ.get("PORT", "4221")'
    option = "listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"
    assert default in source and option in source
    source = source.replace(default, str(port)).replace("import os\n", "")
    source = source.replace(option, option.replace("ADDR", "PORT"))
    good = write_attempt(source, "good.py")
    bad = write_attempt(source.replace("404 Not Found", "404 Missing"), "bad.py")
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(run_tester, "grade", "--stage", 4, "--json", "-", path)
            for path in (good, bad)
        ]
    results = [json.loads(run.result().stdout) for run in runs]
    assert [one["error"] for one in results] == [None, None]
    failures = [
        [test["id"].partition("::")[2] for test in one["tests"] if test["outcome"] != "passed"]
        for one in results
    ]
    assert failures == [[], ["test_usual_words_for_404"]]
    assert sum("Waiting for it" in run.result().stderr for run in runs) == 1


# Opens a second port, which no other may have, and ends where it can't have it.
SECOND_PORT = """
import os, socket, threading, time, traceback
def serve_metrics():
    time.sleep({delay})
    try:
        metrics = socket.create_server(("127.0.0.1", {port}))
    except OSError:
        traceback.print_exc()
        os._exit(1)
    while True:
        metrics.accept()[0].close()
threading.Thread(target=serve_metrics, daemon=True).start()
"""


@pytest.mark.parametrize(
    ("delay", "stage"),
    [(0, 10), (0.3, 10), (0.3, None)],
    ids=["at once", "later", "later, and the whole ladder"],
)
def test_a_second_port_beside_the_one_it_was_given(
    write_attempt: WriteAttempt, delay: float, stage: int | None
) -> None:
    """Two copies can't both have it: that is no fault, and nobody waits for a copy of our own."""
    port = fixed_port()
    server = get_stage(10).server.read_text(encoding="utf-8")
    path = write_attempt(SECOND_PORT.format(delay=delay, port=port) + server)
    at_stage = ("--stage", stage) if stage else ()
    done = run_tester("grade", *at_stage, "--json", "-", path)
    result = json.loads(done.stdout)
    assert "Waiting for it" not in done.stderr
    for one in [result] if stage else [result["stages"][9]]:
        failures = [test["message"] for test in one["tests"] if test["outcome"] != "passed"]
        assert not failures, "\n".join(failures)
        assert (one["passed"], one["error"]) == (True, None)
    if not stage:
        assert result["reached"] == 10
        assert "another tester" not in done.stdout


@pytest.mark.parametrize(
    "work", ["time.sleep(0.8)", "end = time.monotonic() + 2\nwhile time.monotonic() < end: pass"]
)
def test_another_port_may_be_open_long_before_the_one_it_was_given(
    write_attempt: WriteAttempt, work: str
) -> None:
    """The attempt still naps, or is still at work: no other port is graded in its place."""
    other = "other = socket.create_server(('127.0.0.1', 0))"
    path = write_attempt("connection.sendall(b'right')\nconnection.close()", loop=True)
    path.write_text(f"import socket, time\n{other}\n{work}\n{path.read_text()}")
    with Server(locate(str(path))) as server:
        assert not server.hard_coded
        assert server.is_alone
        assert greetings(server, 1) == {b"right"}


def test_of_two_ports_of_its_own_the_one_that_speaks_http_is_graded(
    write_attempt: WriteAttempt,
) -> None:
    """Not the lower one; and it is asked once, also where the server begins again."""
    low, high = sorted((fixed_port(), fixed_port()))
    source = get_stage(10).server.read_text(encoding="utf-8")
    default = 'os.environ.get("PORT", "4221")'
    assert default in source
    source = SECOND_PORT.format(delay=0, port=low) + source.replace(default, str(high))
    server = Server(locate(str(write_attempt(source))))
    with server:
        assert server.address.port == high
        assert server.is_alone
        client = Client(server, Words("1"))
        assert client.ask("/").status == 200
        client.close()
        assert server.output.wait_for("200", DEADLINE), "it notes every request"
        server.restart()
        assert server.address.port == high
        server.output.catch_up()
        assert "200" not in server.output.text


@pytest.mark.parametrize(
    ("program", "own"),
    [
        ('listener.bind(("localhost", 4221))', [4221]),
        ("PORT = 8000  # and data = connection.recv(4096), limit 65536", [8000]),
        ('port = int(os.environ.get("PORT", 4221))', []),
        ("server.listen(process.env.PORT || 4221)", []),
        ("connection.recv(1024), 80, 123456", []),
    ],
)
def test_ports_of_its_own_are_guessed_from_a_program(program: str, own: list[int]) -> None:
    """None if it reads the one that it is given."""
    assert ports.guess_own_ports(program) == own
