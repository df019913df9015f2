"""Facts about responses, one for each function: it returns, or raises CheckFailed and says why."""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from tester.results import Pointer
from tester.wire.connection import (
    END_TIMEOUT,
    MEGABYTE,
    Connection,
    WireError,
)
from tester.wire.response import Response

MOST_NAMES = 200  # Of a response's fields: a similar name is looked for among these.
ALIKE = 0.8  # From 0 to 1: names that are this similar are one name, mistyped.
GZIP = 31  # The value of `wbits` with which zlib expects the gzip format.
MOST_UNPACKED = 16 * MEGABYTE  # Bytes of a body once it is unpacked: no check asks for that many.
MOST_MEMBERS = 1000  # Parts (members) of a body in gzip format: any number is legal, one is usual.


class CheckFailed(AssertionError):
    """A rule does not hold."""

    def __init__(
        self,
        message: str,
        expected: str = "",
        got: str = "",
        pointer: Pointer | None = None,
        connection: Connection | None = None,
        likely: str = "",
        *,
        kind: str = "",
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Say what went wrong in one sentence, and show it; `likely` is the likely cause.

        `kind` and `facts` say the same to programs, in names that outlive the wording.
        """
        super().__init__(message)
        self.kind = kind
        self.facts = facts or {}
        self.message = message
        self.expected = expected
        self.got = got
        self.pointer = pointer
        self.connection = connection
        self.likely = likely


@contextmanager
def naming(doing: str) -> Iterator[None]:
    """Let a WireError say which response did not come: "answering request 2".

    An error that already says more, as when a body breaks off, is left as it is.
    """
    try:
        yield
    except WireError as error:
        if error.doing.startswith("sending the body"):
            raise
        raise WireError(error.kind, error.connection, doing, error.most) from None


@contextmanager
def about(what: str, connection: Connection | None = None) -> Iterator[None]:
    """Let whatever fails say what it is about: "request 2 of 3: the status is …"."""
    try:
        with naming(f"answering {what}"):
            yield
    except CheckFailed as error:
        error.message = f"{what}: {error.message}"
        error.connection = error.connection or connection
        raise


def fail(message: str, expected: str = "", got: str = "", **more: Any) -> NoReturn:
    """Raise CheckFailed."""
    raise CheckFailed(message, expected, got, **more)


def expect(condition: object, message: str, expected: str = "", got: str = "") -> None:
    """Raise CheckFailed unless `condition` holds."""
    if not condition:
        raise CheckFailed(message, expected, got)


def expect_no_rest(rest: bytes, connection: Connection, method: str) -> None:
    """Fail if bytes came after the end of a response to `method`."""
    if rest and method == "HEAD":
        raise CheckFailed(
            f"the response to HEAD has a body of {len(rest)} bytes",
            "the head that GET would get, and no body",
            f"{len(rest)} bytes after the head",
            Pointer(rest[:80], 0),
            connection,
            kind="body.unwanted",
            facts={"method": method, "bytes": len(rest)},
        )
    expect_nothing_left(rest, connection)


def expect_nothing_left(rest: bytes, connection: Connection | None = None) -> None:
    """Fail if bytes came after the end of a response."""
    if rest.startswith(b"HTTP/"):
        raise CheckFailed(
            "one more response came than there were requests",
            "one response to each request",
            show_text(rest[:60]),
            Pointer(rest[:60], 0),
            connection,
            "Is a response sent twice? Or is part of the request, such as its body, read as another"
            " request?",
            kind="response.unwanted",
        )
    if rest:
        unit = "byte" if len(rest) == 1 else "bytes"
        raise CheckFailed(
            f"{len(rest)} extra {unit} came after the end of the response",
            "nothing after the last byte of the body",
            f"{len(rest)} more {unit}",
            Pointer(rest[:80], 0),
            connection,
            "Does Content-Length count the whole body, in bytes? `len(text)` counts characters.",
            kind="bytes.unwanted",
            facts={"bytes": len(rest)},
        )


def expect_status(response: Response, *statuses: int, reason: str | None = None) -> None:
    """Fail unless the status code is one of `statuses`, and the reason is `reason` if given."""
    wanted = " or ".join(map(str, statuses)) + (f" {reason}" if reason else "")
    got = f"{response.status} {response.reason}"
    if response.status not in statuses:
        message = f"the status is {got}, not {wanted}"
        facts = {"wanted": list(statuses), "came": response.status}
        pointer = Pointer(response.status_line, 9)
        raise CheckFailed(
            message, f"status {wanted}", got, pointer, kind="status.wrong", facts=facts
        )
    if reason is not None and response.reason != reason:
        message = f"the reason phrase is {response.reason!r}, not {reason!r}"
        facts = {"wanted": reason, "came": response.reason}
        pointer = Pointer(response.status_line, 13)
        raise CheckFailed(message, wanted, got, pointer, kind="reason.wrong", facts=facts)


def expect_refused(response: Response) -> None:
    """Fail unless the status code is from 400 to 499."""
    if not 400 <= response.status < 500:
        got = f"{response.status} {response.reason}"
        pointer = Pointer(response.status_line, 9)
        facts = {"wanted": "4xx", "came": response.status}
        message = f"the status is {got}, not a 4xx"
        raise CheckFailed(message, "a 4xx status", got, pointer, kind="status.wrong", facts=facts)


def expect_body(response: Response, expected: bytes) -> None:
    """Fail unless the body is exactly `expected`."""
    if response.body == expected:
        return
    index = _first_difference(response.body, expected)
    if len(response.body) != len(expected):
        kind, facts = "body.length", {"wanted": len(expected), "came": len(response.body)}
        message = f"the body has {len(response.body)} bytes, not {len(expected)}"
    else:
        kind, facts = "body.wrong", {"byte": index + 1}
        message = f"the body is wrong from byte {index + 1} on"
    start = max(0, index - 30)
    raise CheckFailed(
        message,
        show_text(expected[start : index + 50]),
        show_text(response.body[start : index + 50]) or "an empty body",
        Pointer(response.body[start : index + 50], index - start),
        kind=kind,
        facts=facts,
    )


def unpack(body: bytes, asked: int | None = None, wbits: int = GZIP) -> bytes:
    """Return what a compressed body holds; `asked` is how many bytes were asked for, if known.

    A few bytes may unpack to gigabytes, so unpacking stops at MOST_UNPACKED. Raises CheckFailed if
    there is more, zlib.error if the body can't be unpacked, and EOFError if it breaks off.
    """
    parts, room = [], MOST_UNPACKED
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits)
        parts.append(member.decompress(body, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise CheckFailed(
                f"the body unpacks to more than {MOST_UNPACKED // MEGABYTE} MB"
                + (f", where {asked:,} bytes were asked for" if asked is not None else ""),
                f"{asked:,} bytes" if asked is not None else "",
                f"{len(body):,} compressed bytes, which unpack to more than that",
                kind="body.endless",
                facts={"bytes": MOST_UNPACKED},
            )
        if not member.eof:
            raise EOFError
        body = member.unused_data.lstrip(b"\0") if wbits == GZIP else b""
        if not body:
            return b"".join(parts)
    raise CheckFailed(
        f"the body consists of more than {MOST_MEMBERS:,} parts, each in gzip format",
        "one part",
        kind="body.endless",
        facts={"parts": MOST_MEMBERS},
    )


def expect_same(response: Response, plain: Response, what: str) -> None:
    """Fail unless `what` got the same response as the `plain` request for the same thing.

    The page of a 404 may say what was asked for, so only its status is compared.
    """
    with about(what):
        expect_status(response, plain.status)
        if plain.status == 200:
            expect_body(response, plain.body)


def expect_field(
    response: Response,
    name: str,
    wanted: str | re.Pattern[str] | Callable[[str], object],
    words: str = "",
) -> None:
    """Fail unless the field is there once and its value is `wanted`.

    `wanted` is the value, a pattern for the whole value, or a function; `words` describe it.
    """
    words = words or (wanted if isinstance(wanted, str) else getattr(wanted, "pattern", ""))
    _expect_presence(response, name, words)
    values = response.values(name)
    if len(values) > 1:
        message = f"the response has {len(values)} {name} fields"
        facts = {"field": name, "times": len(values)}
        raise CheckFailed(
            message,
            f"{name} once",
            f"{len(values)} lines of {name}",
            kind="field.repeated",
            facts=facts,
        )
    value = values[0]
    if isinstance(wanted, str):
        good: object = value == wanted
    elif isinstance(wanted, re.Pattern):
        good = wanted.fullmatch(value)
    else:
        good = wanted(value)
    if not good:
        line = response.field_line(name)
        index = line.index(b":") + 1
        index += len(line[index:]) - len(line[index:].lstrip(b" \t"))
        message = f"{name} is {value!r}, not {words}"
        raise CheckFailed(
            message,
            f"{name}: {words}",
            f"{name}: {value}",
            Pointer(line, index),
            kind="field.wrong",
            facts={"field": name, "wanted": words, "came": value},
        )


def expect_said(response: Response, name: str, words: str) -> None:
    """Fail unless the field is there and not empty. That it comes only once is another rule."""
    _expect_presence(response, name, words)
    if not (response.field(name) or "").strip(" \t,"):
        message, expected, got = f"the field {name} is empty", f"{name}: {words}", f"{name}:"
        raise CheckFailed(message, expected, got, kind="field.empty", facts={"field": name})


def _expect_presence(response: Response, name: str, words: str) -> None:
    """Fail unless the field is there, whatever its value; `words` describe what it should be."""
    if not response.values(name):
        message = f"the response has no field {name}"
        got, pointer = f"no field {name} in the head", None
        names = {other.lower(): other for other, _ in response.fields[:MOST_NAMES]}
        names = {other: names[other] for other in names if len(other) < 2 * len(name)}
        if near := difflib.get_close_matches(name.lower(), names, 1, ALIKE):
            got += f", but one called {names[near[0]]}"
            pointer = Pointer(response.field_line(near[0]), 0)
        expected = f"{name}: {words}"
        raise CheckFailed(
            message, expected, got, pointer, kind="field.missing", facts={"field": name}
        )


def expect_no_field(response: Response, name: str, why: str) -> None:
    """Fail if the field is there; `why` ends the sentence "the response has Content-Length, …"."""
    if response.values(name):
        line = response.field_line(name)
        message = f"the response has {name}, {why}"
        raise CheckFailed(
            message,
            f"no field {name}",
            line.decode("latin-1").strip(),
            Pointer(line, 0),
            kind="field.unwanted",
            facts={"field": name},
        )


def expect_media_type(response: Response, *types: str) -> None:
    """Fail unless the Content-Type is one of `types`, in any letter case, with any parameters."""
    expect_field(
        response,
        "Content-Type",
        lambda value: value.split(";")[0].strip().lower() in types,
        " or ".join(types),
    )


def expect_option(response: Response, option: str) -> None:
    """Fail unless the list in the field Connection contains `option`, in any letter case."""
    expect_field(
        response,
        "Connection",
        lambda value: option in [one.strip().lower() for one in value.split(",")],
        option,
    )


def expect_length(response: Response, length: int) -> None:
    """Fail unless Content-Length is there once and says `length`; leading zeros do not matter."""
    expect_field(response, "Content-Length", re.compile(f"0*{length}"), str(length))


def expect_length_field(response: Response) -> None:
    """Fail unless Content-Length says where the body ends."""
    if response.framing == "end" or response.field("Content-Length") is None:
        expect_length(response, len(response.body))


def expect_end(connection: Connection, seconds: float = END_TIMEOUT) -> None:
    """Fail unless the server closes the connection now, cleanly and without another byte."""
    expect_nothing_left(connection.read_end(seconds), connection)


def says_close(response: Response) -> bool:
    """Return whether a response says that the server closes the connection after it."""
    options = (response.field("Connection") or "").lower().split(",")
    return "close" in [option.strip(" \t") for option in options]


def _first_difference(one: bytes, other: bytes) -> int:
    """Return the first index at which the two differ; the length of the shorter, if they do not."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # They agree up to `low`. Each round compares half of the rest.
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def show_text(data: bytes) -> str:
    """Return bytes as one line of text, the way Python writes them, in quotes."""
    return repr(data)[1:] if data else ""
