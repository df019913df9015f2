"""Puts into words why a check failed: from an exception and the record to a `Failure`."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection, Sequence

from tester.attempt import Server
from tester.facts import CheckFailed, Client
from tester.results import Failure, Message, Pointer
from tester.wire import BadResponse, WireError

DEFAULT_PORT = 4221  # Where the learner's own server listens when it is started by hand.
REQUEST = re.compile(
    r"(?P<method>[A-Z]+) (?P<target>/[!-~]*) HTTP/1\.(?P<minor>[01])\r\n"
    r"(?P<fields>(?:[!-9;-~]+: [ -~]*\r\n)*)\r\n(?P<body>[\n -~]*)",
    re.DOTALL,
)

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
    "closed": (
        (1, "Did the program fail here? Look at what it printed."),
        (3, "Is the answer sent with `sendall`, whole, before `close`?"),
        (7, "Is Content-Length the number of bytes that are really sent?"),
        (15, "Does it close although the client did not ask for that?"),
    ),
    "reset": (
        (1, "Was the socket closed with bytes in it that nobody had read? Read the request first."),
        (14, "Was the socket closed before the whole body was read?"),
    ),
}
MOST_CONNECTIONS = 3  # Of a check with more, only the one that failed is shown.
LONGEST_COMMAND = 1500  # Bytes that a command to paste may send.
# What is better said in other words where some bytes of an answer had come already.
UNENDED = (
    "the answer began, but did not end: nothing more came, {seconds:.1f} s long",
    "Is an empty line missing after the head? Is the body as long as Content-Length says?"
    " Without Content-Length only the end of the connection ends the body: close it.",
)
UNCLOSED = (
    "the server answered, but did not close the connection, {seconds:.1f} s long",
    "Is `close()` called on the connection when the answer has been sent?",
)
SPECIAL = {
    ("closed", "sending the head of its answer"): (
        "the head never ended: the connection was closed, and no empty line had come",
        "Is there an empty line (CR LF CR LF) between the head and the body?",
    ),
    ("silent", "answering"): UNENDED,
    ("silent", "ending its answer"): UNENDED,
    ("silent", "hanging up"): UNCLOSED,
    ("silent", "serving the next client"): UNCLOSED,
}
BODY_STAGE = 7  # Where bodies get a length.
SENTENCES = {
    "refused": "the connection was refused: nobody listens on port {port} any more",
    "silent": "the server stayed silent for {seconds:.1f} s instead of {doing}",
    "endless": "the server went on sending, {seconds:.1f} s long, instead of {doing}",
    "closed": "the server closed the connection before it was done {doing}",
    "reset": "the server reset the connection (it was cut off, not closed) while {doing}",
}


class Stopped(Exception):
    """We stopped the server during a check, or before it; the text says why."""


def explain(error: BaseException, client: Client, stage: int) -> Failure:
    """Return what there is to say about `error`, which ended a check of `stage`."""
    server = client.server
    if isinstance(error, Stopped):
        failure = {"message": f"the server was stopped: {error}"}
    elif isinstance(error, (CheckFailed, BadResponse)):
        failure = _explain_answer(error)
    elif isinstance(error, WireError):
        failure = _explain_wire(error, server, stage)
    else:
        failure = {"message": f"the check itself failed: {error!r}"}
    connection = getattr(error, "connection", None)
    number = connection.number if connection else client.record.connections
    ended = isinstance(error, WireError) and server.exit_code is not None
    shown = _choose_connection(client.record.messages, number, ended)
    return Failure(
        **failure,
        exchange=_choose_messages(client, {number, shown} if ended else {number}),
        ending=client.record.endings.get(number, ""),
        command=by_hand(
            b"".join(
                message.data
                for message in client.record.messages
                if message.connection == shown and message.direction == "sent"
            ),
            server.address.port if server.hard_coded else DEFAULT_PORT,
        ),
        output=client.output(),
    )


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


def _explain_answer(error: CheckFailed | BadResponse) -> dict[str, object]:
    """Say what is wrong with bytes that came."""
    if isinstance(error, CheckFailed):
        return {
            "message": error.message,
            "expected": error.expected,
            "got": error.got,
            "pointer": error.pointer,
            "likely": error.likely,
        }
    cause = error.cause
    return {
        "message": cause.message,
        "expected": cause.expected,
        "got": repr(cause.line)[1:],
        "pointer": Pointer(cause.line, cause.index),
    }


def _explain_wire(error: WireError, server: Server, stage: int) -> dict[str, object]:
    """Say how the conversation broke off, and why that is likely."""
    broken = error.kind in ("refused", "closed", "reset")
    code = server.wait_for_exit() if broken else None
    if code is not None:
        return _explain_exit(code, server)
    kind, received = error.kind, bool(error.connection.arrivals)
    if received and (kind, error.doing) in SPECIAL:
        message, likely = SPECIAL[kind, error.doing]
        return {"message": message.format(seconds=error.connection.seconds), "likely": likely}
    if error.doing.startswith("sending the body"):
        stage = min(stage, BODY_STAGE)  # That it ends too early is a matter of its length.
    if kind == "closed" and not received:
        stage = 1  # Nothing was sent that could be wrong.
    likely = [words for first, words in LIKELY[kind] if first <= stage][-1]
    sentence = SENTENCES[kind].format(
        port=server.address.port, seconds=error.connection.seconds, doing=error.doing
    )
    return {"message": sentence, "likely": likely}


def _explain_exit(code: int, server: Server) -> dict[str, object]:
    """Say that the program has ended, and with which last words."""
    server.output.finish()
    last = server.output.tail(1)
    if code == 0:
        return {
            "message": "the server came to its end (exit code 0) instead of serving on",
            "got": f"a program that ended; the last it printed: {last}" if last else "",
            "likely": "Is `accept` in a `while True` loop? After one client there are others.",
        }
    how = f"exited (code {code})"
    if -code in set(signal.Signals):
        how = f"was ended by the signal {signal.Signals(-code).name}"
    return {
        "message": f"the server {how}" + (f": {last}" if last else ""),
        "expected": "a server that goes on serving",
        "got": last or "nothing was printed before the end",
        "likely": "Look at the error that your server printed, below. Then catch errors around"
        " each client, so that one client's trouble does not end the service for all.",
    }


def by_hand(sent: bytes, port: int = DEFAULT_PORT) -> str:
    """Return a shell command that sends the same bytes: curl, or printf and nc where it can't.

    What is too long to be pasted has no command: the answer is empty.

    >>> by_hand(b"GET /a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    "curl -i 'http://localhost:4221/a'"
    """
    if not sent:
        return f"nc localhost {port}"
    if len(sent) > LONGEST_COMMAND:
        return ""
    match = REQUEST.fullmatch(sent.decode("latin-1"))
    if match:
        command = _curl(match, port)
        if command:
            return command
    return f"printf {_printf_format(sent)} | nc localhost {port}"


def _curl(match: re.Match[str], port: int) -> str | None:
    """Return the curl command for a request that curl can send as it was sent."""
    pairs = [line.partition(": ")[::2] for line in match["fields"].splitlines()]
    names = [name.lower() for name, _ in pairs]
    if len(set(names)) < len(names) or "host" not in names:
        return None
    if "transfer-encoding" in names or "expect" in names:
        return None
    lengths = [value for name, value in pairs if name.lower() == "content-length"]
    if lengths != ([str(len(match["body"]))] if match["body"] else []):
        return None  # curl works the length out by itself.
    words = ["curl -i"]
    words += (
        [] if "user-agent" in names or match["target"] != "/user-agent" else ["-H 'User-Agent:'"]
    )
    words += ["--path-as-is"] if "/." in match["target"] or "//" in match["target"] else []
    words += ["--http1.0"] if match["minor"] == "0" else []
    words += {"GET": [], "HEAD": ["-I"]}.get(match["method"], [f"-X {match['method']}"])
    for name, value in pairs:
        if name.lower() == "host" and value != "localhost":
            words.append(f"-H {quote(f'Host: {value}')}")
        elif name.lower() not in ("host", "content-length", "connection"):
            words.append(f"-H {quote(f'{name}: {value}' if value else f'{name};')}")
    if match["body"]:
        words.append(f"--data-binary {quote(match['body'])}")
    return " ".join([*words, quote(f"http://localhost:{port}{match['target']}")])


def quote(text: str) -> str:
    """Quote `text` for a shell, always, so that it can be pasted."""
    return "'" + text.replace("'", "'\\''") + "'"


def _printf_format(data: bytes) -> str:
    """Write `data` as a quoted format for printf."""
    escapes = {b"\r": "\\r", b"\n": "\\n", b"%": "%%", b"\\": "\\\\", b"'": "'\\''"}
    text = ""
    for index in range(len(data)):
        byte = data[index : index + 1]
        text += escapes.get(byte) or (byte.decode() if b" " <= byte <= b"~" else f"\\{byte[0]:03o}")
    return f"'{text}'"
