"""Puts into words why a check failed: from an exception and the record to a `Failure`."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection, Sequence
from typing import Any

from tester.attempt.server import TRACEBACK, Server
from tester.grading.by_hand import DEFAULT_PORT, hold_open, list_pieces, make_command, make_file
from tester.grading.client import Client
from tester.grading.expect import CheckFailed
from tester.ladder.stages import FIRST_THAT_KEEPS, FIRST_WITH_LENGTHS
from tester.results import Failure, Message, Pointer
from tester.wire.connection import IDLE_TIMEOUT, MEGABYTE, BadResponse, WireError

# The likely cause, by what happened and from which stage on; the last that fits is told.
LIKELY = {
    "refused": (
        (1, "Is the listening socket still open? `accept` must be called in a loop."),
        (2, "Did the server stop after its first client? `accept` must be called in a loop."),
    ),
    "silent": (
        (1, "Does the server call `accept`, and `close` when it is done?"),
        (2, "Does it wait for more than the client sends? `recv` returns what is there."),
        (3, "Does it wait for more than the client sends, or forget to close the connection?"),
        (8, "Does it wait for the end of the connection instead of the empty line of the head?"),
        (10, "Is it still busy with another client? One thread for each connection helps."),
        (14, "Does it wait for a body that does not come, or for more than Content-Length?"),
        (15, "Does it answer the second request on a connection as it does the first?"),
        (18, "Does it wait for more after the last chunk (0 CR LF CR LF)?"),
    ),
    "endless": ((1, "Is there a loop that sends, and that nothing ends?"),),
    "flood": ((1, "Does a loop send again and again what is to be sent once?"),),
    "closed": (
        (1, "Did the program fail here? Look at what it printed."),
        (3, "Is the answer sent with `sendall`, whole, before `close`?"),
        (7, "Is Content-Length the number of bytes that are really sent?"),
        (15, "Does it close although the client did not ask for that?"),
    ),
    "gave up": (
        (
            1,
            "Did it wait for more, until its timeout? All that was sent had come. Perhaps bytes"
            " were dropped that came together with others, or it waits for more than there is.",
        ),
    ),
    "reset": (
        (1, "Was the socket closed with bytes in it that nobody had read? Read the request first."),
        (14, "Was the socket closed before the whole body was read?"),
    ),
}
LOOP_ADVICE = "Is `accept` in a `while True` loop? After one client there are others."
ERROR_ADVICE = (
    "Begin with the error that your server printed. If it is a slip, mend it. If a client can cause"
    " it, catch it where that client is served, so that the others still are."
)
LONGEST = 2000  # Characters of a message, and of what was expected or came: of more, both ends.
LONGEST_LINE = 300  # Characters of the last line that a server printed, where a message holds it.
LONGEST_OUTPUT = 16_000  # Characters of an output that are kept with a failure: its end.
MOST_CONNECTIONS = 3  # Of a check with more, only the one that failed is shown.
GIVES_UP = 0.9 * IDLE_TIMEOUT  # Seconds: who closes after such a silence had waited for more.
NO_ANSWER = "sending the head of its answer"  # What it does where nothing has come.
LAST_ERROR = re.compile(r"^\w[\w.]*(?:: .*)?$", re.MULTILINE)
SERVER_ERROR = re.compile(r"5\d\d ")  # A status that says so
SPINS = (
    'Does a loop go on when a client has left? `recv` returns b"" then, again and again. The'
    " server never rests, though nobody asks it for anything."
)
CRASH = "Begin with what your server printed: {}."
SENTENCES = {
    "refused": "the connection was refused: nobody listens on port {port} any more",
    "silent": "the server stayed silent for {seconds:.1f} s instead of {doing}",
    "endless": "the server went on sending, {seconds:.1f} s long, instead of {doing}",
    "flood": "the server sent more than {most} MB instead of {doing}",
    "closed": "the server closed the connection before it was done {doing}",
    "gave up": "the server stayed silent for {silence:.1f} s, then closed the connection"
    " {unfinished}",
    "reset": "the server reset the connection (it was cut off, not closed) while {doing}",
}
# What is better said in other words where some bytes of an answer had come already.
UNENDED = (
    "the answer began, but did not end: nothing more came, {seconds:.1f} s long",
    (
        (
            1,
            "Is an empty line missing after the head? Is the body as long as Content-Length says?"
            " Without Content-Length only the end of the connection ends the body: close it.",
        ),
    ),
)
UNCLOSED = (
    "the server answered, but did not close the connection, {seconds:.1f} s long",
    (
        (1, "Is `close()` called on the connection when the answer has been sent?"),
        (
            FIRST_THAT_KEEPS,
            "Is the connection closed where the client asked for that, and after IDLE_TIMEOUT"
            " seconds in which it said nothing?",
        ),
    ),
)
SPECIAL = {
    ("closed", NO_ANSWER): (
        "the head never ended: the connection was closed, and no empty line had come",
        ((1, "Is there an empty line (CR LF CR LF) between the head and the body?"),),
    ),
    ("closed", "sending the body: the last chunk (0 CR LF CR LF) had not come"): (
        SENTENCES["closed"],
        ((1, "Is the last chunk, `0` and an empty line, sent when there is no more to come?"),),
    ),
    ("silent", "answering"): UNENDED,
    ("silent", "ending its answer"): UNENDED,
    ("silent", "hanging up"): UNCLOSED,
    ("silent", "serving the next client"): UNCLOSED,
}


class Stopped(Exception):
    """We stopped the server during a check, or before it; the text says why."""


def explain(error: BaseException, client: Client, stage: int) -> Failure:
    """Return what there is to say about `error`, which ended a check of `stage`."""
    server = client.server
    failure: dict[str, Any]
    if isinstance(error, Stopped):
        failure = {"message": f"the server was stopped: {error}", "kind": "server.stopped"}
    elif isinstance(error, (CheckFailed, BadResponse)):
        failure = _explain_answer(error)
    elif isinstance(error, WireError):
        failure = _explain_wire(error, server, stage)
    else:
        failure = {"message": f"the check itself failed: {error!r}", "kind": "check.broken"}
    connection = getattr(error, "connection", None)
    number = connection.number if connection else client.record.connections
    ended = isinstance(error, WireError) and server.exit_code is not None
    shown = _choose_connection(client.record.messages, number, ended)
    output = client.output()[-LONGEST_OUTPUT:]
    spins = bool(failure.get("likely")) and server.exit_code is None and server.spins()
    if server.exit_code is None and _broke_off(error) and (crash := last_error(output)):
        failure["likely"] = CRASH.format(crash)
    elif spins:
        failure["likely"] = SPINS  # It is late for that reason, whatever else was asked for.
    shortened = {
        name: shorten_text(value) if isinstance(value, str) else value
        for name, value in failure.items()
    }
    return Failure(
        **shortened,
        exchange=_choose_messages(client, {number, shown} if ended else {number}),
        spins=spins,
        ending=client.record.endings.get(number, ""),
        command=_command(client, shown, stage),
        output=output,
    )


def shorten_text(text: str, limit: int = LONGEST) -> str:
    """Return `text`, of a long one the beginning, the end, and a mark between them.

    >>> shorten_text("abcdefghijkl", limit=9)
    'abcd … kl'
    """
    if len(text) <= limit:
        return text
    room = limit - 3
    end = room // 3
    return f"{text[: room - end]} … {text[len(text) - end :]}"


def _command(client: Client, shown: int, stage: int) -> str:
    """Return a command that repeats by hand what was sent on the connection `shown`."""
    server, messages = client.server, client.record.messages
    port = server.address.port if server.hard_coded else DEFAULT_PORT
    pieces = list_pieces(messages, shown)
    command = make_command(pieces, port, tell_connection=stage == FIRST_THAT_KEEPS)
    if not command:
        return ""
    if client.beside is not None:
        command = hold_open(client.beside, port) + command
    uploads = any(message.data.startswith(b"POST ") for message in messages)
    return command if uploads else make_file(pieces, server.public) + command


def _broke_off(error: BaseException) -> bool:
    """Return whether the server broke off, or says itself that it failed."""
    if isinstance(error, WireError):
        return error.kind in ("closed", "reset")
    if not isinstance(error, CheckFailed):
        return False
    closed = error.message.startswith("the server closed the connection")
    return closed or bool(SERVER_ERROR.match(error.got))


def last_error(output: str) -> str:
    """Return the last line of the last traceback in what was printed, or nothing.

    >>> last_error("Traceback (most recent call last):\\n  File ...\\nKeyError: 'a'\\nlistening")
    "KeyError: 'a'"
    """
    _, found, crash = output.rpartition(TRACEBACK)
    error = LAST_ERROR.search(crash) if found else None
    return error[0] if error else ""


def _choose_connection(messages: Sequence[Message], failed: int, ended: bool) -> int:
    """Return the connection that is worth repeating by hand: one on which something was sent.

    Mostly, that is the one that `failed`. Where the program has `ended`, it is the one that may
    have ended it: the first that got no answer, of those that asked when the last answer had come.
    """
    asked = [message.connection for message in messages if message.direction == "sent"]
    if ended:
        answers = [at for at, message in enumerate(messages) if message.direction == "received"]
        later = messages[answers[-1] + 1 if answers else 0 :]
        asked = [message.connection for message in later] or asked[-1:]
        return asked[0] if asked else failed
    return failed if failed in asked or not asked else asked[-1]


def _choose_messages(client: Client, numbers: Collection[int]) -> tuple[Message, ...]:
    """Return what went over the wire: all of it, or of many connections only these."""
    messages = client.record.messages
    if len({message.connection for message in messages}) > MOST_CONNECTIONS:
        messages = [message for message in messages if message.connection in numbers]
    return tuple(messages)


def _explain_answer(error: CheckFailed | BadResponse) -> dict[str, Any]:
    """Say what is wrong with bytes that came."""
    if isinstance(error, CheckFailed):
        return {
            "message": error.message,
            "expected": error.expected,
            "got": error.got,
            "pointer": error.pointer,
            "likely": error.likely,
            "kind": error.kind or "rule.broken",
            "facts": error.facts,
        }
    cause = error.cause
    return {
        "kind": "response.malformed",
        "facts": {"byte": cause.index + 1},
        "message": cause.message,
        "expected": cause.expected,
        "got": repr(cause.line[: 2 * LONGEST])[1:],
        "pointer": Pointer(cause.line, cause.index),
    }


def _explain_wire(error: WireError, server: Server, stage: int) -> dict[str, Any]:
    """Say how the conversation broke off, and why that is likely."""
    broken = error.kind in ("refused", "closed", "reset")
    code = server.wait_for_exit() if broken else None
    if code is not None:
        return _explain_exit(code, server)
    kind, doing, connection = error.kind, error.doing, error.connection
    received = bool(connection.arrivals)
    if kind == "closed" and connection.silence > GIVES_UP:
        kind = "gave up"
    sentence, likely = SENTENCES[kind], LIKELY[kind]
    if received and (kind, doing) in SPECIAL:
        sentence, likely = SPECIAL[kind, doing]
    elif doing.startswith("sending the body"):
        stage = min(stage, FIRST_WITH_LENGTHS)  # That it ends too early is a matter of its length.
    elif kind == "closed" and not received:
        stage = 1  # Nothing was sent that could be wrong.
    said_nothing = doing == NO_ANSWER and not received
    message = sentence.format(
        port=server.address.port,
        seconds=error.seconds,
        silence=connection.silence,
        doing=doing,
        most=error.most // MEGABYTE,
        unfinished="without an answer" if said_nothing else f"before it was done {doing}",
    )
    return {
        "message": message,
        "likely": [words for first, words in likely if first <= stage][-1],
        "kind": f"wire.{kind.replace(' ', '-')}",
        "facts": {"doing": doing, "seconds": round(error.seconds, 1)},
    }


def _explain_exit(code: int, server: Server) -> dict[str, Any]:
    """Say that the program has ended, and with which last words."""
    server.output.finish()
    last = shorten_text(server.output.tail(1), LONGEST_LINE)
    advice = server.input_advice(code)
    if code == 0:
        return {
            "message": "the server came to its end (exit code 0) instead of serving on",
            "got": f"a program that ended; the last it printed: {last}" if last else "",
            "likely": f"{advice}." if advice else LOOP_ADVICE,
            "kind": "server.exited",
            "facts": {"code": code},
        }
    how = f"exited (code {code})"
    if -code in set(signal.Signals):
        how = f"was ended by the signal {signal.Signals(-code).name}"
    return {
        "message": f"the server {how}" + (f": {last}" if last else ""),
        "expected": "a server that goes on serving",
        "got": last or "nothing was printed before the end",
        "likely": f"{advice}." if advice else ERROR_ADVICE,
        "kind": "server.exited",
        "facts": {"code": code},
    }
