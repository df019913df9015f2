"""Running attempts: started however they come, found wherever they listen, stopped whole."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from tester.attempt.family import Family
from tester.attempt.locate import UsageError, locate
from tester.attempt.output import Output
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.grading.client import Client
from tester.grading.words import Words
from tester.tests.helpers import ROOT, WriteAttempt, fixed_port, processes_with
from tester.wire.connection import Connection, WireError

HELLO = 'connection.sendall(b"hello " + os.getcwd().encode())\nconnection.close()'
SHELL = f'#!/bin/sh\nexec "{sys.executable}" -u "$(dirname "$0")/app/main.py" "$@"\n'


def ask(server: Server) -> bytes:
    """Connect and read to the end."""
    with Connection(server.address) as connection:
        return connection.read_end(5)


def test_a_python_file_runs_in_a_scratch_folder_with_public(write_attempt: WriteAttempt) -> None:
    """And the folder is gone afterwards."""
    with Server(locate(str(write_attempt(HELLO, loop=True)))) as server:
        assert ask(server) == b"hello " + os.fsencode(server.scratch)
        assert server.public.is_dir()
        assert not server.hard_coded
    assert not server.scratch.exists()


def test_a_process_that_is_just_ending_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may be gone before it is: that ends no grade."""

    def vanish(_: psutil.Process) -> dict[str, str]:
        """Fail as the system does in that moment."""
        raise FileNotFoundError

    monkeypatch.setattr(psutil.Process, "environ", vanish)
    assert Family("a mark that nobody has").all_pids() == []


def test_clients_that_connect_together(write_attempt: WriteAttempt) -> None:
    """Each is a connection like any other; where nobody listens, that is told as ever."""
    server = Server(locate(str(write_attempt(HELLO, loop=True))))
    with server:
        client = Client(server, Words("1"))
        assert [each.read_end(5)[:6] for each in client.connect_together(3)] == [b"hello "] * 3
        client.close()
    with pytest.raises(WireError) as caught:
        Client(server, Words("1")).connect_together(2)
    assert caught.value.kind == "refused"


@pytest.mark.parametrize(
    "names",
    [("server.py",), ("your_program.sh", "app/main.py"), ("your_server.sh", "app/main.py")],
)
def test_a_folder_runs_its_program(
    write_attempt: WriteAttempt, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """`server.py`, or one of the scripts, which find their own files wherever they are started."""
    write_attempt(HELLO, names[-1], loop=True)
    if len(names) > 1:
        write_attempt(SHELL, names[0])
    with Server(locate(str(tmp_path))) as server:
        assert ask(server).startswith(b"hello ")


def test_a_folder_with_app_main_runs_inside_it(write_attempt: WriteAttempt, tmp_path: Path) -> None:
    """As `python -u -m app.main`."""
    write_attempt(HELLO, "app/main.py", loop=True)
    with Server(locate(str(tmp_path))) as server:
        assert ask(server) == b"hello " + os.fsencode(tmp_path.resolve())


def test_a_command_runs_in_the_folder_it_is_given(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """With its words split as a shell does."""
    write_attempt(HELLO, "my server.txt", loop=True)
    command = f"'{sys.executable}' 'my server.txt'"
    with Server(locate(str(tmp_path), command)) as server:
        assert ask(server) == b"hello " + os.fsencode(tmp_path.resolve())


def test_an_executable_runs_as_it_is(write_attempt: WriteAttempt, tmp_path: Path) -> None:
    """Also one whose path holds a space, and that starts the server as its child."""
    write_attempt(HELLO, "app/main.py", loop=True)
    script = write_attempt(SHELL.replace("exec ", "") + "exit 3\n", "my server")
    with Server(locate(str(script))) as server:
        assert ask(server).startswith(b"hello ")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_and_an_address_of_its_own_are_found(write_attempt: WriteAttempt, host: str) -> None:
    """Though the attempt does not look at PORT."""
    port = fixed_port()
    path = write_attempt(
        f"""
        import socket
        family = socket.AF_INET6 if ":" in "{host}" else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("{host}", {port}))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.sendall(b"hi")
            connection.close()
        """
    )
    with Server(locate(str(path))) as server:
        assert server.address.port == port
        assert server.address.bound == host
        assert server.hard_coded
        assert ask(server) == b"hi"


def test_a_fragile_server_is_not_disturbed(write_attempt: WriteAttempt) -> None:
    """It would print a word at the first connection: none came before ours."""
    body = 'print("a client came", flush=True)\nconnection.close()'
    with Server(locate(str(write_attempt(body, loop=True)))) as server:
        assert "a client came" not in server.output.text
        ask(server)
        assert server.output.wait_for("a client came", 5)


def test_files_are_told_by_an_option(write_attempt: WriteAttempt) -> None:
    """`--directory` with an absolute path."""
    body = "connection.sendall(' '.join(sys.argv[1:]).encode())\nconnection.close()"
    with Server(locate(str(write_attempt(body, loop=True))), with_directory=True) as server:
        assert ask(server) == b"--directory " + os.fsencode(server.public)
        assert server.public.is_absolute()


def test_the_environment_of_an_attempt(write_attempt: WriteAttempt) -> None:
    """IDLE_TIMEOUT and TZ, as promised."""
    body = """
    connection.sendall(f"{os.environ['IDLE_TIMEOUT']} {os.environ['TZ']}".encode())
    connection.close()
    """
    with Server(locate(str(write_attempt(body, loop=True)))) as server:
        assert ask(server) == b"1 America/New_York"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def (:", "SyntaxError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("print('bye')", "exited before it listened: bye"),
        ("raise SystemExit(4)", "exit code 4"),
        (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(60,)).start()\n1 / 0",
            "ZeroDivisionError",
        ),
    ],
)
def test_an_attempt_that_fails_is_told_at_once(
    write_attempt: WriteAttempt, source: str, words: str
) -> None:
    """With the last words that it printed."""
    began = time.monotonic()
    with pytest.raises(StartError, match=words), Server(locate(str(write_attempt(source)))):
        pass
    assert time.monotonic() - began < 9, "that was the time limit, not the failure"


@pytest.mark.parametrize(
    "afterwards",
    ["", "time.sleep(0.5)", "end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"],
    ids=["at once", "after a nap", "after hard work"],
)
def test_an_error_that_was_handled_is_no_end(write_attempt: WriteAttempt, afterwards: str) -> None:
    """Such as that of an optional import: what counts is whether it listens after all."""
    handled = "import time, traceback\ntry:\n    import no_such_module\nexcept ImportError:\n"
    path = write_attempt(HELLO, loop=True)
    server = path.read_text()
    path.write_text(f"{handled}    traceback.print_exc()\n{afterwards}\n{server}")
    with Server(locate(str(path))) as running:
        assert "No module named 'no_such_module'" in running.output.text
        assert ask(running).startswith(b"hello ")


def test_an_attempt_that_never_listens_is_told_in_time(write_attempt: WriteAttempt) -> None:
    """The limit can be set."""
    path = write_attempt("import time; time.sleep(60)")
    server = Server(locate(str(path)), startup_timeout=0.5)
    with pytest.raises(StartError, match=r"never listened: it ran for 0\.5 s"), server:
        pass
    assert not server.scratch.exists()


@pytest.mark.parametrize(
    "beginning",
    [
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', SLEEP])",
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', SLEEP], start_new_session=True)",
        "import subprocess, sys\n"
        "double = f'import subprocess as s, sys; s.Popen([sys.executable, \"-c\", {SLEEP!r}],'\n"
        "double += ' start_new_session=True)'\n"
        "subprocess.run([sys.executable, '-c', double])",
    ],
    ids=["deaf to SIGTERM", "child", "child in a session of its own", "orphan"],
)
def test_nothing_survives(write_attempt: WriteAttempt, tmp_path: Path, beginning: str) -> None:
    """Whatever it started, and however it tries to stay."""
    mark = f"survivor-{tmp_path.name}-{os.getpid()}"
    path = write_attempt("connection.close()", loop=True)
    sleep = f"import time; time.sleep(300)  # {mark}"
    path.write_text(f"SLEEP = {sleep!r}\n{beginning}\n{path.read_text()}")
    with Server(locate(str(path))) as server:
        ask(server)
    assert not processes_with(mark)
    assert not processes_with(str(path))


def test_output_without_end_is_cut(write_attempt: WriteAttempt) -> None:
    """Its end is kept, and no more memory than for that."""
    body = 'print("x" * 2_000_000, "the end", flush=True)\nconnection.close()'
    with Server(locate(str(write_attempt(body, loop=True)))) as server:
        ask(server)
        assert server.output.wait_for("the end", 10)
        assert len(server.output.text) <= 256 * 1024


def test_the_folder_of_an_attempt_is_left_alone(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """No byte code is written into it."""
    write_attempt("X = 1", "helper.py")
    path = write_attempt("import helper\nconnection.close()", loop=True)
    before = sorted(tmp_path.rglob("*"))
    with Server(locate(str(path))) as server:
        ask(server)
    assert sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_while_a_server_is_stopped_leaves_nothing(
    write_attempt: WriteAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come at any moment, also at this one."""
    end, calls = Family.end, []

    def interrupted_end(family: Family, grace: float) -> None:
        """Be interrupted the first time."""
        calls.append(family.pids())
        if len(calls) == 1:
            raise KeyboardInterrupt
        end(family, grace)

    monkeypatch.setattr(Family, "end", interrupted_end)
    with (
        pytest.raises(KeyboardInterrupt),
        Server(locate(str(write_attempt(HELLO, loop=True)))) as server,
    ):
        ask(server)
    assert calls[0] and not any(map(psutil.pid_exists, calls[0]))
    assert not server.scratch.exists()


@pytest.mark.parametrize(
    ("path", "command", "words"),
    [
        ("no/such/file.py", None, "there is no no/such/file.py"),
        ("README.md", None, "neither a .py file nor executable"),
        ("stages/public", None, "holds no program"),
        (".", "", "--command is empty"),
        (".", "go 'run", "check its quotes"),
        (".", "no-such-program-at-all run", "there is no program 'no-such-program-at-all'"),
    ],
)
def test_what_can_not_be_used_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, path: str, command: str | None, words: str
) -> None:
    """And the line says what to do."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError, match=words) as caught:
        locate(path, command)
    assert "\n" not in str(caught.value)


def test_what_has_been_printed_is_there_when_asked_for() -> None:
    """Also where the thread that reads it has not had its turn yet."""
    reader, writer = os.pipe()
    with open(reader, "rb") as stream, open(writer, "wb", buffering=0) as printed:
        output = Output(stream)
        for number in range(500):
            printed.write(b"%d\n" % number)
            output.catch_up(10)
            assert output.tail(1) == str(number)
        printed.close()
        output.close()
        output.catch_up(10)
