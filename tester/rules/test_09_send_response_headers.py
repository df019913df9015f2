"""Stage 9, Send Response Headers: what every answer says about itself."""

import re
import time
from datetime import datetime, timezone

from tester.facts import (
    Client,
    Words,
    expect,
    expect_field,
    expect_length,
    expect_status,
    fail,
)
from tester.response import Response
from tester.suite import edge, until, waits

STAGE = 9
TOLERANCE = 10  # Seconds that the Date may be off.
STANDSTILL = 4.0  # Seconds that it may stay the same: who keeps it for a while saves some work.
LOOK = 0.1  # Seconds between two looks at it.
WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
IMF_FIXDATE = re.compile(
    rf"({'|'.join(WEEKDAYS)}), ([0-3][0-9]) ({'|'.join(MONTHS)}) ([0-9]{{4}})"
    r" ([0-2][0-9]):([0-5][0-9]):([0-6][0-9]) GMT"
)


def answers(client: Client, words: Words) -> list[Response]:
    """Return one answer of each kind: a page, an echo, not found, and a malformed request."""
    return [
        client.ask("/"),
        client.ask(f"/echo/{words.word()}"),
        client.ask(f"/{words.word()}"),
        client.ask_raw(f"{words.word()}\r\nHost: localhost\r\n\r\n".encode()),
    ]


def expect_date(value: str) -> None:
    """Fail unless `value` is the time of now, written as an IMF-fixdate."""
    match = IMF_FIXDATE.fullmatch(value)
    example = "a date like Sun, 06 Nov 1994 08:49:37 GMT"
    expect(match, f"Date is {value!r}: not in the one form that is allowed", example, value)
    weekday, day, month, year, *clock = match.groups()
    numbers = (int(year), MONTHS.index(month) + 1, int(day), *map(int, clock))
    try:
        moment = datetime(*numbers, tzinfo=timezone.utc)
    except ValueError:
        moment = None
    expect(moment, f"Date is {value!r}: there is no such day", example, value)
    expect(
        WEEKDAYS[moment.weekday()] == weekday,
        f"Date is {value!r}: that day was no {weekday}",
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
    """Every answer says in `Date` when it was made, in GMT: errors too.

    Why: Caches work out from it how old an answer is. There is one form for it, always in GMT, so
        that clocks all over the world agree (RFC 9110 sections 6.6.1 and 5.6.7).
    Hint: `email.utils.formatdate(usegmt=True)` writes just this form.
    """
    for response in answers(client, words):
        expect_field(response, "Date", lambda value: True, "the time of the answer")
        expect_date(response.field("Date"))


@waits
def test_date_goes_on(client: Client) -> None:
    """`Date` goes on with the clock.

    Why: A server runs for months. If it makes its `Date` once, when it starts, every answer looks
        as old as the server, and caches throw it away at once (RFC 9110 section 6.6.1).
    Hint: Call `formatdate` where the head of an answer is written, not where the program begins.
    """
    first = client.ask("/")
    expect_field(first, "Date", lambda value: True, "the time of the answer")
    deadline = time.monotonic() + STANDSTILL
    while client.ask("/").field("Date") == first.field("Date"):
        if time.monotonic() > deadline:
            fail(
                f"Date stood still for {STANDSTILL:g} s: {first.field('Date')}",
                "the time of each answer",
                "the same time again and again",
            )
        time.sleep(LOOK)  # Not a wait for the server: it is the clock that must go on.


def test_every_answer_names_the_server(client: Client, words: Words) -> None:
    """Every answer names the program that made it in `Server`: errors too.

    Why: When something is odd, it helps to know who answered: your server, or a proxy before it
        (RFC 9110 section 10.2.4).
    Hint: `Server: my-server`; any name will do.
    """
    for response in answers(client, words):
        expect_field(response, "Server", re.compile(r".*\S.*"), "the name of your program")


def test_every_answer_has_a_length(client: Client, words: Words) -> None:
    """Every answer has a `Content-Length`: errors too.

    Why: An answer without it is only over when the connection is.
    Hint: Let errors go through the same function that sends all other answers.
    """
    for response in answers(client, words):
        expect_length(response, len(response.body))


@until(14)
def test_every_answer_says_close(client: Client, words: Words) -> None:
    """Every answer says `Connection: close`, as the connection ends after it.

    Why: In HTTP/1.1 a connection stays open unless somebody says otherwise. A client that is not
        told sends its next request into a closed door (RFC 9112 section 9.6). From stage 15 on,
        connections do stay open.
    Hint: Add `Connection: close` to the fields that every answer has.
    """
    for response in answers(client, words):
        expect_field(
            response,
            "Connection",
            lambda value: "close" in [option.strip().lower() for option in value.split(",")],
            "close",
        )


@edge
def test_no_field_comes_twice(client: Client, words: Words) -> None:
    """No field comes twice in one answer.

    Why: Two `Content-Length` or two `Date` make an answer ambiguous: which one counts? Clients
        refuse it, or choose differently (RFC 9110 section 5.3).
    Hint: Collect the fields in a dictionary before you write them.
    """
    for response in answers(client, words):
        expect_status(response, 200, 400, 404)
        names = [name.lower() for name, _ in response.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        expect(not twice, f"the field {', '.join(twice)} comes twice", "each field once")
