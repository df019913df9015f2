"""One request of each kind, so that checks can test a rule on every path and with every method.

A rule that a server keeps on one path is easily broken on another. The checks of the later stages
go through these lists; the README.md of this folder says which check asks for what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tester.attempt.server import Server
from tester.grading.client import Client, Kept, ask_on, put_file
from tester.grading.expect import CheckFailed, expect, expect_option, says_close
from tester.grading.words import Words
from tester.wire.connection import BadResponse, Connection, WireError
from tester.wire.request import request_bytes
from tester.wire.response import Response

ONE_OF_EACH = (  # Fields that have one value, not a list: each comes once at most.
    *("Date", "Server", "Content-Length", "Content-Type", "Content-Location", "Content-Range"),
    *("Content-Disposition", "Last-Modified", "ETag", "Expires", "Age", "Location", "Retry-After"),
    *("X-Content-Type-Options", "Host"),
)


@dataclass(frozen=True)
class Kind:
    """A request that can be sent on any connection, and again and again."""

    target: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def __str__(self) -> str:
        """Return the request as a failure names it: `POST /echo`."""
        return f"{self.method} {self.target}"

    @property
    def repeats(self) -> bool:
        """Whether the response must be the same each time. The response to an upload may change."""
        return self.method == "GET" or self.target.startswith("/echo")

    @property
    def data(self) -> bytes:
        """The bytes of the request, on a connection that is to stay open."""
        return request_bytes(self.target, self.method, self.fields, self.body, connection=None)

    def head(self) -> Kind:
        """Return the HEAD request for the same target."""
        return Kind(self.target, "HEAD", self.fields)

    def ask(self, client: Client | Kept, *fields: tuple[str, str], **options: Any) -> Response:
        """Send the request as `client` does, with more `fields`, and return the response."""
        more = (*self.fields, *fields)
        return client.ask(self.target, self.method, more, self.body, **options)

    def ask_on(
        self, connection: Connection, /, *fields: tuple[str, str], **options: Any
    ) -> Response:
        """Send the request on `connection`, with more `fields`, and return the response."""
        more = (*self.fields, *fields)
        return ask_on(connection, self.target, self.method, more, self.body, **options)


def make_gets(words: Words, server: Server, *, queries: bool = True) -> list[Kind]:
    """Return a GET for each path, and, with `queries`, one more with a query."""
    text = put_file(server, f"{words.word()}.txt", words.text(300))
    image = put_file(server, f"{words.word()}/{words.word()}.png", words.data(300))
    kinds = []
    for query in ("", f"?{words.word()}={words.word()}")[: 1 + queries]:
        paths = "/", "/about", "/blog", f"/echo/{words.mixed()}", "/search", text, image
        kinds += [Kind(path + query) for path in paths]
        agent = ("User-Agent", f"{words.mixed()}/1.0 ({words.word()}: {words.word()})")
        kinds.append(Kind("/user-agent" + query, fields=(agent,)))
    return kinds


def make_posts(words: Words) -> list[Kind]:
    """Return a POST for each path that takes one, plain and with a query; some bodies are empty."""
    kinds = []
    for query in ("", f"?{words.word()}={words.word()}"):
        for path in ("/echo", f"/files/{words.word()}.txt", f"/files/{words.word()}.bin"):
            body = b"" if path.endswith(".bin") else b"\r\n" + words.text(40) + b"\r\n\r\n"
            kinds.append(Kind(path + query, "POST", body=body))
    return kinds


def make_refused(words: Words) -> list[Kind]:
    """Return requests that a server must refuse at these stages, with 404 or 405."""
    body = words.word(30).encode()
    return [
        Kind(f"/{words.word()}"),
        Kind(f"/about/{words.word()}?{words.word()}=1"),
        Kind(f"/files/{words.word()}.txt"),
        Kind("/about", "POST", body=body),
        Kind(f"/echo/{words.word()}", "POST", body=body),
        Kind(f"/{words.word()}", "POST", body=body),
        Kind("/blog", "DELETE"),
        Kind("/search", "PUT", body=body),
    ]


def make_rare(words: Words, server: Server) -> list[Kind]:
    """Return requests with the methods of edge cases: HEAD, OPTIONS, and an unknown one."""
    file = put_file(server, f"{words.word()}.txt", words.text(300))
    heads = "/", f"/echo/{words.word()}", f"{file}?{words.word()}", f"/{words.word()}"
    return [
        *(Kind(path, "HEAD") for path in heads),
        *(Kind(path, "OPTIONS") for path in ("/about", "*")),
        Kind("/", words.word().upper()),
    ]


def expect_each_once(response: Response) -> None:
    """Fail if a field that has one value comes more than once."""
    twice = [name for name in ONE_OF_EACH if len(response.values(name)) > 1]
    expect(
        not twice, f"the response has more than one {' and '.join(twice)} field", "each field once"
    )


def expect_close(client: Client, response: Response) -> None:
    """Fail unless a response says `close`; it need not if the server keeps its connections."""
    if not says_close(response) and not keeps_connection(client):
        expect_option(response, "close")


def keeps_connection(client: Client) -> bool:
    """Return whether the server answers a second request on a connection."""
    with client.connect() as connection:
        try:
            return ask_on(connection, "/").status == ask_on(connection, "/").status
        except (CheckFailed, WireError, BadResponse):
            return False
