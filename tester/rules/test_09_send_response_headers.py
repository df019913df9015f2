"""Stage 9, Send Response Headers: what every response says about itself."""

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone

from tester.grading.client import Client, list_targets
from tester.grading.expect import (
    CheckFailed,
    about,
    expect,
    expect_length,
    expect_said,
    fail,
    naming,
)
from tester.grading.words import Words
from tester.ladder.rule import edge, until, waits
from tester.results import Pointer
from tester.rules.kinds import expect_close, expect_each_once
from tester.wire.connection import BadResponse, WireError
from tester.wire.response import Response

STAGE = 9
HUGE = 80 * 1024  # Bytes of a target that is too large for every server.
ONE_DIGIT = re.compile(r"(, | [0-9]{4} )([0-9])\b")
TOLERANCE = 10  # Seconds that the Date may be off.
STANDSTILL = 8.0  # Seconds that it may stay the same: a server may reuse it to save work.
LOOK = 0.1  # Seconds between two looks at it.
WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
IMF_FIXDATE = re.compile(
    rf"({'|'.join(WEEKDAYS)}), ([0-3]?[0-9]) ({'|'.join(MONTHS)}) ([0-9]{{4}})"
    r" ([0-2]?[0-9]):([0-5][0-9]):([0-6][0-9]) GMT"
)


def answers(client: Client, words: Words) -> Iterator[tuple[str, Response]]:
    """Yield a response of each kind, with the words that say what it responds to.

    Each path is asked for, some with a query, and a malformed request is sent. Where a path is not
    known yet, its response is one more 404.
    """
    agent = [("User-Agent", words.word())]
    pairs = f"{words.word()}={words.word()}"
    for target in (*list_targets(client), "/search", f"/search?{pairs}", f"/?{pairs}", "/echo/"):
        with naming(f"answering {target!r}"):
            yield repr(target), client.ask(target, fields=agent)
    # Another rule asks whether this one gets a response at all.
    line = f"{words.word()}\r\nHost: localhost\r\n\r\n"
    yield from try_to_ask(client, "a malformed request", line)


def old_answers(client: Client, words: Words) -> Iterator[tuple[str, Response]]:
    """Yield the responses to HTTP/1.0, if there are any: other rules ask for them."""
    for target in ("/", f"/echo/{words.word()}", f"/{words.word()}"):
        yield from try_to_ask(client, f"{target!r} in HTTP/1.0", f"GET {target} HTTP/1.0\r\n\r\n")


def try_to_ask(client: Client, what: str, request: str) -> Iterator[tuple[str, Response]]:
    """Yield the response to a request that need not get one for a stage to be passed."""
    response = None
    with suppress(CheckFailed, WireError, BadResponse):
        response = client.ask_raw(request.encode())
    if response:
        yield what, response


def expect_date(value: str) -> None:
    """Fail unless `value` is the present time, written as an IMF-fixdate."""
    match = IMF_FIXDATE.fullmatch(value)
    example = "a date like Sun, 06 Nov 1994 08:49:37 GMT"
    if match is None:
        fail(f"Date is {value!r}: not in the one form that is allowed", example, value)
    weekday, day, month, year, *clock = match.groups()
    hour, minute, second = map(int, clock)
    try:
        moment = datetime(
            int(year), MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=timezone.utc
        )
    except ValueError:
        fail(f"Date is {value!r}: there is no such day", example, value)
    expect(
        WEEKDAYS[moment.weekday()] == weekday,
        f"Date is {value!r}: that day was not a {weekday}",
        WEEKDAYS[moment.weekday()],
        weekday,
    )
    now = datetime.now(timezone.utc)
    off = (moment - now).total_seconds()
    hours = round(off / 3600)
    is_zone = hours and abs(off - hours * 3600) <= TOLERANCE
    expect(
        abs(off) <= TOLERANCE,
        f"Date is {hours:+} hours off (is it local time instead of GMT?)"
        if is_zone
        else f"Date is {off:+.0f} s off",
        now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        value,
    )


def test_every_answer_has_a_date(client: Client, words: Words) -> None:
    """Every response, even an error, says in `Date` when it was made, in GMT.

    Why: Caches work out from it how old a response is. There is one form for it, always in GMT, so
        that clocks all over the world agree (RFC 9110 sections 6.6.1 and 5.6.7).
    Hint: `email.utils.formatdate(usegmt=True)` writes exactly this form.
    """
    for what, response in answers(client, words):
        with about(what):
            expect_said(response, "Date", "the time of the response")
            for value in response.values("Date"):
                expect_date(value)


@edge
def test_date_has_two_digits_each(client: Client) -> None:
    """Days and hours in `Date` have two digits: `06 Nov` and `08:49:37`, not `6 Nov` and `8:49:37`.

    Why: The form has the same length for every moment, so that programs can read it by position
        (RFC 9110 section 5.6.7). This check sees the fault only where a day or an hour is below 10:
        from the 10th of a month on, between 10:00 and 23:59 GMT, a server that writes one digit
        looks like a correct one. So check your code yourself.
    Hint: `email.utils.formatdate(usegmt=True)` does it. By hand, write `{day:02}` and `{hour:02}`.
    """
    response = client.ask("/")
    expect_said(response, "Date", "the time of the response")
    value = response.field("Date")
    for what, number in ONE_DIGIT.findall(value or ""):
        fail(
            "a day or an hour in Date has one digit, not two",
            f"{what}0{number}",
            f"{what}{number}",
            pointer=Pointer(response.field_line("Date"), 0),
        )


@edge
@waits
def test_date_goes_on(client: Client) -> None:
    """`Date` keeps up with the clock.

    Why: A server runs for months. If it makes its `Date` once, when it starts, every response looks
        as old as the server, and caches throw it away at once (RFC 9110 section 6.6.1).
    Hint: Call `formatdate` where the head of a response is written, not where the program begins.
    """
    first = client.ask("/")
    expect_said(first, "Date", "the time of the response")
    deadline = time.monotonic() + STANDSTILL
    while client.ask("/").field("Date") == first.field("Date"):
        if time.monotonic() > deadline:
            fail(
                f"Date stood still for {STANDSTILL:g} s",
                "the time of each response",
                f"the same time again and again: {first.field('Date')}",
            )
        time.sleep(LOOK)  # This does not wait for the server: the clock must go on.


def test_every_answer_names_the_server(client: Client, words: Words) -> None:
    """Every response, even an error, names the program that made it in `Server`.

    Why: When something is odd, it helps to know where the response comes from: your server, or a
        proxy in front of it (RFC 9110 section 10.2.4).
    Hint: Send `Server: my-server`. Any name will do.
    """
    for what, response in answers(client, words):
        with about(what):
            expect_said(response, "Server", "the name of your program")


def test_every_answer_has_a_length(client: Client, words: Words) -> None:
    """Every response, even an error, has a `Content-Length`.

    Why: A response without it ends only when the connection does.
    Hint: Send errors through the same function as all other responses.
    """
    for what, response in answers(client, words):
        with about(what):
            expect_length(response, len(response.body))


@until(14)
def test_every_answer_says_close(client: Client, words: Words) -> None:
    """Every response says `Connection: close`, unless the server keeps the connection.

    Why: In HTTP/1.1 a connection stays open unless one side says otherwise. A client that is not
        warned sends its next request on a connection that is already closed (RFC 9112 section 9.6).
        A server that does answer a second request on the connection says nothing, or `keep-alive`.
    Hint: Add `Connection: close` to the fields that every response has.
    """
    for what, response in answers(client, words):
        with about(what):
            expect_close(client, response)


@edge
def test_old_clients_get_the_usual_fields(client: Client, words: Words) -> None:
    """A response to HTTP/1.0 has `Date`, `Server` and `Content-Length`, too.

    Why: Old clients, like new ones, need to know where a response ends and how old it is
        (RFC 9110 sections 6.6.1 and 8.6).
    Hint: Let one function write the heads of all responses, whatever the version of the request.
    """
    for what, response in old_answers(client, words):
        with about(what):
            expect_usual_fields(response)


def expect_usual_fields(response: Response) -> None:
    """Fail unless the response says when it was made, by which program, and how long it is."""
    expect_said(response, "Date", "the time of the response")
    expect_said(response, "Server", "the name of your program")
    expect_length(response, len(response.body))


@edge
def test_refusals_bear_the_usual_fields(client: Client, words: Words) -> None:
    """A refusal has `Date`, `Server` and `Content-Length`, too: for no Host, or a target of 80 KB.

    Why: An error that is made in a separate place lacks the fields that all other responses have. A
        person who looks for its cause wants to know which program sent it, and when
        (RFC 9110 section 6.6.1).
    Hint: Let the code that reads requests raise an error, and make the response in one place.
    """
    host = "Host: localhost\r\n"
    for what, request in (
        ("a request without Host", f"GET /{words.word()} HTTP/1.1\r\n\r\n"),
        ("a line without a colon", f"GET / HTTP/1.1\r\n{host}{words.word()}\r\n\r\n"),
        ("the version HTTP/3.0", f"GET / HTTP/3.0\r\n{host}\r\n"),
        ("a target of 80 KB", f"GET /{words.word(HUGE)} HTTP/1.1\r\n{host}\r\n"),
        ("a head of 80 KB", f"GET / HTTP/1.1\r\n{host}X-Long: {words.word(HUGE)}\r\n\r\n"),
    ):
        for _, response in try_to_ask(client, what, request):
            with about(what):
                expect_usual_fields(response)


@edge
def test_no_field_comes_twice(client: Client, words: Words) -> None:
    """No field that has one value appears twice in a response.

    Why: Two `Content-Length` or two `Date` fields make a response ambiguous: which one counts?
        Clients refuse it, or choose differently (RFC 9110 section 5.3). Only lists such as `Vary`,
        and `Set-Cookie`, may come in several lines.
    Hint: Collect the fields in a dictionary before you write them.
    """
    for what, response in itertools.chain(answers(client, words), old_answers(client, words)):
        with about(what):
            expect_each_once(response)
