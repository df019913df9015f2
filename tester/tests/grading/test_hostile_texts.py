"""What an attempt sends and prints may be long and odd: to put it into words takes linear time."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tester.grading.expect import CheckFailed, expect_body, expect_field, expect_nothing_left
from tester.grading.explain import LONGEST, last_error, shorten_text
from tester.lesson import exercises
from tester.masks import hide, hide_fields
from tester.mistakes.likeness import name_mistake
from tester.mistakes.signs import failure_signs
from tester.report import as_json, as_junit, terminal
from tester.results import CheckResult, Failure, Message, Pointer, StageResult
from tester.tests.helpers import WriteAttempt, grade
from tester.wire.response import Response

SIZE = 256 * 1024
MOST_SECONDS = 4.0  # Of CPU time for any one call; what is quadratic takes minutes.
SHAPES = {
    "one word": "a",
    "words": "ab ",
    "errors without a space": "Error",
    "errors": "x.aError: y\n",
    "names with dots": "a.",
    "quotes": "'",
    "escaped quotes": "\\'",
    "two kinds of quotes": "'\"",
    "open quotes": "\\\\\"'\\",
    "b and quotes": "b'",
    "digits": "1",
    "clocks": "1:",
    "dates": "Sat, 1 ",
    "numbers and signs": "1-",
    "masks": "#",
    "files": 'File "',
    "files in folders": 'File "/a',
    "backticks": "`",
    "stars": "*",
    "line ends": "\n",
    "CR LF": "\r\n",
    "fields": "a: b\r\n",
    "escapes": "\x1b[",
    "colours": "\x1b[1m",
    "tabs": "\t",
    "wide": "日",
    "combining": "e\u0301",
    "tracebacks": "Traceback (most recent call last):\n",
    "control characters": "\x00\x7f",
    "lengths": "Content-Length: 1\r\n",
    "statuses": "HTTP/1.1 200 OK\r\n\r\n",
}


def make(shape: str) -> str:
    """Return a text of this shape, as long as an output that is kept; its end fits no pattern."""
    piece = SHAPES[shape]
    return piece * (SIZE // len(piece)) + "!"


def result_of(text: str) -> StageResult:
    """Return a grade in which all that comes from an attempt is `text`."""
    data = text.encode()
    failure = Failure(
        *(text, text[:-3], text + "x"),
        pointer=Pointer(data, len(data) // 2),
        exchange=(Message("sent", b"GET / HTTP/1.1\r\n\r\n"), Message("received", data)),
        ending=text,
        output=text,
        likely=text,
    )
    identity = "test_07_respond_with_content.py::test_pages_have_a_length"
    check = CheckResult(identity, 7, "A rule", "requirement", "failed", failure=failure)
    return StageResult(7, "A stage", "a", 1, 1.0, (check,))


def print_all(result: StageResult) -> None:
    """Print a result as on a terminal."""
    terminal.print_stage(result, terminal.make_console(io.StringIO(), color=True), verbose=True)


def fail_a_field(text: str) -> None:
    """Look for a field that is not there, and one whose value is wrong, and say what is wrong."""
    name = "".join(filter(str.isalnum, text)) or "x"
    names = [name, name[:16], *(f"Content-Lengt{number}" for number in range(20_000))]
    fields = [(each, "") for each in names] + [("X", text)]
    head = b"".join(b"%b: x\r\n" % name.encode() for name, _ in fields)
    response = Response(1, 200, "OK", fields, b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
    for missing, wanted in (("Content-Length", "7"), ("X", "7")):
        with pytest.raises(CheckFailed):
            expect_field(response, missing, wanted)


def fail_a_body(text: str) -> None:
    """Compare two long bodies that differ at the end; find bytes left over."""
    body = text.encode() * 40
    with pytest.raises(CheckFailed):
        expect_body(Response(1, 200, "OK", [], b"", body + b"1"), body + b"2")
    with pytest.raises(CheckFailed):
        expect_nothing_left(body)


CALLS: dict[str, Callable[[str, Path], object]] = {
    "hide": lambda text, folder: hide(text),
    "hide fields": lambda text, folder: hide_fields(text.encode()),
    "signs": lambda text, folder: [*failure_signs(result_of(text).tests[0].failure)],
    "name": lambda text, folder: name_mistake(result_of(text)),
    "name of an error": lambda text, folder: name_mistake(
        StageResult(7, "A", "a", 1, 1.0, error=text, output=text)
    ),
    "last error": lambda text, folder: last_error("Traceback (most recent call last)\n" + text),
    "terminal": lambda text, folder: print_all(result_of(text)),
    "terminal, not started": lambda text, folder: print_all(
        StageResult(7, "A", "a", 1, 1.0, error=text, output=text, looks_like=text)
    ),
    "notebook": lambda text, folder: exercises.report(result_of("Traceback\n" + text)),
    "JSON": lambda text, folder: as_json.write_json(result_of(text), str(folder / "a.json")),
    "JUnit": lambda text, folder: as_junit.write_junit(result_of(text), str(folder / "a.xml")),
    "a field": lambda text, folder: fail_a_field(text),
    "a body": lambda text, folder: fail_a_body(text),
}


@pytest.mark.parametrize("name", CALLS)
def test_it_takes_linear_time(name: str, tmp_path: Path) -> None:
    """Each call, for each shape."""
    slow = {}
    for shape in SHAPES:
        began = time.thread_time()
        CALLS[name](make(shape), tmp_path)
        if (seconds := time.thread_time() - began) > MOST_SECONDS:
            slow[shape] = round(seconds, 1)
    assert slow == {}


def test_long_texts_are_cut_in_the_middle() -> None:
    """Both ends tell something."""
    assert shorten_text("a" * LONGEST) == "a" * LONGEST
    short = shorten_text("a" + "-" * SIZE + "z")
    assert (len(short), short[0], short[-1]) == (LONGEST, "a", "z")


def test_an_attempt_that_floods_its_output_gets_its_verdict(write_attempt: WriteAttempt) -> None:
    """It prints long lines, and dies at the first request, each time."""
    path = write_attempt(
        """
        connection.recv(65536)
        print("Error" * 50_000, file=sys.stderr)
        os._exit(1)
        """,
        loop=True,
    )
    result = grade(path, stage=3)
    assert not result["passed"]
    messages = [test["message"] for test in result["tests"] if test["outcome"] == "failed"]
    assert any("exited (code 1): ErrorError" in message for message in messages)
    assert max(map(len, messages)) < 2 * LONGEST
