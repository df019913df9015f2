"""Puts into words why a check failed: turns an exception and the record into a `Failure`."""

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

# The likely cause, by what happened and from which stage on. The last one that fits is shown.
LIKELY = {
    "refused": (
        (1, "Is the listening socket still open? `accept` must be called in a loop."),
        (2, "Did the server stop after its first client? `accept` must be called in a loop."),
    ),
    "silent": (
        (1, "Does the server call `accept`, and `close` when it has finished?"),
        (2, "Does it wait for more than the client sends? `recv` returns what is there."),
        (3, "Does it wait for more than the client sends, or forget to close the connection?"),
        (
            8,
            "Is it waiting for the client to close, instead of for the empty line that ends the"
            " head?",
        ),
        (10, "Is it still busy with another client? One thread for each connection helps."),
        (14, "Does it wait for a body that never comes, or for more than Content-Length says?"),
        (15, "Does it answer the second request on a connection, or only the first?"),
        (18, "Does it wait for more after the last chunk (0 CR LF CR LF)?"),
    ),
    "endless": ((1, "Is there a loop that keeps sending and never ends?"),),
    "flood": ((1, "Does a loop send again and again what should be sent only once?"),),
    "closed": (
        (1, "Did the program fail here? Look at what it printed."),
        (3, "Is the whole response sent, with `sendall`, before `close`?"),
        (7, "Is Content-Length the number of bytes that are really sent?"),
        (15, "Does it close the connection although the client did not ask for that?"),
    ),
    "gave up": (
        (
            1,
            "Was it waiting for more bytes, until its timeout? The whole request had arrived. Look"
            " for bytes that came together with others, such as with the head, and were thrown"
            " away; or for a length that is too large.",
        ),
    ),
    "reset": (
        (1, "Was the socket closed before all of the request was read? Read the request first."),
        (14, "Was the socket closed before the whole body was read?"),
    ),
}
LOOP_ADVICE = "Is `accept` in a `while True` loop? After one client comes the next."
ERROR_ADVICE = (
    "Start with the error that your server printed. If it is a typo, fix it. If a client can cause"
    " it, catch it where that client is served, so that the other clients are still served."
)
LONGEST = 2000  # Characters of a message, or of what was expected or came; of more, both ends.
LONGEST_LINE = 300  # Characters of the last line that a server printed, inside a message.
LONGEST_OUTPUT = 16_000  # Characters of the output that are kept with a failure: its end.
MOST_CONNECTIONS = 3  # Of a check with more connections, only the one that failed is shown.
GIVES_UP = 0.9 * IDLE_TIMEOUT  # Seconds: a server that closes after this silence waited for more.
NO_ANSWER = "sending the head of its answer"  # What it should have done, where nothing came.
LAST_ERROR = re.compile(r"^\w[\w.]*(?:: .*)?$", re.MULTILINE)
SERVER_ERROR = re.compile(r"5\d\d ")  # A status that says so.
SPINS = (
    'Does a loop go on after a client has left? Then `recv` returns b"" again and again. The'
    " server keeps the processor busy, although no client is asking for anything."
)
CRASH = "Start with what your server printed: {}."
SENTENCES = {
    "refused": "the connection was refused: nothing is listening on port {port} any more",
    "silent": "the server sent nothing for {seconds:.1f} s instead of {doing}",
    "endless": "the server kept sending for {seconds:.1f} s instead of {doing}",
    "flood": "the server sent more than {most} MB instead of {doing}",
    "closed": "the server closed the connection {unfinished}",
    "gave up": "the server sent nothing for {silence:.1f} s, then closed the connection"
    " {unfinished}",
    "reset": "the server broke the connection off (a reset, not a clean close) while {doing}",
}
# Where some bytes of a response had come already, other words fit better.
UNENDED = (
    "the response started but never finished: nothing more came for {seconds:.1f} s",
    (
        (
            1,
            "Is an empty line missing after the head? Is the body as long as Content-Length says?"
            " Without Content-Length, only the end of the connection ends the body: close it.",
        ),
    ),
)
UNCLOSED = (
    "the server responded but kept the connection open (waited {seconds:.1f} s)",
    (
        (1, "Is `close()` called on the connection after the response has been sent?"),
        (
            FIRST_THAT_KEEPS,
            "Is the connection closed when the client asks for that, and when the client has sent"
            " nothing for IDLE_TIMEOUT seconds?",
        ),
    ),
)
UNFINISHED = "the server kept sending for {seconds:.1f} s without finishing its response"
OVERFLOWING = "the server sent more than {most} MB without finishing its response"
SPECIAL = {
    ("closed", NO_ANSWER): (
        "the head never ended: the connection was closed before an empty line came",
        ((1, "Is there an empty line (CR LF CR LF) between the head and the body?"),),
    ),
    ("closed", "sending the body: the last chunk (0 CR LF CR LF) had not come"): (
        SENTENCES["closed"],
        ((1, "Is the last chunk, `0` and an empty line, sent after all the others?"),),
    ),
    ("endless", "answering"): (UNFINISHED, LIKELY["endless"]),
    ("endless", "ending its answer"): (UNFINISHED, LIKELY["endless"]),
    ("flood", "answering"): (OVERFLOWING, LIKELY["flood"]),
    ("flood", "ending its answer"): (OVERFLOWING, LIKELY["flood"]),
    ("silent", "answering"): UNENDED,
    ("silent", "ending its answer"): UNENDED,
    ("silent", "hanging up"): UNCLOSED,
    ("silent", "serving the next client"): UNCLOSED,
}


class Stopped(Exception):
    """We stopped the server during a check, or before it. The text says why."""


def explain(error: BaseException, client: Client, stage: int) -> Failure:
    """Return what a learner should know about `error`, which ended a check of `stage`."""
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
        failure["likely"] = SPINS  # That is why it is late, whatever was asked for.
    shortened: dict[str, Any] = {
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
    """Return `text`; of a long one, its beginning and its end, with a mark between them.

    >>> shorten_text("abcdefghijkl", limit=9)
    'abcd … kl'
    """
    if len(text) <= limit:
        return text
    room = limit - 3
    end = room // 3
    return f"{text[: room - end]} … {text[len(text) - end :]}"


def _command(client: Client, shown: int, stage: int) -> str:
    """Return a shell command that sends again what was sent on the connection `shown`."""
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
    """Return whether the server broke the connection off, or reported an error by its status."""
    if isinstance(error, WireError):
        return error.kind in ("closed", "reset")
    if not isinstance(error, CheckFailed):
        return False
    closed = error.message.startswith("the server closed the connection")
    return closed or bool(SERVER_ERROR.match(error.got))


def last_error(output: str) -> str:
    """Return the last line of the last traceback in `output`, or an empty string.

    >>> last_error("Traceback (most recent call last):\\n  File ...\\nKeyError: 'a'\\nlistening")
    "KeyError: 'a'"
    """
    _, found, crash = output.rpartition(TRACEBACK)
    error = LAST_ERROR.search(crash) if found else None
    return error[0] if error else ""


def _choose_connection(messages: Sequence[Message], failed: int, ended: bool) -> int:
    """Return the connection to repeat by hand: one on which something was sent.

    Mostly, that is the one that `failed`. If the program has `ended`, it is the connection that
    may have ended it: the first one that sent something after the last response had come.
    """
    asked = [message.connection for message in messages if message.direction == "sent"]
    if ended:
        answers = [at for at, message in enumerate(messages) if message.direction == "received"]
        later = messages[answers[-1] + 1 if answers else 0 :]
        asked = [message.connection for message in later] or asked[-1:]
        return asked[0] if asked else failed
    return failed if failed in asked or not asked else asked[-1]


def _choose_messages(client: Client, numbers: Collection[int]) -> tuple[Message, ...]:
    """Return what went over the wire: everything, or of many connections only `numbers`."""
    messages = client.record.messages
    if len({message.connection for message in messages}) > MOST_CONNECTIONS:
        messages = [message for message in messages if message.connection in numbers]
    return tuple(messages)


def _explain_answer(error: CheckFailed | BadResponse) -> dict[str, Any]:
    """Explain what is wrong with the bytes that came."""
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
    """Explain how the conversation broke off, and what the likely cause is."""
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
        stage = min(stage, FIRST_WITH_LENGTHS)  # It is the length that is wrong then.
    elif kind == "closed" and not received:
        stage = 1  # The server sent nothing that could be wrong.
    said_nothing = doing == NO_ANSWER and not received
    message = sentence.format(
        port=server.address.port,
        seconds=error.seconds,
        silence=connection.silence,
        doing=doing,
        most=error.most // MEGABYTE,
        unfinished="without a response" if said_nothing else f"before it finished {doing}",
    )
    return {
        "message": message,
        "likely": [words for first, words in likely if first <= stage][-1],
        "kind": f"wire.{kind.replace(' ', '-')}",
        "facts": {"doing": doing, "seconds": round(error.seconds, 1)},
    }


def _explain_exit(code: int, server: Server) -> dict[str, Any]:
    """Explain that the program has ended, with the last line that it printed."""
    server.output.finish()
    last = shorten_text(server.output.tail(1), LONGEST_LINE)
    advice = server.input_advice(code)
    if code == 0:
        return {
            "message": "the server exited (code 0) instead of waiting for the next client",
            "got": f"a program that ended; the last line it printed: {last}" if last else "",
            "likely": f"{advice}." if advice else LOOP_ADVICE,
            "kind": "server.exited",
            "facts": {"code": code},
        }
    how = f"exited (code {code})"
    if -code in set(signal.Signals):
        how = f"was killed by the signal {signal.Signals(-code).name}"
    return {
        "message": f"the server {how}" + (f": {last}" if last else ""),
        "expected": "a server that keeps running",
        "got": last or "it printed nothing before the end",
        "likely": f"{advice}." if advice else ERROR_ADVICE,
        "kind": "server.exited",
        "facts": {"code": code},
    }
