"""What follows on a connection: the end, a second response, or nothing at all."""

from __future__ import annotations

from tester.grading.expect import (
    CheckFailed,
    expect_nothing_left,
    naming,
    says_close,
    show_text,
)
from tester.grading.words import Words
from tester.results import Pointer
from tester.wire.connection import BadResponse, Connection, WireError
from tester.wire.request import request_bytes

KEPT = 0.3  # Seconds after which a connection that has not ended is being kept.


def expect_end_or_second(connection: Connection, request: bytes) -> None:
    """Fail unless the connection ends cleanly after the response, or serves a second request.

    The second is allowed if the response has a length and does not say `Connection: close`.
    """
    doing = "closing the connection after its response"
    connection.send(request)
    try:
        with naming(doing):
            response = connection.read_response()
    except BadResponse:  # Whether it is well-formed is another rule.
        connection.read_end(connection.patience, doing)
        return
    except WireError as error:
        if error.kind != "closed":
            raise
        return
    try:
        kept = response.framing != "end" and not says_close(response)
        connection.read_end(KEPT if kept else connection.patience, doing)
    except WireError as error:
        if not kept or error.kind == "reset":
            raise
        expect_second(connection, request)


def expect_second(connection: Connection, request: bytes) -> None:
    """Fail unless a kept connection answers `request` once more; it may also have ended by now."""
    try:
        with naming("closing the connection, or answering a second request on it"):
            connection.send(request)
            connection.read_response()
    except WireError as error:
        if error.kind not in ("closed", "reset"):
            raise


def expect_no_more_answers(connection: Connection, why: str) -> None:
    """Fail if another response comes, or the connection stays open. A reset is an end too.

    `why` ends the sentence "the server went on answering, although …".
    """
    try:
        rest = connection.read_end()
    except WireError as error:
        if error.kind != "reset":
            raise
        return
    if rest.startswith(b"HTTP/"):
        raise CheckFailed(
            f"the server went on answering, although {why}",
            "the end of the connection",
            show_text(rest[:60]),
            Pointer(rest[:60], 0),
            connection,
        )
    expect_nothing_left(rest, connection)


def expect_body_is_no_request(
    connection: Connection, words: Words, what: str, *, may_wait: bool = False
) -> None:
    """Fail if `what`, the body of a refused request, is read as the next request.

    The connection may end instead. With `may_wait`, silence is allowed too: part of the body is
    still missing.
    """
    word = words.word()
    try:
        connection.send(request_bytes(f"/echo/{word}", connection=None))
        response = connection.read_response()
    except WireError as error:
        if error.kind not in ("closed", "reset") and not (may_wait and error.kind == "silent"):
            raise
        return
    if response.status != 200 or response.body != word.encode():
        raise CheckFailed(
            f"{what} was read as the next request",
            f"the response to GET /echo/{word}, or the end of the connection",
            f"{response.status} {response.reason}, with the body {show_text(response.body[:60])}",
            connection=connection,
        )
