"""Stage 2, Read Connection Data: the server reads what the client sends."""

from tester.attempt.server import Server
from tester.grading.client import Client
from tester.grading.expect import expect
from tester.grading.words import Words
from tester.ladder.rule import edge, until, waits
from tester.wire.request import request_bytes

STAGE = 2
PRINT_TIMEOUT = 4.0  # Seconds within which the server must have printed what was sent.


@until(2)
@waits
def test_prints_the_request(client: Client, words: Words, server: Server) -> None:
    """The server prints every request that it receives.

    Why: What a client sends is plain text that you can look at: a line that says what it wants, and
        lines that say more about it (RFC 9112 section 2.1). Later stages do not require this.
    Hint: Call `recv(65536)` on the connection and print what it returns. In languages other than
        Python, make sure that the output is flushed.
    """
    for _ in range(3):
        path, agent = f"/{words.word()}", words.word()
        client.connect().send(request_bytes(path, fields=[("User-Agent", agent)]))
        for what, text in (("request line", f"GET {path} HTTP/1.1"), ("User-Agent", agent)):
            expect(
                server.output.wait_for(text, PRINT_TIMEOUT),
                f"the {what} {text!r} was sent, but is not in what the server printed",
                f"the request in the server's output, with {text!r} in it",
                "the server's output does not contain it",
            )


@until(2)
def test_hangs_up_cleanly_after_the_request(client: Client) -> None:
    """After the request the server hangs up cleanly: the client reads the end, not a reset.

    Why: If a socket is closed while it still holds unread bytes, the system breaks the connection
        off (a reset), and the client may lose what it has not read yet (RFC 9112 section 9.6). From
        stage 3 on, the server responds before it hangs up.
    Hint: Read the request first, then call `close()`.
    """
    connection = client.connect()
    connection.send(request_bytes("/"))
    connection.read_end()


def test_survives_a_client_that_leaves_without_a_word(client: Client) -> None:
    """A client that connects and leaves without sending anything does not stop the server.

    Why: Browsers open connections that they may never use, and port scanners only look. `recv` then
        returns `b""`: that is the end of the connection, neither an error nor a request.
    Hint: If `recv` returns nothing, close the connection and go on to the next client.
    """
    for _ in range(3):
        client.connect().close()
    client.expect_serving()


@edge
@waits
def test_a_client_that_stays_keeps_nobody_waiting(client: Client) -> None:
    """A client that never closes its side does not make the server wait forever.

    Why: A server that hangs up first may wait a moment for the other side, so that nothing is lost.
        But a client may forget to close, and the next one is already there (RFC 9112 section 9.6).
    Hint: Call `connection.settimeout(1)` before you wait for the client to close, and close the
        connection when that second is over.
    """
    first, second = client.connect(), client.connect()
    for connection in (first, second):  # The first one stays while the second one is served.
        client.expect_served(connection)


@edge
def test_survives_bytes_that_are_no_text(client: Client, words: Words) -> None:
    """Bytes that are not UTF-8 do not stop the server.

    Why: A client may send anything, and `decode()` raises an error at the first byte that is not
        UTF-8. One client's nonsense must not end the service for everybody.
    Hint: Decode with `"latin-1"`, which knows every byte, or with `errors="backslashreplace"`.
    """
    with client.connect() as connection:
        connection.send(b"\xff\xfe\x80" + words.data(60) + b"\xc3\r\n\r\n")
    client.expect_serving()


@edge
def test_survives_a_client_that_resets(client: Client) -> None:
    """A client that breaks off the connection (a reset) does not stop the server.

    Why: Programs crash and networks fail. `recv` or `send` then raises ConnectionResetError.
    Hint: Catch OSError around everything that you do with one connection, and go on to the next.
    """
    for data in (b"", b"GET / HT", request_bytes("/")):
        connection = client.connect()
        if data:
            connection.send(data)
        connection.reset()
    client.expect_serving()
