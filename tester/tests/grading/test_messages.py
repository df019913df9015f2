"""What learners read: each way to fail has its own words, and they name the likely cause."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tester.grading.alone import catch
from tester.grading.by_hand import list_pieces, make_command, make_file
from tester.lesson.servers import mistake
from tester.mistakes import Mistake
from tester.results import Message
from tester.tests.helpers import WriteAttempt, grade, run_tester

ANSWER = 'connection.recv(65536)\nconnection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nHello World!")\n'


def first_failure(result: dict[str, Any], part: str = "") -> dict[str, Any]:
    """Return the first failed test, or the first whose id holds `part`."""
    return next(
        test for test in result["tests"] if test["outcome"] == "failed" and part in test["id"]
    )


def test_refused(write_attempt: WriteAttempt) -> None:
    """The listening socket is closed, but the program runs on."""
    path = write_attempt("connection.close(); listener.close(); time.sleep(60)", loop=True)
    failure = first_failure(grade(path, stage=1), "again_and_again")
    assert "refused" in failure["message"]


def test_never_listened(write_attempt: WriteAttempt) -> None:
    """No verdict on single rules, but one error."""
    path = write_attempt("import socket, time\nsocket.socket().bind(('', 0))\ntime.sleep(60)")
    result = grade(path, "--startup-timeout", "0.5", stage=1)
    assert "never listened" in result["error"]
    assert "listen" in result["error"].partition("(")[2]
    assert not result["passed"]


def test_exited(write_attempt: WriteAttempt) -> None:
    """It says that the program ended, with the last line of its output."""
    path = write_attempt("connection.recv(9)\nraise ValueError('so sad')", loop=True)
    assert "exited (code 1)" in first_failure(grade(path, stage=2))["message"]
    result = run_tester("grade", "--stage", 2, path)
    assert "so sad" in result.stdout


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("input('Enter ends the server')", "It read its standard input"),
        ("sys.stdin.readline()", "It is likely to have read its standard input"),
        ("sys.stdin.read()", "It is likely to have read its standard input"),
    ],
)
@pytest.mark.parametrize("moment", ["at once", "after a client"])
def test_a_program_that_waits_for_enter(
    write_attempt: WriteAttempt, wait: str, words: str, moment: str
) -> None:
    """Its input has ended, and so has it: that is said, wherever it was when it ended."""
    before = "served.wait()" if moment == "after a client" else ""
    path = write_attempt(
        f"""
        import os, socket, sys, threading
        served = threading.Event()
        def serve():
            while True:
                connection, _ = listener.accept()
                served.set()
                connection.close()
        listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
        threading.Thread(target=serve, daemon=True).start()
        {before}
        {wait}
        """
    )
    result = grade(path, stage=1)
    said = [result["error"] or "", *(test["message"] for test in result["tests"])]
    assert any(words in one for one in said), said
    assert not any("while True" in one for one in said)


def test_silent(write_attempt: WriteAttempt) -> None:
    """The server waits for more than the client sends."""
    path = write_attempt("while connection.recv(10): pass\nconnection.close()", loop=True)
    assert "sent nothing for" in first_failure(grade(path, stage=3))["message"]


def test_closed_early(write_attempt: WriteAttempt) -> None:
    """Fewer bytes than Content-Length promised."""
    body = ANSWER.replace("\\r\\n\\r\\n", "\\r\\nContent-Length: 50\\r\\n\\r\\n")
    path = write_attempt(body + "connection.close()", loop=True)
    failure = first_failure(grade(path, stage=3), "head_ends")
    assert "closed the connection" in failure["message"]
    assert "12 of 50 bytes" in failure["message"]


def test_reset(write_attempt: WriteAttempt) -> None:
    """Closed with unread bytes in the socket."""
    body = "connection.recv(1, socket.MSG_PEEK)\nconnection.close()"
    failure = first_failure(grade(write_attempt(body, loop=True), stage=2), "hangs_up_cleanly")
    assert "reset" in failure["message"]


@pytest.mark.parametrize("pause", [0, 0.2])
def test_endless(write_attempt: WriteAttempt, pause: float) -> None:
    """A server that sends for ever, fast or slowly, holds the tester up for seconds only."""
    loop = f"while True: connection.sendall(b'x: y\\r\\n'); time.sleep({pause})"
    path = write_attempt(ANSWER.replace("\\r\\n\\r\\n", "\\r\\n") + loop, loop=True)
    result = grade(path, stage=3)
    assert not result["passed"]
    assert result["seconds"] < 60


def test_the_messages_differ() -> None:
    """And so do the sentences that they are made from."""
    from tester.grading.explain import LIKELY, SENTENCES

    assert len(set(SENTENCES.values())) == len(SENTENCES) == 7  # Two more: never listened, exited.
    causes = [words for stages in LIKELY.values() for _, words in stages]
    assert len(set(causes)) == len(causes)


# A learner's mistake in the answer, and what the first message about it must say.
WRONG_ANSWERS = {
    "LF alone": (b"HTTP/1.1 200 OK\n\nHello World!", "ends in LF alone"),
    "no empty line": (b"HTTP/1.1 200 OK\r\nX: Hello World!", "the head never ended"),
    "words first": (b"HTTP/1.1 OK 200\r\n\r\nHello World!", "does not begin with the status line"),
    "a line end first": (b"\nHTTP/1.1 200 OK\r\n\r\nHello World!", "status line"),
    "only the body": (b"Hello World!", "does not begin with the status line"),
    "indented fields": (b"HTTP/1.1 200 OK\r\n  A: b\r\n\r\nHello World!", "white space"),
    "text after the body": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!\r\n",
        "2 extra bytes",
    ),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_a_wrong_answer_is_called_by_its_name(write_attempt: WriteAttempt, name: str) -> None:
    """At stage 3, where servers first answer."""
    data, words = WRONG_ANSWERS[name]
    body = f"connection.recv(65536)\nconnection.sendall({data!r})\nconnection.close()"
    result = grade(write_attempt(body, loop=True), stage=3)
    assert not result["passed"]
    assert any(words in test["message"] for test in result["tests"])


def test_a_failure_is_shown_in_full(write_attempt: WriteAttempt) -> None:
    """Rule, expected and got, caret, both sides' bytes, why, hint, and a command, in this order."""
    path = write_attempt(ANSWER.replace("200 OK", "200OK") + "connection.close()", loop=True)
    shown = run_tester("grade", "--stage", 3, path).stdout
    parts = (
        "begins with `HTTP/1.1 200`",
        "expected",
        "got",
        "^",
        "the tester sent",
        "your server sent",
        "Why:",
        "Hint:",
        "Try it:",
        "curl -i 'http://localhost:4221/'",
        "not passed yet",
    )
    places = [shown.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_report_keeps_to_the_width(write_attempt: WriteAttempt, columns: int) -> None:
    """But for the command, which is there to be pasted."""
    import os

    path = write_attempt("connection.sendall(b'x' * 500)\nconnection.close()", loop=True)
    done = run_tester("grade", "--stage", 3, path, env=os.environ | {"COLUMNS": str(columns)})
    wide = [line for line in done.stdout.splitlines() if len(line) > columns]
    assert all("localhost:4221" in line for line in wide)
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        (b"", "nc localhost 4221"),
        (b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "curl -i 'http://localhost:4221/a'"),
        (
            b"GET /user-agent HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "curl -i -H 'User-Agent:' 'http://localhost:4221/user-agent'",
        ),
        (
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nit's",
            "curl -i -X POST --data-binary 'it'\\''s' 'http://localhost:4221/echo'",
        ),
        (
            b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n",
            "curl -i --http1.0 -I 'http://localhost:4221/'",
        ),
        (
            b"GET /../x HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n",
            "curl -i --path-as-is -H 'Host: a' -H 'X;' 'http://localhost:4221/../x'",
        ),
        (b"GET / HTTP/1.1\n\n", "printf 'GET / HTTP/1.1\\n\\n' | nc localhost 4221"),
        (b"50% '\\\0\xff", "printf '50%% '\\''\\\\\\000\\377' | nc localhost 4221"),
    ],
)
def test_the_command_to_try_by_hand(sent: bytes, command: str) -> None:
    """curl where it can say it, and printf where it can't."""
    assert make_command([sent] if sent else []) == command


GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def sent(data: bytes, *cuts: int, connection: int = 1) -> Message:
    """Return what a client has sent, in packets that were cut there."""
    return Message("sent", data, 0.0, connection, cuts)


@pytest.mark.parametrize(
    ("messages", "pieces"),
    [
        ([sent(b"abc")], [b"abc"]),
        ([sent(b"abc", 1)], [b"a", b"bc"]),
        ([sent(b"abcdef", 1, 2, 3, 4, 5)], [b"a", b"bcdef"]),  # One cut shows it as well.
        ([sent(b"ab"), Message("received", b"x"), sent(b"cd", 1)], [b"ab", b"c", b"d"]),
        ([sent(b"ab", connection=2), sent(b"cd")], [b"cd"]),
        ([], []),
    ],
)
def test_the_command_waits_where_the_client_has_waited(
    messages: list[Message], pieces: list[bytes]
) -> None:
    """For an answer, or between two packets."""
    assert list_pieces(messages, 1) == pieces


def test_the_command_sends_pieces_a_second_apart() -> None:
    """But not too many, and not what is too long to be pasted."""
    command = make_command([b"GET /a", b"b HTTP/1.1\r\n"])
    sends = r"(printf 'GET /a'; sleep 1; printf 'b HTTP/1.1\r\n')"
    assert command == f"{sends} | nc localhost 4221"
    assert make_command([b"a"] * 9) == make_command([b"a" * 2000]) == ""


def test_the_command_tells_connection_where_that_matters() -> None:
    """Elsewhere curl does without."""
    assert make_command([GET % b"a"]) == "curl -i 'http://localhost:4221/a'"
    command = make_command([GET % b"a"], tell_connection=True)
    assert command == "curl -i -H 'Connection: close' 'http://localhost:4221/a'"


@pytest.mark.parametrize("content", [b"50% of '\r\n\0\xff", bytes(1000)])
def test_the_command_makes_the_file_first(tmp_path: Path, content: bytes) -> None:
    """A file of that name, in the folder where the learner is."""
    public = tmp_path / "scratch" / "public"
    (public / "a b").mkdir(parents=True)
    (public / "a b" / "it's.txt").write_bytes(content)
    before = make_file([GET % b"files/a%20b/it's.txt"], public)
    assert before.endswith("; ")
    subprocess.run(["sh", "-c", before], cwd=tmp_path, check=True)
    assert (tmp_path / "public" / "a b" / "it's.txt").read_bytes() == content


@pytest.mark.parametrize(
    "path",
    [b"files/none", b"files/..%2Fkey", b"files/a%00", b"files/", b"x", b"files/" + b"n" * 300],
)
def test_the_command_makes_no_other_file(tmp_path: Path, path: bytes) -> None:
    """Where there is none, or where it lies elsewhere."""
    (tmp_path / "public").mkdir()
    (tmp_path / "key").write_text("secret")
    assert make_file([GET % path], tmp_path / "public") == ""


@pytest.mark.parametrize(
    ("rule", "beginning"),
    [
        ("test_silent_clients_hold_nobody_up", "sleep 9 | nc localhost 4221 & sleep 1; curl -i "),
        ("test_half_a_request_holds_nobody_up", "sleep 9 | nc localhost 4221 & sleep 1; curl -i "),
    ],
)
def test_the_command_has_another_client_wait(rule: str, beginning: str) -> None:
    """Where a silent client holds all others up, one client alone would show nothing."""
    serial = mistake(10, "run is called instead of start")
    assert catch(replace(serial, rule=rule)).command.startswith(beginning)


@pytest.mark.parametrize(
    ("made", "said", "likely"),
    [
        (mistake(14, "together with the head is thrown away"), "then closed", "thrown away"),
        (mistake(18, "The last chunk is missing"), "the last chunk", "last chunk, `0` and"),
        (
            mistake(15, "no timeout while nothing comes"),
            "kept the connection open",
            "for IDLE_TIMEOUT seconds",
        ),
    ],
    ids=lambda value: getattr(value, "title", ""),
)
def test_what_is_likely(made: Mistake, said: str, likely: str) -> None:
    """The words fit how the conversation ended."""
    failure = catch(made)
    assert said in failure.message
    assert likely in failure.likely


def test_a_traceback_comes_first(write_attempt: WriteAttempt) -> None:
    """A server that prints an error and hangs up: its own words say more than we can guess."""
    body = """
        try:
            connection.recv(9999)
            {}["key"]
        except KeyError:
            import traceback
            traceback.print_exc()
        connection.close()
    """
    failure = first_failure(grade(write_attempt(body, loop=True), stage=3))
    assert failure["message"].endswith("(Start with what your server printed: KeyError: 'key'.)")


def test_the_printf_command_sends_the_same_bytes() -> None:
    """Pasted into a shell."""
    sent = bytes(range(256)) + b"GET / HTTP/1.1\nX: 'a' \"b\" $HOME %s \\n\r\n"
    command = make_command([sent] if sent else []).removesuffix(" | nc localhost 4221")
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == sent
