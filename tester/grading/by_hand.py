"""Makes a shell command that repeats by hand what a check did: with curl, or printf and nc."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from tester.results import Message

DEFAULT_PORT = 4221  # Where a learner's server listens when it is started by hand.
LONGEST_COMMAND = 1500  # Bytes that a command to paste may send.
LONGEST_FILE = 200  # Bytes of a file that a command repeats; a longer file is made of zeros.
MOST_PIECES = 4  # How many a command sends, one after the other.
REQUEST = re.compile(
    r"(?P<method>[A-Z]+) (?P<target>/[!-~]*) HTTP/1\.(?P<minor>[01])\r\n"
    r"(?P<fields>(?:[!-9;-~]+: [ -~]*\r\n)*)\r\n(?P<body>[\n -~]*)",
    re.DOTALL,
)


def list_pieces(messages: Sequence[Message], connection: int) -> list[bytes]:
    """Return what was sent on a connection, in pieces: between two of them, the client waited.

    It waits for a response, or between the packets of a request that is sent in several on purpose.
    Of many packets, only the first is a piece of its own.
    """
    pieces: list[bytes] = []
    for message in messages:
        if message.connection != connection or message.direction != "sent":
            continue
        edges = [0, *message.cuts[: 1 if len(message.cuts) >= MOST_PIECES else None]]
        ends = [*edges[1:], len(message.data)]
        pieces += [message.data[start:end] for start, end in zip(edges, ends, strict=True)]
    return pieces


def make_command(
    pieces: Sequence[bytes], port: int = DEFAULT_PORT, *, tell_connection: bool = False
) -> str:
    """Return a shell command that sends `pieces`, a second apart: curl, or printf and nc.

    Returns an empty string for what is too long to paste or has too many pieces. With
    `tell_connection` the field Connection matters; otherwise curl may leave it out.

    >>> make_command([b"GET /a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n"])
    "curl -i 'http://localhost:4221/a'"
    >>> make_command([b"GET /a", b"b HTTP/1.1\\r\\n"])
    "(printf 'GET /a'; sleep 1; printf 'b HTTP/1.1\\\\r\\\\n') | nc localhost 4221"
    """
    if not pieces:
        return f"nc localhost {port}"
    if sum(map(len, pieces)) > LONGEST_COMMAND or len(pieces) > MOST_PIECES:
        return ""
    if len(pieces) == 1 and (match := REQUEST.fullmatch(pieces[0].decode("latin-1"))):
        command = _curl(match, port, tell_connection)
        if command:
            return command
    sends = "; sleep 1; ".join(f"printf {_printf_format(piece)}" for piece in pieces)
    return f"{f'({sends})' if len(pieces) > 1 else sends} | nc localhost {port}"


def hold_open(sent: bytes, port: int = DEFAULT_PORT) -> str:
    """Return the beginning of a command: another client that has `sent` something, and waits.

    >>> hold_open(b"")
    'sleep 9 | nc localhost 4221 & sleep 1; '
    """
    waits = f"(printf {_printf_format(sent)}; sleep 9)" if sent else "sleep 9"
    return f"{waits} | nc localhost {port} & sleep 1; "


def make_file(pieces: Sequence[bytes], public: Path) -> str:
    """Return the beginning of a command: it makes the file that the request asks for, if any.

    `public` is the folder that the tester gave to the server. In the command, it is the folder
    `public` in the place where the learner starts the server.
    """
    match = re.match(rb"(?:GET|HEAD) (/files/[!-~]*?)(?:\?[!-~]*)? HTTP/", b"".join(pieces))
    name = unquote(match[1].decode()).removeprefix("/files/").lstrip("/") if match else ""
    if not name or ".." in Path(name).parts:  # The command must not write outside of the folder.
        return ""
    try:
        return _copy_command(public / name, Path("public", name))
    except (OSError, ValueError):  # A name that is too long, or contains a NUL.
        return ""


def _copy_command(path: Path, copy: Path) -> str:
    """Return a command that makes `copy` like the file at `path`, if there is one."""
    if not path.is_file() or path.is_symlink():
        return ""
    size = path.stat().st_size
    makes = f"head -c {size} /dev/zero"
    if size <= LONGEST_FILE:
        makes = f"printf {_printf_format(path.read_bytes())}"
    return f"mkdir -p {quote(str(copy.parent))}; {makes} > {quote(str(copy))}; "


def _curl(match: re.Match[str], port: int, tell_connection: bool) -> str | None:
    """Return the curl command that sends exactly this request, or None if curl can't."""
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
    words += _field_options(pairs, tell_connection)
    if match["body"]:
        words.append(f"--data-binary {quote(match['body'])}")
    return " ".join([*words, quote(f"http://localhost:{port}{match['target']}")])


def _field_options(pairs: Sequence[tuple[str, str]], tell_connection: bool) -> Iterator[str]:
    """Yield curl's options for the fields that it would not send like this by itself."""
    left_to_curl = {"content-length", *(() if tell_connection else ("connection",))}
    for name, value in pairs:
        if name.lower() == "host":
            if value != "localhost":
                yield f"-H {quote(f'Host: {value}')}"
        elif name.lower() not in left_to_curl:
            yield f"-H {quote(f'{name}: {value}' if value else f'{name};')}"


def quote(text: str) -> str:
    """Quote `text` for a shell, even where that is not needed."""
    return "'" + text.replace("'", "'\\''") + "'"


def _printf_format(data: bytes) -> str:
    """Write `data` as a quoted format for printf."""
    escapes = {b"\r": "\\r", b"\n": "\\n", b"%": "%%", b"\\": "\\\\", b"'": "'\\''"}
    text = ""
    for index in range(len(data)):
        byte = data[index : index + 1]
        text += escapes.get(byte) or (byte.decode() if b" " <= byte <= b"~" else f"\\{byte[0]:03o}")
    return f"'{text}'"
