"""Attempts that misbehave: each soon gets a verdict that says what happened, and leaves nothing."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tester.grading.expect import MOST_UNPACKED, CheckFailed, unpack
from tester.ladder.steps import read_server
from tester.tests.helpers import ROOT, WriteAttempt, grade, processes_with, run_tester

MOST_SECONDS = (
    40.0  # Against hanging: on two busy cores, beside other tests; alone it is half of that.
)
OK = r'b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!"'
MOVES = re.compile("[^\n -~\u00a0-\uffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a report must not hold."""
LISTEN = """
import os, shutil, signal, socket, struct, subprocess, sys, threading, time
{first}
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen()
{then}
def serve(connection):
    try:
        {serve}
    except OSError:
        pass
    connection.close()
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""
READ = "connection.recv(65536); "


@dataclass(frozen=True)
class Case:
    """An attempt that misbehaves, and what must be said of it."""

    name: str
    words: str
    """A piece of the verdict: of its error, or of a failed check's message."""
    serve: str = READ + f"connection.sendall({OK})"
    first: str = ""
    then: str = ""
    source: str = ""
    """The whole program, where it does not even listen."""
    options: tuple[str, ...] = ()
    stage: int = 3
    passes: bool = False
    """Whether the stage holds for it all the same: its trouble is another one."""


LONG = '\n        while True: connection.sendall(b"X: y\\r\\n" * 99_999)'
SIZES = '\n        while True: connection.sendall(b"1\\r\\nx\\r\\n" * 99_999)'
DIGITS = '\n        while True: connection.sendall(b"0" * 999_999)'
INTERIM = r'connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000)'
CHUNKED = r'connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")'
DRIP = '\n        while True: connection.sendall(b"x"); time.sleep(0.05)'
HEAD = r'connection.sendall(b"HTTP/1.1 200 OK\r\n")'
BODY = r'connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")'
LINGERING = "import time; time.sleep(300)  # {mark}"
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve(sys.executable, [sys.executable, "-c", LINGERING], {})
    os._exit(0)
os.wait()
"""
CASES = (
    Case("a syntax error", "SyntaxError", source="def (:"),
    Case("an exception at import", "ZeroDivisionError", source="1 / 0"),
    Case("exits at once", "exit code 3", source="raise SystemExit(3)"),
    Case(
        "never listens",
        "never listened",
        source="import time; time.sleep(300)",
        options=("--startup-timeout", "1"),
    ),
    Case("asks for input", "EOFError", source='port = input("Which port? ")'),
    Case(
        "prints without end, and does nothing else",
        "it printed more than 100 MB",
        source='while True: print("spam" * 9999)',
    ),
    Case(
        "prints without end, and serves",
        "it printed more than 100 MB",
        READ + 'print("spam" * 50_000_000, flush=True)',
    ),
    Case(
        "prints without end what is no text",
        "it printed more than 100 MB",
        READ + '\n        while True: os.write(1, b"\\xff\\x1b[2Jspam" * 9999)',
    ),
    Case(
        "prints 10 MB, and crashes",
        "ZeroDivisionError: division by zero",
        then="connection = listener.accept()[0]; connection.recv(9)\n"
        "for _ in range(10): print('spam' * 250_000)\nprint('last words'); 1 / 0",
    ),
    Case("deletes its own file", "", first="os.remove(__file__)", passes=True),
    Case(
        "5,000 listening sockets",
        "",
        first="import resource",
        then="most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
        "others = [socket.create_server(('127.0.0.1', 0))]\n"
        "port = others[0].getsockname()[1]\n"  # All on one, as there are not so many for each.
        "hosts = [f'127.1.{i >> 8}.{i & 255}' for i in range(5000)]\n"
        "others += [socket.create_server((host, port)) for host in hosts]",
        passes=True,
    ),
    Case("exits after the first connection", "exited (code 0)", "os._exit(0)"),
    Case(
        "closes its socket after the first connection",
        "nothing is listening",
        then="listener.accept(); listener.close(); time.sleep(300)",
    ),
    Case("never accepts", "sent nothing for", then="time.sleep(300)"),
    Case("never answers", "sent nothing for", READ + "time.sleep(300)"),
    Case(
        "a head without end",
        "the head does not end: it has more than 5,000 lines",
        READ + HEAD + LONG,
    ),
    Case(
        "a head of a million lines",
        "the head does not end: it has more than 5,000 lines",
        READ + HEAD + r'; connection.sendall(b"X: y\r\n" * 10**6 + b"\r\n")',
    ),
    Case(
        "a field without end",
        "the head does not end: 262,144 bytes without an empty line",
        READ + HEAD + DIGITS,
    ),
    Case(
        "a body without end",
        "the server sent more than 16 MB",
        READ + BODY + LONG,
    ),
    Case(
        "bytes without end after the answer",
        "the server sent more than 16 MB",
        READ + f"connection.sendall({OK})" + LONG,
    ),
    Case(
        "ten thousand interim responses",
        "more than 100 interim responses",
        READ + INTERIM + f"; connection.sendall({OK})",
    ),
    Case(
        "interim responses without end",
        "more than 100 interim responses",
        READ + "\n        while True: " + INTERIM,
    ),
    Case(
        "a chunk size without end",
        "a chunk's size and extensions do not end: more than 16,384 bytes",
        READ + CHUNKED + DIGITS,
    ),
    Case(
        "a chunk extension without end",
        "a chunk's size and extensions do not end: more than 16,384 bytes",
        READ + CHUNKED + r"; connection.sendall(b'5;a=')" + DIGITS,
    ),
    Case(
        "chunks without end",
        "the body does not end: it has more than 50,000 chunks",
        READ + CHUNKED + SIZES,
    ),
    Case(
        "a trailer section without end",
        "the trailer section does not end: it has more than 5,000 lines",
        READ + CHUNKED + r"; connection.sendall(b'0\r\n')" + LONG,
    ),
    Case(
        "a trailer without end",
        "the trailer section does not end: it has more than 262,144 bytes",
        READ + CHUNKED + r"; connection.sendall(b'0\r\nX: ')" + DIGITS,
    ),
    Case("a drip in the head", "kept sending", READ + HEAD + DRIP),
    Case("a drip in the body", "kept sending", READ + BODY + DRIP),
    Case(
        "a gzip bomb",
        "the body unpacks to more than 16 MB, where 2,000 bytes were asked for",
        "connection.settimeout(1); "
        + READ
        + r'connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
        r"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        '%b" % (len(BOMB), BOMB))',
        first="import gzip\nBOMB = gzip.compress(bytes(10**8))",
        stage=16,
    ),
    Case(
        "random bytes", "does not begin with the status line", "connection.sendall(os.urandom(99))"
    ),
    Case(
        "resets every connection",
        "broke the connection off",
        "connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))",
    ),
    Case(
        "is deaf to SIGTERM",
        "",
        first="signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        passes=True,
    ),
    Case(
        "children in sessions of their own",
        "",
        first="for _ in range(5): subprocess.Popen([sys.executable, '-c', LINGERING],"
        " start_new_session=True)",
        passes=True,
    ),
    Case("a daemon without environment", "", first=DAEMON, passes=True),
    Case("is a daemon itself", "", first="if os.fork(): os._exit(0)\nos.setsid()", passes=True),
    Case(
        "burns the CPU",
        "",
        first="for _ in range(3):\n    if os.fork() == 0:\n        while True: pass",
        passes=True,
    ),
    Case(
        "takes all the memory",
        "it took more than 300 MB of memory",
        READ + "data = [bytearray(b'x' * 10_000_000) for _ in range(2000)]",
        options=("--memory-limit", "300"),
    ),
    Case(
        "children take all the memory",
        "it took more than 300 MB of memory",
        READ + "subprocess.run([sys.executable, '-c',"
        " 'data = [bytearray(b\"x\" * 10_000_000) for _ in range(2000)]'])",
        options=("--memory-limit", "300"),
    ),
    Case(
        "fills the disk with files",
        "it wrote more than 20,000 files",
        READ + "[open(f'{i}', 'wb').close() for i in range(10**7)]",
    ),
    Case(
        "removes its folder",
        "it removed the folder",
        READ + f"shutil.rmtree(os.getcwd()); connection.sendall({OK})",
    ),
    Case(
        "multiplies",
        "it started more than 300 processes",
        READ + "[os.fork() for _ in range(9)]; time.sleep(300)",
    ),
    Case(
        "listens on several ports",
        "",
        first="others = [socket.create_server(('127.0.0.1', 0)) for _ in range(3)]",
        passes=True,
    ),
)


def write_case(case: Case, write_attempt: WriteAttempt, mark: str) -> Path:
    """Write the program, and return its path."""
    text = case.source or LISTEN.format(first=case.first, then=case.then, serve=case.serve)
    return write_attempt(f"LINGERING = {LINGERING.format(mark=mark)!r}\n{text}")


def said(result: dict[str, Any]) -> str:
    """Return all that a verdict says."""
    messages = [test["message"] for test in result["tests"]]
    return "\n".join([result["error"] or "", *messages])


def start_grading(path: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `tester grade`, with a folder of its own for what is temporary."""
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "tester", "grade", "--json", "-", *words, str(path)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def see_nothing_left(folder: Path, *marks: str) -> None:
    """Fail if a file or a process is left."""
    assert not list(folder.iterdir())
    for mark in marks:
        assert not processes_with(mark)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_verdict_comes_soon_and_nothing_stays(
    case: Case, write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """Exit code 1 and JSON, with words that say what happened."""
    mark, folder = f"lingering-{os.getpid()}-{time.monotonic_ns()}", tmp_path / "scratch"
    path = write_case(case, write_attempt, mark)
    began = time.monotonic()
    grading = start_grading(path, folder, "--stage", str(case.stage), *case.options)
    output, errors = grading.communicate(timeout=300)
    seconds = time.monotonic() - began
    result = json.loads(output)
    assert result["passed"] == case.passes, said(result)
    assert grading.returncode == (0 if case.passes else 1)
    assert "Traceback" not in errors
    assert case.words in said(result)
    see_nothing_left(folder, mark, str(path))
    assert seconds < MOST_SECONDS, f"it took {seconds:.1f} s"


NASTY = r"\x1b[2J\x1b]0;title\x07\x9b31m\u202e\udcff\xff"
"""Clears the screen, names the window, colours, turns the line round, and is no text at all."""
ECHOES_NASTY = (
    f"nasty = '{NASTY}'.encode('utf-8', 'surrogateescape')\n"
    "spoken = b'\\x80\\x9b31m\\xc2\\x9b31m\\xe2\\x80\\xae\\xff'"
)


@pytest.mark.parametrize(
    "serve",
    [
        "os.write(2, nasty + b'\\n'); os._exit(3)",
        r"connection.sendall(b'HTTP/1.1 500 %b\r\nX: %b\r\n\r\n%b' % (spoken, spoken, nasty))",
        r"connection.sendall(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % nasty)",
        "",
    ],
    ids=["last words", "answer", "field", "at the start"],
)
def test_no_report_passes_on_what_moves_the_cursor(
    serve: str, write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """Whether it is printed or sent: on the terminal, in JUnit, in JSON, or from pytest itself."""
    source = LISTEN.format(first=ECHOES_NASTY, then="", serve=READ + serve)
    if not serve:
        source = f"import os\n{ECHOES_NASTY}\nos.write(2, nasty); os._exit(3)"
    path, junit = write_attempt(source), tmp_path / "junit.xml"
    words = ["--stage", "4", "-v", "--junit", str(junit), str(path)]
    shown = run_tester("grade", *words)
    assert shown.returncode == 1
    rules = run_rules(path)
    result = grade(path, stage=4)
    texts = [shown.stdout, shown.stderr, junit.read_text("utf-8"), rules, said(result)]
    elements = ElementTree.parse(junit).iter()
    texts += [text for one in elements for text in (one.text or "", *one.attrib.values())]
    for text in texts:
        assert not MOVES.search(text), ascii(text)
    assert r"\x9b31m" in shown.stdout + rules


def run_rules(path: Path) -> str:
    """Return what pytest says when it is run on the rules itself."""
    command = ["-m", "pytest", "tester/rules/test_04_return_404_not_found.py", "-q", "--color=no"]
    return subprocess.run(
        [sys.executable, *command, "-p", "no:cacheprovider", "--attempt", path, "--stage", "4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout


@pytest.mark.parametrize("name", ["never answers", "exits at once"])
def test_the_whole_ladder_does_not_take_long_either(
    name: str, write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """Eighteen stages of a hopeless attempt cost no more than one."""
    case = next(case for case in CASES if case.name == name)
    path, folder = write_case(case, write_attempt, "no mark"), tmp_path / "scratch"
    began = time.monotonic()
    grading = start_grading(path, folder)
    result = json.loads(grading.communicate(timeout=300)[0])
    seconds = time.monotonic() - began
    assert (grading.returncode, result["reached"]) == (1, 0)
    assert all(case.words in said(stage) for stage in result["stages"])
    see_nothing_left(folder, str(path))
    assert seconds < MOST_SECONDS, f"it took {seconds:.1f} s"


@pytest.mark.parametrize("wbits", [15, -15, 31], ids=["zlib", "raw deflate", "gzip"])
def test_a_body_is_unpacked_no_further_than_to_a_limit(wbits: int) -> None:
    """What fits is unpacked, in several parts too; of what is longer, only the beginning."""
    packer = zlib.compressobj(wbits=wbits)
    bomb = packer.compress(bytes(8 * MOST_UNPACKED)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(
        CheckFailed, match="unpacks to more than 16 MB, where 7 bytes were asked for"
    ):
        unpack(bomb, 7, wbits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MOST_UNPACKED  # The zlib module puts pieces together.
    with pytest.raises((EOFError, zlib.error)):
        unpack(bomb[:100], 7, wbits)
    part = gzip.compress(b"abc")
    assert unpack(part * 2 + bytes(9)) == gzip.decompress(part * 2 + bytes(9)) == b"abcabc"
    with pytest.raises(CheckFailed, match="more than 1,000 parts"):
        unpack(part * 1001)


def test_a_thread_that_goes_on_at_the_end_of_a_connection(
    write_attempt: WriteAttempt, tmp_path: Path
) -> None:
    """Each client that leaves takes a processor with it: that is the cause that is told."""
    once = "    if data := connection.recv(PIECE):\n"
    source = read_server(15)
    assert once in source
    path = write_attempt(
        source.replace(
            once, "    while not (data := connection.recv(PIECE)):\n        pass\n    if data:\n"
        )
    )
    folder, began = tmp_path / "scratch", time.monotonic()
    grading = start_grading(path, folder, "--stage", "15")
    result = json.loads(grading.communicate(timeout=300)[0])
    seconds = time.monotonic() - began
    assert not result["passed"]
    assert "Does a loop go on after a client has left?" in said(result)
    assert "Are clients served one after the other" not in said(result)
    see_nothing_left(folder, str(path))
    assert seconds < MOST_SECONDS, f"it took {seconds:.1f} s"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("stage", ["3", ""], ids=["one stage", "ladder"])
@pytest.mark.parametrize("moment", ["starting", "checking"])
def test_ctrl_c_leaves_nothing(
    write_attempt: WriteAttempt, tmp_path: Path, moment: str, stage: str, number: int
) -> None:
    """Whenever it comes: while the attempt starts, and in the midst of a check."""
    pipe, folder = tmp_path / "pipe", tmp_path / "scratch"
    os.mkfifo(pipe)  # Opening it for reading waits until the attempt has come so far.
    tell = f"open({str(pipe)!r}, 'w').close(); time.sleep(300)"
    parts = {"first": tell} if moment == "starting" else {"serve": READ + tell}
    path = write_case(Case("", "", **parts), write_attempt, "no mark")
    grading = start_grading(path, folder, *(["--stage", stage] if stage else []))
    pipe.open().close()
    grading.send_signal(number)
    grading.communicate(timeout=60)
    assert grading.returncode == 130
    see_nothing_left(folder, str(path))
