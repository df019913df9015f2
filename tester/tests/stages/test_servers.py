"""What our own servers promise, and what no client can ask of an attempt: how they begin and end.

Each test starts stage 18's server, whole or with one part of it replaced.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tester.ladder.stages import get_stage
from tester.ladder.steps import read_server

PATIENCE = 30.0  # Seconds that nothing here needs, unless something is wrong.
MAIN = '\n\nif __name__ == "__main__":\n'
GET = b"GET %b HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
UPLOAD = b"POST /files/%b HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"


@contextmanager
def running(
    path: Path, folder: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Start the server at `path` over `folder`; give its process and its address; end it."""
    command = [sys.executable, str(path), "--port", "0", "--directory", str(folder), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stderr is not None
            port = process.stderr.readline().rpartition(":")[2]
            yield process, ("127.0.0.1", int(port))
        finally:
            process.kill()


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return where a changed server is to be written, in a folder without anything else."""
    folder = tmp_path / "changed"
    folder.mkdir()
    return folder / "server.py"


def change(path: Path, code: str) -> Path:
    """Write stage 18's server to `path`, with `code` before the start of the program."""
    text = read_server(18)
    assert text.count(MAIN) == 1
    path.write_text(text.replace(MAIN, "\n\n" + textwrap.dedent(code) + MAIN), encoding="utf-8")
    return path


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send `request` and return all that comes until the end."""
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "-1", "1e30", "soon", ""])
def test_an_idle_timeout_that_is_no_time_is_one_clear_line(seconds: str) -> None:
    """And exit code 2, before anybody can connect."""
    done = subprocess.run(
        [sys.executable, str(get_stage(18).server), "--port", "0"],
        env=os.environ | {"IDLE_TIMEOUT": seconds},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--idle-timeout" in done.stderr


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_without_a_traceback(
    first: signal.Signals, tmp_path: Path, changed: Path
) -> None:
    """While it waits for a request in hand, the first time."""
    path = change(
        changed,
        """
        finish = finish_requests
        def finish_requests():
            '''Say on standard error when the wait is about to begin.'''
            class Told(set):
                def __iter__(self):
                    print("waiting", file=sys.stderr, flush=True)
                    return super().__iter__()
            globals()["busy"] = Told(busy)
            finish()
        """,
    )
    with running(path, tmp_path) as (process, address):
        with socket.create_connection(address, PATIENCE) as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n")
            connection.sendall(b"Content-Length: 9\r\n\r\n")
            assert b"100 Continue" in connection.recv(65536)  # The request is in hand.
            process.send_signal(first)
            assert process.stderr is not None
            assert process.stderr.readline() == "waiting\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == -signal.SIGTERM
        assert process.stderr.read() == ""


def test_a_client_whose_thread_can_not_start_is_not_left_waiting(
    tmp_path: Path, changed: Path
) -> None:
    """Its connection ends at once, and the next client is accepted."""
    path = change(
        changed,
        """
        class Never(threading.Thread):
            def start(self):
                raise RuntimeError("can't start new thread")
        threading.Thread = Never
        """,
    )
    with running(path, tmp_path) as (_, address):
        for _ in range(2):
            with socket.create_connection(address, PATIENCE) as connection:
                assert connection.recv(65536) == b""


def test_an_empty_piece_does_not_end_a_stream(tmp_path: Path, changed: Path) -> None:
    """Handlers may yield one at any time."""
    path = change(changed, 'ticks = lambda: iter([b"", b"a", b"", b"b", b""])')
    with running(path, tmp_path) as (_, address):
        body = ask(address, GET % b"/stream").partition(b"\r\n\r\n")[2]
    assert body == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


def test_what_breaks_in_mid_body_is_seen(tmp_path: Path, changed: Path) -> None:
    """On standard error; and the client has fewer bytes than it was promised, and then the end."""
    path = change(
        changed,
        """
        whole = read_file
        def read_file(file, length):
            yield next(whole(file, length))
            raise OSError("the disk is broken")
        """,
    )
    (tmp_path / "large.bin").write_bytes(b"a" * 200_000)
    with running(path, tmp_path) as (process, address):
        head, _, body = ask(address, GET % b"/files/large.bin").partition(b"\r\n\r\n")
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE)
    assert b"Content-Length: 200000" in head
    assert len(body) == 64 * 1024
    assert told.endswith("OSError: the disk is broken\n")


def test_clients_that_leave_are_not_told_of(tmp_path: Path) -> None:
    """They may leave whenever they like: it is no mistake of ours."""
    with running(get_stage(18).server, tmp_path) as (process, address):
        for request in (b"", b"GET", GET % b"/stream", GET % b"/", UPLOAD[:-1] % b"a"):
            with socket.create_connection(address, PATIENCE) as connection:
                connection.sendall(request)
                reset = (1).to_bytes(4, sys.byteorder) + bytes(4)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        assert ask(address, GET % b"/echo/a").endswith(b"\r\n\r\na")
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE)
    assert told == ""
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_not_found_in_python_3_14(tmp_path: Path, changed: Path) -> None:
    """From then on, `Path.is_dir` does not raise for it: it says no, as os.path.isdir does."""
    path = change(
        changed,
        """
        Path.is_dir = lambda self: os.path.isdir(self)
        Path.is_file = lambda self: os.path.isfile(self)
        """,
    )
    with running(path, tmp_path) as (_, address):
        assert ask(address, UPLOAD % (b"a" * 300)).startswith(b"HTTP/1.1 404 ")
        assert ask(address, UPLOAD % (b"a" * 200)).startswith(b"HTTP/1.1 201 ")


def test_a_quote_in_a_target_does_not_end_the_request_in_the_log(tmp_path: Path) -> None:
    """Programs that read the log would see another request than there was."""
    with running(get_stage(18).server, tmp_path) as (process, address):
        assert ask(address, GET % b'/echo/a"b').endswith(b'\r\n\r\na"b')
        process.terminate()
        lines, _ = process.communicate(timeout=PATIENCE)
    assert '"GET /echo/a%22b HTTP/1.1" 200 3\n' in lines


@pytest.mark.parametrize("most", [256, 20_000])
def test_the_limit_on_descriptors_is_never_lowered(most: int) -> None:
    """It is raised where that is allowed, and stays where it is higher than we need."""
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard not in (resource.RLIM_INFINITY,) and hard < 20_000:
        pytest.skip("the system allows too few descriptors to see it")
    code = (
        "import resource, runpy, sys; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, 20_000)); "
        "server = runpy.run_path(sys.argv[1]); server['read_settings'](['--port', '0']); "
        "server['open_listener'](); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    command = [sys.executable, "-c", code, str(get_stage(18).server)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert int(done.stdout) == max(most, 6000), done.stderr
