"""Stage 1, Bind to a Port: the server listens, and accepts one client after another."""

import contextlib
import ipaddress
import time

from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.grading.client import Client
from tester.grading.expect import expect, fail
from tester.ladder.rule import edge, restarts, until, waits
from tester.wire.connection import Connection, WireError
from tester.wire.request import request_bytes

STAGE = 1
CLIENTS = 105  # Connections, one after another.
FEWEST = 20  # Connections that are made in any case, even on a slow machine.
LONG_ENOUGH = 10.0  # Seconds after which no more than FEWEST are made.


def test_accepts_a_connection(client: Client) -> None:
    """The server accepts a TCP connection.

    Why: HTTP runs over TCP. Before a client can ask for anything, it must be able to connect
        (RFC 9110 section 4.2.1, RFC 9112 section 9.1).
    Hint: Create a socket, then call `bind`, `listen` and `accept`, in that order. `accept` returns
        two things: `connection, address = listener.accept()`.
    """
    client.expect_serving()


def test_accepts_again_and_again(client: Client) -> None:
    """The server accepts one connection after another, not only the first.

    Why: A server is there for every client that comes. Each call of `accept` takes one client; the
        next one waits in line until `accept` is called again.
    Hint: Put `accept` into a `while True` loop, and close each connection before you accept the
        next.
    """
    deadline = time.monotonic() + LONG_ENOUGH
    for number in range(CLIENTS):
        if number >= FEWEST and time.monotonic() > deadline:
            break
        client.expect_serving()


@until(1)
@waits
def test_hangs_up_by_itself(client: Client) -> None:
    """The server hangs up by itself, and sends nothing.

    Why: There is nothing to say yet. The side that has finished closes the connection; otherwise
        the client goes on waiting. (Later servers do respond: this rule is only for stage 1.)
    Hint: Call `close()` on the connection that `accept` returned, not on the listening socket.
    """
    rest = client.connect().read_end(1.5)
    expect(
        not rest, f"the server sent {len(rest)} bytes", "no bytes, then the end", repr(rest[:60])
    )


@edge
def test_listens_on_the_loopback_address_only(server: Server) -> None:
    """The server listens on 127.0.0.1 (or ::1), where only this machine can reach it.

    Why: Everybody on your network can reach a server that listens on 0.0.0.0, in a café for
        example.
    Hint: Bind to `("127.0.0.1", port)`. An empty host name means "all addresses".
    """
    bound = server.address.bound
    address = ipaddress.ip_address(bound.partition("%")[0])
    expect(
        (getattr(address, "ipv4_mapped", None) or address).is_loopback,
        f"the server listens on {bound}, which other machines can reach",
        "127.0.0.1",
        bound,
    )


def end_after_request(connection: Connection) -> None:
    """Send a request and read until the connection ends, in whatever way it does."""
    with contextlib.suppress(WireError):
        connection.send(request_bytes("/"))
        connection.read_end()


@edge
@restarts
def test_can_be_restarted_at_once(client: Client, server: Server) -> None:
    """The server can be started again on the same port at once.

    Why: When a server closes a connection, the system remembers it for a minute (TIME_WAIT). During
        that minute it refuses the port to a new socket: "Address already in use".
    Hint: Call `listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)` before `bind`.
    """
    # The server closes first, so the system remembers the port on the server's side. Our side is
    # closed last, when this check is over: then the system forgets it, and the port is free again.
    connection = client.connect()
    try:
        connection.read_end(0.1)
    except WireError:  # It waits for a request first.
        end_after_request(connection)
    try:
        server.restart(same_port=True)
    except StartError as error:
        fail(
            "the server could not be started again on the same port",
            "a server that listens again",
            error.output.splitlines()[-1] if error.output else str(error),
        )
    client.expect_serving()
