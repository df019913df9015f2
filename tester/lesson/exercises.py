"""What a learner does: break a server, expose a broken one, and grade their own."""

from __future__ import annotations

import html
import inspect
import linecache
import pickle
import re
import subprocess
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tester.grading.alone import catch
from tester.grading.helper import start_helper
from tester.grading.job import Grading
from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import get_stage
from tester.lesson.servers import LessonError, check_kind, find_stage, mistake, serving
from tester.lesson.talk import ENDINGS, Client, Scene
from tester.lesson.views import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Row,
    View,
    ink,
    part_rows,
    prose,
    rows_html,
    rows_text,
    span,
)
from tester.masks import CHANGING, hide_fields
from tester.mistakes import Mistake
from tester.report.bytes_view import point
from tester.results import CheckResult, Failure, StageResult
from tester.wire.response import Malformed, Response, ResponseReader

OWN_SERVER = "my_server.py"
EXPOSE_TIMEOUT = 3.0  # Seconds to wait for the end of a response: more than any idle timeout.
CRASH_LIMIT = 8000  # Characters of a traceback that are shown: its end.
POINTED_WIDTH = 90  # Columns of the line below which a caret shows what is wrong.
A_MISTAKE = 'a mistake, such as mistake(7, "counts letters")'
BEGINNING = '''\
"""My HTTP server. The lessons say, stage by stage, what belongs in it."""

import os
import socket

port = int(os.environ.get("PORT", 4221))  # The tester says which port; by hand, it is 4221.

# Stage 1: take the port, and accept clients, one after another. Your code begins here.
'''

# --- Cards: something short in a frame ------------------------------------------------------------


def card(title: str, body: str, colour: str, text: str = "") -> View:
    """Return HTML with a title and a coloured edge; `text` is its plain form."""
    style = f"border-left:4px solid {colour};padding:2px 12px;margin:4px 0"
    heading = f'<strong style="{ink(colour)}">{html.escape(title)}</strong>'
    return View(f'<div style="{style}">{heading}{body}</div>', f"{title}\n{text}".rstrip())


def fold(summary: str, content: str) -> str:
    """Return HTML that shows `content` only after a click on `summary`."""
    return f'<details style="margin:8px 0"><summary>{summary}</summary>{content}</details>'


# --- Mistakes -------------------------------------------------------------------------------------


def verdict(which: Mistake) -> View:
    """Run the check that catches a mistake, and show what it says. Raises LessonError."""
    check_kind(which, Mistake, A_MISTAKE)
    failure = catch(which)
    if failure is None:
        raise LessonError(f"the tester did not catch this mistake: {which.title}")
    rule = read_rule(all_checks()[which.rule])
    name = check_name(which.rule)
    body, text = _failure_body(failure, rule.why, rule.hint)
    heading = f"<p>{prose(rule.title)}</p>"
    return card(f"✗ {name}", heading + body, RED, f"{rule.title}\n{text}")


def check_name(rule: str) -> str:
    """`test_length_counts_bytes` -> `length counts bytes`, as the lessons call it."""
    return rule.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def _failure_body(failure: Failure, why: str, hint: str) -> tuple[str, str]:
    """Return what there is to say about a failed check, as HTML and as text."""
    lines = [f"<p>{prose(failure.message)}</p>"] if failure.message else []
    labels = {"expected": failure.expected, "got": failure.got}
    rows = [Row(f"{name + ':':<10}{words}") for name, words in labels.items() if words]
    if failure.pointer:
        row = point(failure.pointer.line, failure.pointer.index, POINTED_WIDTH)
        rows.append(Row(f"{'here:':<10}{row.text() or '(nothing)'}"))
        rows.append(Row(" " * (10 + row.column) + "^", "surplus"))
    lines.append(rows_html(rows) if rows else "")
    exchange = _exchange_rows(failure)
    said = {"Likely": failure.likely, "Why": why, "Hint": hint}  # Sentences, so they may wrap.
    lines.append(fold("The bytes on the wire", rows_html(exchange)) if exchange else "")
    if "Traceback" in failure.output:
        lines.append(fold("What your server printed", rows_html(_crash_rows(failure.output))))
    lines += [
        f"<p><strong>{name}:</strong> {prose(words)}</p>" for name, words in said.items() if words
    ]
    told = [f"{name}: {words}" for name, words in said.items() if words]
    return "".join(lines), "\n".join(filter(None, [failure.message, rows_text(rows), *told]))


def _crash_rows(output: str) -> list[Row]:
    """Return the last traceback in `output`, without the folders of its files."""
    crash = output[output.rindex("Traceback") :]
    lines = crash[-CRASH_LIMIT:].splitlines()
    return [Row(re.sub(r'File "(?:[^"]*/)?([^/"]+)"', r'File "\1"', line)) for line in lines]


def _exchange_rows(failure: Failure) -> list[Row]:
    """Return rows that show what a check sent and received."""
    rows: list[Row] = []
    for message in failure.exchange:
        sent = message.direction == "sent"
        rows.append(Row("→ the tester sends" if sent else "← the server answers", "side"))
        rows += part_rows(message.data)
    return [*rows, Row(f"■ {failure.ending}", "note")] if rows and failure.ending else rows


# --- Expose: the reversed exercise ----------------------------------------------------------------

PUZZLES = {
    1: "which nobody asked for",
    2: "decoded as",
    3: "before the request has been read",
    4: "split into three parts",
    5: "wherever it stands in the path",
    6: "turned to small letters",
    7: "left out where",
    8: "knows more line ends than HTTP",
    9: "by hand, without a single field",
    10: "share one buffer",
    11: "as parse_qsl does by itself",
    12: "as in C",
    13: "told by the end of the whole target",
    14: "Of two Content-Length",
    15: "compared as a whole",
    16: "looked for anywhere",
    17: "All that has come is taken for the body",
    18: "skipped unread",
}
"""The mistakes that learners look for, by stage. They are here so that no lesson shows them."""
Conversation = Callable[[Callable[[], Client]], Any]


@dataclass(frozen=True, repr=False)
class Puzzle(Mistake):
    """A mistake that a learner has to find: it does not say what it is."""

    def __repr__(self) -> str:
        """Return no more than its stage."""
        return f"A broken server of stage {self.stage}."


def puzzle(stage: int) -> Puzzle:
    """Return the broken server of a stage's lesson, for `expose`. Raises LessonError."""
    return Puzzle(**vars(mistake(find_stage(stage).number, PUZZLES[stage])))


class Exposure(View):
    """The result of an attempt to expose a broken server."""

    def __init__(self, exposed: bool, view: View) -> None:
        """Remember whether it succeeded, and how to show it."""
        super().__init__(view.html, view.text)
        self.exposed = exposed


def expose(
    what: bytes | Sequence[bytes] | Conversation, *, broken: Mistake, right: int
) -> Exposure:
    """Do the same with a broken server and a right one, and say whether that tells them apart.

    `what` is a request, or a list of pieces that are sent one after the other, or a function. The
    function is called with one argument, `connect`, which is a function too: it returns a new
    client, with `send`, `receive` and so on. The two results of your function are compared: mostly
    bytes, or a list or a tuple of them. Raises LessonError, also for whatever the function raises.
    """
    check_kind(broken, Mistake, A_MISTAKE)
    talks = _as_conversation(what)
    with serving(right) as server:
        good, good_alive = _converse(talks, server), _still_serves(server)
    with serving(broken) as server:
        bad, bad_alive = _converse(talks, server), _still_serves(server)
    differs = not bad_alive or _essence(good) != _essence(bad)
    # The author of a function may want to show that nothing comes.
    must_answer = get_stage(right).answers and not (callable(what) and differs)
    problem = _problem(good, good_alive, must_answer)
    exposed = differs and not problem
    return Exposure(exposed, _exposure_view(exposed, problem, good, bad, bad_alive))


def _as_conversation(what: bytes | Sequence[bytes] | Conversation) -> Conversation:
    """Return a function that sends the pieces and returns everything that comes back."""
    if callable(what):
        return _as_told(what)
    pieces = [what] if isinstance(what, bytes) else list(what)
    if not all(isinstance(piece, bytes) for piece in pieces) or not any(pieces):
        raise LessonError('write the request as bytes, such as b"GET / HTTP/1.1\\r\\n\\r\\n"')

    def send(connect: Callable[[], Client]) -> bytes:
        """Send all pieces, and wait for the end."""
        client = connect()
        for number, piece in enumerate(pieces):
            if number:
                client.wait_end(0.05)
            client.send(piece)
        client.wait_end(EXPOSE_TIMEOUT)
        ending = client.ending or "open"
        return client.received + f"\n■ {ENDINGS[ending]}".encode()

    return send


def _as_told(talks: Conversation) -> Conversation:
    """Wrap a learner's function: if it fails, there is one line instead of a traceback."""
    try:
        inspect.signature(talks).bind(None)
    except TypeError:
        words = "your function gets one argument: write def my_conversation(connect):"
        raise LessonError(words) from None
    except ValueError:  # Some of Python's own functions do not say what arguments they take.
        pass

    def talk(connect: Callable[[], Client]) -> Any:
        """Call it; if it fails, say in which line."""
        try:
            return talks(connect)
        except LessonError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            raise LessonError(f"your function failed{_place(talks, error)}: {reason}") from error

    return talk


def _place(talks: Conversation, error: Exception) -> str:
    """Return the line of the learner's function at which an error came up, if it is known."""
    file = getattr(getattr(talks, "__code__", None), "co_filename", "")
    places = [at for at in traceback.extract_tb(error.__traceback__) if at.filename == file]
    line = linecache.getline(file, places[-1].lineno or 0).strip() if places else ""
    return f" at `{line}`" if line else ""


def _converse(talks: Conversation, server: Any) -> Any:
    """Have a conversation with a server, and return its result."""
    with Scene(server) as scene:
        result = talks(lambda: scene.client(f"client {len(scene.clients) + 1}"))
        return result.received if isinstance(result, Client) else result


def _still_serves(server: Any) -> bool:
    """Return whether a new client gets a response, or at least an end."""
    with Scene(server) as scene:
        client = scene.client("after")
        if get_stage(server.stage).reads:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        served = client.ending != "refused" and (
            bool(client.receive(EXPOSE_TIMEOUT)) or client.ending == "closed"
        )
    return served and server.survives()


def _split_ending(result: Any) -> tuple[bytes, str]:
    """Return the bytes of a result, and how the connection ended."""
    data = result if isinstance(result, bytes) else str(result).encode()
    data, _, ending = data.partition("\n■ ".encode())
    return data, ending.decode()


def _problem(good: Any, alive: bool, must_answer: bool) -> str:
    """Return why the right server's result is nothing to compare with, or an empty string."""
    if alive and good is None:
        return "Your function returned nothing: is there a `return` in it?"
    if not alive:
        reason = "it did not survive"
    elif must_answer and not _holds_something(good):
        reason = "it did not respond either"
    else:
        return ""
    return f"The right server fails too: {reason}. Is your request complete and correct?"


def _holds_something(result: Any) -> bool:
    """Return whether there is a response anywhere in a result."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return any(map(_holds_something, result))
    return bool(result) and bool(_split_ending(result)[0])


def _essence(result: Any) -> Any:
    """Return the part of a result that counts: all of it, without the fields in CHANGING.

    Responses that follow each other are read one by one. Bytes that are not well-formed responses
    count as they are, except that each byte of such a field's value becomes an x.
    """
    if isinstance(result, dict):
        return {key: _essence(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [_essence(value) for value in result]
    if isinstance(result, Response):
        return _answer_essence(result)
    if isinstance(result, str):
        result = result.encode(errors="backslashreplace")
    if not isinstance(result, bytes):
        return result
    data, ending = _split_ending(result)
    answers, rest = [], data
    while rest:
        reader = ResponseReader()
        try:
            reader.feed(rest)
        except Malformed:
            break
        if not reader.end():
            break
        answers.append(_answer_essence(reader.whole))
        rest = reader.extra
    if rest:
        return hide_fields(data), ending
    return answers, ending


def _answer_essence(response: Response) -> tuple[Any, ...]:
    """Return the part of a response that counts."""
    fields = sorted((n.lower(), v) for n, v in response.fields if n.lower() not in CHANGING)
    return response.status, fields, response.body, response.framing


def _exposure_view(exposed: bool, problem: str, good: Any, bad: Any, bad_alive: bool) -> View:
    """Show both results, and the verdict."""
    if exposed:
        title, words, colour = (
            "✓ Exposed!",
            "The right server does what it should; the broken one gives itself away.",
            GREEN,
        )
    else:
        title, colour = "✗ Not yet", ORANGE
        words = problem or "Both servers give the same response. Where would they have to differ?"
    if good is None and problem:
        return card(title, f"<p>{prose(words)}</p>", colour, words)
    rows = [Row("← the right server", "side"), *_result_rows(good)]
    rows += [Row(""), Row("← the broken server", "side"), *_result_rows(bad)]
    if not bad_alive:
        rows.append(Row("■ after that, it serves no client any more", "surplus"))
    text = f"{words}\n{rows_text(rows)}"
    return card(title, f"<p>{words}</p>{rows_html(rows)}", colour, text)


def _result_rows(result: Any) -> list[Row]:
    """Return rows that show a response, or whatever a function returned."""
    if not isinstance(result, bytes):
        return [Row(f"  {result!r}")]
    data, ending = _split_ending(result)
    rows = list(part_rows(data)) if data else [Row("  (nothing)", "note")]
    return [*rows, Row(f"■ {ending}", "note")] if ending else rows


# --- Grading --------------------------------------------------------------------------------------


def begin(path: str = OWN_SERVER) -> View:
    """Write the beginning of the learner's own server, unless the file exists already.

    Raises LessonError if it can't be written.
    """
    file = Path(path)
    if file.exists():
        return card(
            "Your server exists already", f"<p><code>{path}</code> stays as it is.</p>", GREEN
        )
    try:
        file.write_text(BEGINNING, encoding="utf-8")
    except OSError as error:
        raise LessonError(f"{path} can't be written: {error.strerror}") from None
    words = f"It is called {path}, and it is beside this notebook. Open it in the list on the left."
    return card("Your server has been created", f"<p>{prose(words)}</p>", GREEN, words)


def grade(stage: int, path: str = OWN_SERVER) -> View:
    """Grade a server at a stage, and show the tester's report. Raises LessonError."""
    title = find_stage(stage).title
    if not Path(path).exists():
        words = (
            f"There is no {path} yet. The start page, 00-start-here, creates it. Write your server "
            "in it, then run this cell again."
        )
        return card(f"Stage {stage}, {title}: not started", f"<p>{prose(words)}</p>", BLUE, words)
    return report(_grade_apart(Grading(str(path)), stage))


def _grade_apart(grading: Grading, stage: int) -> StageResult:
    """Grade in a separate process, which cleans up after itself even if it is interrupted."""
    process = start_helper(errors=subprocess.PIPE)
    try:
        data, errors = process.communicate(pickle.dumps((grading, stage)))
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if not data:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise LessonError(f"{grading.label} could not be graded: {reason or 'it was interrupted'}")
    return pickle.loads(data)


def report(result: StageResult) -> View:
    """Return the verdict on a stage as a card, with the content of the tester's report."""
    name = f"Stage {result.stage}, {result.title}"
    if result.error:
        output = rows_html([Row(line) for line in result.output.splitlines()[-15:]])
        more = f"<p>{prose(result.error)}</p>" + (output if result.output else "")
        return card(f"✗ {name}: it does not start", more, RED, result.error)
    counts = _counts(result)
    failed = [test for test in result.failures if test.kind == "requirement"]
    failed.sort(key=lambda test: test is not result.first_failure)
    stars = [test for test in result.failures if test.kind == "edge"]
    body = f"<p>{counts}</p>"
    text = [counts]
    if result.looks_like and failed:
        body += f"<p><strong>{prose(result.looks_like)}</strong></p>"
        text.append(result.looks_like)
    for number, test in enumerate(failed):
        shown, words = _test_html(test, result.stage)
        body += shown if number == 0 else fold(_summary(test, "✗"), shown)
        text.append(words)
    if stars:
        inner = "".join(
            fold(_summary(test, "☆"), _test_html(test, result.stage)[0]) for test in stars
        )
        body += fold(f"☆ edge cases that you can still get (optional): {len(stars)}", inner)
    if result.passed:
        return card(f"✓ {name}: passed", body, GREEN, "\n".join(text))
    return card(f"✗ {name}: not yet", body, RED, "\n".join(text))


def _counts(result: StageResult) -> str:
    """Return how many rules of a stage hold."""
    (met, needed), (won, offered) = result.count("requirement"), result.count("edge")
    return f"{met} of {needed} requirements, ★ {won} of {offered} edge cases"


def _summary(test: CheckResult, mark: str) -> str:
    """Return a failed check as one line of HTML."""
    message = test.failure.message if test.failure else f"not run: {test.skipped}"
    return f"{mark} {prose(test.title)} {span(prose(message), ink(GREY))}"


def _test_html(test: CheckResult, stage: int) -> tuple[str, str]:
    """Return a failed check in full, as HTML and as text."""
    failure = test.failure or Failure(f"not run: {test.skipped}")
    body, text = _failure_body(failure, test.why, test.hint)
    earlier = f" (a rule of stage {test.stage}, which still applies)" if test.stage != stage else ""
    heading = (
        f"<p><strong>✗ {prose(test.title)}</strong>{earlier}<br/><em>{check_name(test.id)}</em></p>"
    )
    if failure.command:
        body += "<p><strong>Try it</strong> in a terminal, on your own server:</p>"
        body += rows_html([Row(failure.command)])
        text += f"\nTry it: {failure.command}"
    return heading + body, f"✗ {test.title}{earlier}\n{text}"
