"""Stage 10, Handle Concurrent Connections: nobody waits for a slow client."""

import contextlib
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from psutil import STATUS_ZOMBIE as ZOMBIE

from tester.attempt.family import GONE
from tester.attempt.server import Server
from tester.grading.client import TRIES, Client, ask_on, put_file, repeat_if_slow
from tester.grading.expect import CheckFailed, expect_body, expect_status, fail, says_close
from tester.grading.words import Words
from tester.ladder.rule import edge, waits
from tester.wire.connection import IDLE_TIMEOUT, BadResponse, Connection, WireError
from tester.wire.request import request_bytes
from tester.wire.response import Malformed, ResponseReader

STAGE = 10
SILENT = 5  # Clients that say nothing, or only half of what they want, while another one asks.
CROWD = 50
DOZEN = 12  # This many may be slow at once: a thread pool need not be larger than about 30.
SLOW_PAIR = 0.1  # Seconds: after a pair that took longer, we check whether the server ever rests.
IDLE_CROWD = 200
STEPS = (
    5,
    *[1] * TRIES,
)  # After this many have connected, another client asks; fewer when tried again.
LEAVERS = 40
LONGEST_SILENCE = 10.0  # Seconds: a server that ignores IDLE_TIMEOUT must have hung up by then.
PAIRS = 50  # How often two clients connect at the same moment.
FULL_LINE = 0.9  # Seconds: a client that finds the line full tries again after one second.
MARGIN = 1.0  # Seconds that a busy machine may be late.
STUCK = 3  # Clients that do not read.
FILE = 8 * 1024 * 1024  # Bytes that fit into no buffer.
LONG_ECHO = 60_000  # Bytes that do not fit into a narrow connection's buffers.
ROUNDS = 3  # Of connections. What a server keeps after the first, such as a pool, it may keep.
EACH = 8  # Clients of each of the six kinds in a round.
HELD = ("descriptors", "threads", "processes")
SLOW = 0.1  # Seconds for a part of a round, after which we check whether the server spins.
# This many more after the last round than after the first are a leak. If every client of one kind
# left one behind, it would be 16. Pools and garbage collectors may keep some.
LEAK = 12
LONGEST = 10.0  # Seconds after which no other round begins.
SETTLING = 3.0  # Seconds that a server may take to tidy up.
LOOKS = 5  # The server has settled when nothing has ended in this many looks in a row,
LOOK = 0.01  # with this many seconds between two of them.
WINDOW = 0.1  # Seconds for which the use of the processor is measured.
BUSY = 0.4  # Of one processor's time: a loop that spins uses as much as it can get.
DRIP = 0.1  # Seconds between two bytes: far less than any timeout.
MOMENT = 0.01  # Seconds to see whether anything has come.


def cut_request(word: str) -> tuple[bytes, bytes]:
    """Return a request for `/echo/WORD` in two parts, cut in the middle of the word."""
    data = request_bytes(f"/echo/{word}")
    cut = data.index(word.encode()) + len(word) // 2
    return data[:cut], data[cut:]


@contextlib.contextmanager
def open_many(client: Client, words: Words, count: int, every: int) -> Iterator[list[Connection]]:
    """Open `count` connections, and close them in the end. Check that another client is served.

    Clients wait in line until `accept` takes them. If the line is short, as with `listen(1)`, the
    system makes a client that finds it full wait for a second, and that is not the server's fault.
    So after every `every` connections, and after each one that found the line full, another client
    asks: when it has its response, the line is empty.
    """
    connections: list[Connection] = []
    try:
        while len(connections) < count:
            connections.append(client.connect())
            seconds = connections[-1].seconds
            if len(connections) % every == 0:
                seconds = max(seconds, ask_beside(client, words, connections))
            if seconds > FULL_LINE:
                expect_longer_line(every, seconds)
                every = 1
        yield connections
    finally:
        for connection in connections:
            connection.close()


def expect_longer_line(every: int, seconds: float) -> None:
    """Fail if a client had to wait this many seconds with only one other in line."""
    if every == 1:
        fail(
            f"a client could connect only after {seconds:.1f} s: one other was in line before it",
            "a connection at once",
            f"a connection after {seconds:.1f} s",
            likely="Is the number given to `listen` too small? Leave it out: `listener.listen()`.",
        )


def expect_line_for_two(client: Client, words: Words) -> None:
    """Fail if two clients come at the same moment and one of them has to wait for a second.

    Whether the first is still in line when the second comes is luck, so there are many such pairs.
    One that is late is forgiven: the machine may have slept.
    """
    late = 0
    for _ in range(PAIRS):
        first, second = client.connect_together(2)
        seconds = max(first.seconds, second.seconds)
        late += seconds > FULL_LINE
        if late > 1:
            expect_longer_line(1, seconds)
        first.close()
        client.send_all(second, request_bytes(f"/echo/{words.word()}"))
        second.read_response()  # With its response, the line is empty again.
        second.close()
        if second.seconds > SLOW_PAIR and client.server.spins():
            break  # Each pair makes it slower.


def ask_beside(client: Client, words: Words, waiting: Sequence[Connection]) -> float:
    """Fail unless another client is served while the `waiting` ones are still connected.

    Return how many seconds it took to connect.
    """
    word = words.word(12)
    with client.connect() as asking:
        began = asking.seconds
        client.send_all(asking, request_bytes(f"/echo/{word}"))
        expect_echo(asking, word)
        waited = asking.seconds - began
        if waited > 0.5 * IDLE_TIMEOUT and not still_open(waiting[0]):
            fail(
                "a client was served only after the server had hung up on a silent one before it",
                "a response while silent clients are still connected",
                f"a response after {waited:.1f} s, with {len(waiting)} silent clients so far",
                connection=asking,
                likely="Are clients served one after the other, or too few at a time?",
            )
    return began


def still_open(connection: Connection) -> bool:
    """Return whether the server has neither spoken nor hung up."""
    try:
        connection.receive(0)
    except WireError as error:
        return error.kind == "silent"
    return False


def expect_echo(connection: Connection, word: str, others: Sequence[str] = ()) -> None:
    """Fail unless the next response is this word, and not the word of another client."""
    response = connection.read_response()
    try:
        text = response.body.decode("latin-1")
        if text != word and text in others:
            fail(
                "a client got the response that was meant for another one",
                f"the body {word!r}",
                f"the body {text!r}",
                likely="Do all clients share a variable, such as a global one?",
            )
        expect_status(response, 200)
        expect_body(response, word.encode())
    except CheckFailed as error:
        error.connection = connection
        raise


def go_on(connection: Connection, rest: bytes) -> None:
    """Send the rest of a request. If the server has hung up meanwhile, that is seen later."""
    with contextlib.suppress(WireError):
        connection.send(rest)


def expect_still_served(connection: Connection, word: str, others: Sequence[str] = ()) -> None:
    """Fail unless a client that took its time, and has sent the rest now, gets its response."""
    try:
        expect_echo(connection, word, others)
    except WireError as error:
        if error.kind == "silent":
            raise
        fail(
            "the server hung up on a slow client, and only then served the next one",
            "a response for the next client at once, and one for the slow client when it goes on",
            "a connection that ended before the slow client could go on",
            connection=connection,
            likely="Are clients served one after the other, or too few at a time?",
        )


def expect_others_served(client: Client, words: Words, *, half: bool) -> None:
    """Fail unless a client is served while others say nothing, or `half` of what they want.

    A server that serves one client after the other gets to the last one only after it has hung up
    on those before it. So these must still be served, too, when they go on.
    """

    steps = iter(STEPS)

    def scene() -> None:
        """Let the others wait, ask with another client, and let the others go on."""
        names = [words.word(12) for _ in range(SILENT)]
        client.beside = b""  # They say nothing yet.
        with open_many(client, words, SILENT, next(steps)) as waiting:
            rests = []
            for connection, name in zip(waiting, names, strict=True):
                first, rest = cut_request(name)
                if half:
                    connection.send(first)
                rests.append(rest if half else first + rest)
            client.beside = cut_request(names[0])[0] if half else b""
            ask_beside(client, words, waiting)
            client.beside = None
            for connection, rest in zip(waiting, rests, strict=True):
                go_on(connection, rest)
            for connection, name in zip(waiting, names, strict=True):
                expect_still_served(connection, name, names)

    repeat_if_slow(scene, server=client.server)


def test_silent_clients_hold_nobody_up(client: Client, words: Words) -> None:
    """Clients that connect and say nothing do not hold up anyone else.

    Why: Browsers open connections before they need them, and phones lose their network. While
        `recv` waits for one client, all the others must not have to wait (RFC 9112 section 9.4).
    Hint: `threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()`, and
        no `join()` after it. `target=serve_connection(connection)` calls the function at once, and
        not in a thread.
    """
    expect_others_served(client, words, half=False)


def test_half_a_request_holds_nobody_up(client: Client, words: Words) -> None:
    """Clients that have sent only half a request do not hold up anyone else.

    Why: A request may come in many packets, with any amount of time between them. Until the rest
        arrives, the server must have time for others (RFC 9112 section 9.4).
    Hint: Everything that waits for a client belongs in that client's thread, above all the code
        that reads its head.
    """
    expect_others_served(client, words, half=True)


def test_fifty_clients_at_once(client: Client, words: Words) -> None:
    """50 clients at once each get their own response, in whatever order a dozen of them ask.

    Why: Clients do not wait for each other. The first one to connect may be the last one to say
        what it wants, and what belongs to one must never reach another.
    Hint: Keep what you know about a client in local variables of the function that serves it,
        never in global ones. A fixed number of threads, such as 10, is not enough when a dozen
        clients are slow.
    """

    steps = iter(STEPS)

    def scene() -> None:
        """Let a dozen begin. The last ones finish first, the rest in any order; then 50 at once."""
        names = [words.word(12) for _ in range(CROWD)]
        parts = [cut_request(name) for name in names[:DOZEN]]
        every = next(steps)
        with open_many(client, words, DOZEN, every) as dozen:
            for connection, (first, _) in zip(dozen, parts, strict=True):
                connection.send(first)
            ask_beside(client, words, dozen)
            order = list(reversed(range(DOZEN)))
            for some in (order[:SILENT], words.sample(order[SILENT:], DOZEN - SILENT)):
                for number in some:
                    go_on(dozen[number], parts[number][1])
                for number in some:
                    expect_still_served(dozen[number], names[number], names)
        ask_together(client, names, at_once=every > 1)

    expect_line_for_two(client, words)
    repeat_if_slow(scene, server=client.server)


def ask_together(client: Client, names: Sequence[str], *, at_once: bool) -> None:
    """Let all ask for their names before any reads its response; fail unless each gets its own.

    A server may serve some only when it has finished with others. Without `at_once`, and once the
    line before `accept` was full, each response begins before the next client connects: see
    `open_many`.
    """
    with contextlib.ExitStack() as stack:
        crowd: list[Connection] = []
        for name in names:
            crowd.append(stack.enter_context(client.connect()))
            at_once = at_once and crowd[-1].seconds <= FULL_LINE
            crowd[-1].send(request_bytes(f"/echo/{name}"))
            if not at_once:
                crowd[-1].wait_for_data()
        for connection, name in zip(crowd, names, strict=True):
            expect_still_served(connection, name, names)


@edge
@waits
def test_silent_client_is_cut_off(client: Client, words: Words) -> None:
    """A client that stays silent is cut off after the idle timeout.

    Why: Each connection costs memory and a thread. If silent clients could stay forever, there
        would soon be no room for anyone else (RFC 9112 section 9.5).
    Hint: `connection.settimeout(seconds)` makes `recv` raise TimeoutError. Read the seconds from
        the environment variable IDLE_TIMEOUT. Answer 408, or just close the connection.
    """
    silent, half = client.connect(), client.connect()
    half.send(cut_request(words.word())[0])
    deadline = time.monotonic() + LONGEST_SILENCE + MARGIN
    for connection, who in ((silent, "that said nothing"), (half, "that stopped in mid-request")):
        received = b""
        while piece := wait_for_end(connection, deadline, f"a client {who}"):
            received += piece
        expect_farewell(connection, received)
    client.expect_serving()


@edge
@waits
def test_dripping_client_is_cut_off(client: Client, words: Words) -> None:
    """A client that sends its head one byte at a time, on and on, is cut off too.

    Why: A client that sends a byte now and then is never silent for long, and could hold a thread
        for hours. A few hundred such clients would hold them all. This attack is called Slowloris.
    Hint: Give the head as a whole a deadline. Before the first `recv`, note when time is up
        (`time.monotonic() + seconds`), and give each `recv` only the time that is left.
    """
    dripping = {client.connect(): b""}
    kept = client.connect()
    with contextlib.suppress(WireError, BadResponse, CheckFailed):
        if not says_close(ask_on(kept, "/")):
            dripping[kept] = b""  # It has one response, and waits for the next.
    head = f"GET /echo/{words.word()} HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".encode()
    for connection in dripping:
        connection.send(head)
    deadline = time.monotonic() + LONGEST_SILENCE + MARGIN
    while dripping:
        pause = time.monotonic() + DRIP
        for connection, received in [*dripping.items()]:
            dripping[connection] = drip(connection, words, received)
            if connection.ended:
                expect_farewell(connection, dripping.pop(connection))
            elif time.monotonic() > deadline:
                which = " on a connection that has had a response" if connection is kept else ""
                fail_patience(connection, f"a client that sends a byte now and then{which}")
        time.sleep(max(0.0, pause - time.monotonic()))  # Not a wait: it is what is being tested.
    client.expect_serving()


def drip(connection: Connection, words: Words, received: bytes) -> bytes:
    """Send one more byte of a head, and return all that has come so far."""
    with contextlib.suppress(WireError):  # It has hung up: what it said can still be read.
        connection.send(words.word(1).encode())
    with contextlib.suppress(WireError):  # Nothing has come, or it has hung up: both are fine.
        received += connection.receive(MOMENT, "hanging up")
    return received


def wait_for_end(connection: Connection, deadline: float, who: str) -> bytes:
    """Return what still comes, or b"" at the end. Raises CheckFailed at the deadline."""
    try:
        return connection.receive(deadline - time.monotonic(), "hanging up")
    except WireError as error:
        if error.kind != "silent":
            raise
        fail_patience(connection, who)
        raise


def fail_patience(connection: Connection, who: str) -> None:
    """Raise CheckFailed: the server has waited for this client too long."""
    fail(
        f"after {connection.seconds:.0f} s, {who} was still connected",
        f"the end of the connection: after {IDLE_TIMEOUT} s, as IDLE_TIMEOUT says, or within"
        f" {LONGEST_SILENCE:.0f} s at the latest",
        "a connection that stays open",
        connection=connection,
        likely="Does a `recv` wait forever, or does its time start again with each byte?",
    )


def expect_farewell(connection: Connection, received: bytes) -> None:
    """Fail unless the server said nothing before it hung up, or 408."""
    if not received:
        return
    reader = ResponseReader()
    try:
        reader.feed(received)
        reader.end()
    except Malformed as cause:
        fail(
            f"what came before the end is not a response: {cause.message}",
            "408, or nothing at all",
        )
    if reader.response is None or reader.response.status != 408:
        fail(
            "a client that has not finished its request got a response to it",
            "408 Request Timeout, or nothing at all",
            repr(received[:60])[1:],
            connection=connection,
        )


@edge
def test_idle_connections_do_not_stop_service(client: Client, words: Words) -> None:
    """200 idle connections do not stop service.

    Why: Most connections are idle most of the time: a browser keeps some open to every server that
        it has talked to. A server must have room for many more connections than are busy
        (RFC 9112 section 9.4).
    Hint: One thread for each connection is enough for a few hundred. If you limit their number, set
        the limit above 200.
    """
    allow_open_files(2 * IDLE_CROWD)

    steps = iter(STEPS)

    def scene() -> None:
        """Let the crowd connect, and check that others are served meanwhile."""
        with open_many(client, words, IDLE_CROWD, next(steps)):
            pass

    repeat_if_slow(scene, 0.5 * IDLE_TIMEOUT, client.server)
    client.expect_serving()


def allow_open_files(count: int) -> None:
    """Let this process open at least `count` files and connections, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@edge
def test_survives_clients_that_leave_in_mid_answer(
    client: Client, words: Words, server: Server
) -> None:
    """Clients that leave before they have read their response do not stop the server.

    Why: People close the window before the page is there. `sendall` then raises BrokenPipeError or
        ConnectionResetError. For this client everything is over; for the others nothing has
        happened.
    Hint: Catch OSError around everything that is done for one client. Close the connection in
        `finally`, together with everything else that was opened for it.
    """
    targets = [f"/echo/{words.word(4000)}"]
    if server.with_directory:  # A file that is too large for the network's buffers.
        file = server.public / f"{words.word()}.bin"
        file.write_bytes(bytes(8 * 1024 * 1024))
        targets.append(f"/files/{file.name}")
    for number in range(LEAVERS):
        connection = client.connect()
        connection.send(request_bytes(targets[number % len(targets)]))
        if number % 4 > 1:
            with contextlib.suppress(WireError):
                connection.receive()  # Only the beginning.
        connection.reset()
        if number % 4 == 3:
            client.expect_serving()


@edge
def test_clients_that_do_not_read_hold_nobody_up(
    client: Client, words: Words, server: Server
) -> None:
    """Clients that do not read their response do not hold up anyone else.

    Why: When a client stops reading, the network's buffers fill up, and `sendall` waits for it. If
        the client is a phone that has lost its network, that takes minutes (RFC 9112 section 9.4).
    Hint: Never hold a lock while you send. A lock around a line of the log is fine; a lock around
        `sendall` makes everyone wait for the slowest client.
    """
    if server.with_directory:  # A file that is too large for the network's buffers.
        target = put_file(server, f"{words.word()}.bin", bytes(FILE))
    else:
        target = f"/echo/{words.word(LONG_ECHO)}"
    stuck = [client.connect_narrow() for _ in range(STUCK)]
    try:
        for connection in stuck:
            connection.send(request_bytes(target))
        for connection in stuck:  # Once a response begins, the server is about to send the rest.
            connection.wait_for_data()
        for _ in range(3):
            ask_beside(client, words, stuck)
    finally:
        for connection in stuck:
            connection.reset()


@edge
def test_nothing_leaks(client: Client, words: Words, server: Server) -> None:
    """Clients that have gone leave nothing behind: no thread, no descriptor and no busy loop.

    Why: A server runs for months. What each client leaves behind, a socket, a thread or a file,
        adds up until the system has none left to give.
    Hint: Close each connection in `finally`, whatever happened before. A loop around `recv` must
        end when `recv` returns `b""`. Otherwise it runs on and on at full speed, for nothing.
    """
    began = time.monotonic()
    play_round(client, words)
    first = settle(server)
    for _ in range(ROUNDS - 1):
        if time.monotonic() - began < LONGEST:  # If not, it serves too few at a time.
            play_round(client, words)
    last = settle(server, first)
    for what, before, after in zip(HELD, first, last, strict=True):
        if after - before >= LEAK:
            fail(
                f"{what} were left behind: {after - before} more than after the first round",
                f"about as many {what} as before: {before}",
                f"{after} {what}",
                likely="When a client has gone, is its connection closed, and does its loop end?",
            )
    expect_idle(server)


def play_round(client: Client, words: Words) -> None:
    """Let EACH clients of six kinds get 200, 404 or 400, say nothing, break off, or reset."""
    half = cut_request(words.word(12))[0]
    for data, answered, resets in (
        (request_bytes(f"/echo/{words.word()}"), True, False),
        (request_bytes(f"/{words.word()}"), True, False),
        (f"{words.word()}\r\n\r\n".encode(), True, False),
        (b"", False, False),
        (half, False, False),
        (half, False, True),
    ):
        began = time.monotonic()
        with contextlib.ExitStack() as crowd:
            connections = [crowd.enter_context(client.connect()) for _ in range(EACH)]
            for connection in connections:
                if answered:
                    client.send_all(connection, data)
                elif data:
                    connection.send(data)
            for connection in connections:
                if answered:
                    await_answer(connection)
                elif resets:
                    connection.reset()
        if time.monotonic() - began > SLOW and client.server.spins():  # Slower with each client.
            expect_idle(client.server, SETTLING / 2)


def await_answer(connection: Connection) -> None:
    """Wait for a response: other rules judge what it says. Raises WireError if none comes."""
    try:
        connection.read_response()
    except BadResponse:
        pass
    except WireError as error:
        if error.kind == "silent":
            raise


def settle(server: Server, before: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return how much of each kind in HELD the server has, once no more of it goes away.

    If that is many more than `before`, wait longer: threads may linger, and a garbage collector
    may close what was left open.
    """
    deadline = time.monotonic() + SETTLING
    now, quiet = count_held(server), 0
    while quiet < LOOKS and time.monotonic() < deadline:
        time.sleep(LOOK)  # There is no event to wait for: the server tidies up when it likes.
        now, last = count_held(server), now
        more = any(a - b >= LEAK for a, b in zip(now, before, strict=False))
        ended = any(a < b for a, b in zip(now, last, strict=True))
        quiet = 0 if more or ended else quiet + 1
    return now


def count_held(server: Server) -> tuple[int, ...]:
    """Return how many descriptors, threads and processes the attempt has."""
    descriptors = threads = count = 0
    for process in server.processes():
        with contextlib.suppress(*GONE):
            descriptors += process.num_fds()
            threads += process.num_threads()
            count += 1 + sum(child.status() == ZOMBIE for child in process.children())
    return descriptors, threads, count


def expect_idle(server: Server, seconds: float = SETTLING) -> None:
    """Fail if the server keeps the processor busy although no client is there."""
    deadline = time.monotonic() + seconds
    while (used := measure_use(server)) > BUSY:
        if time.monotonic() > deadline:
            fail(
                f"the server is busy though no client is there: {used:.0%} of a processor's time",
                "a server that sleeps until a client comes",
                f"{used:.0%} of the time of one processor, for {seconds:g} s",
                likely='Does a loop go on when `recv` returns `b""`, or try again and again?',
            )


def measure_use(server: Server) -> float:
    """Return for how much of the time the attempt wants a processor: 1.0 is one thread, always."""
    processes = server.processes()
    began, before = time.monotonic(), sum_times(processes)
    time.sleep(WINDOW)  # Not a wait for anything: it is what is measured.
    return (sum_times(processes) - before) / (time.monotonic() - began)


def sum_times(processes: Sequence[psutil.Process]) -> float:
    """Return for how many seconds they have used a processor, or waited for one, so far.

    On a busy machine, a loop that spins mostly waits for a processor. Where the system does not
    tell how long, count only what was used.
    """
    total = 0.0
    for process in processes:
        tasks = [*Path("/proc", str(process.pid), "task").glob("*/schedstat")]
        with contextlib.suppress(*GONE):
            if not tasks:
                times = process.cpu_times()
                total += times.user + times.system
            for task in tasks:
                used, waited = task.read_text().split()[:2]
                total += (int(used) + int(waited)) / 1e9  # They are in nanoseconds.
    return total
