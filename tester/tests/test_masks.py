"""No sign, mask or kept output depends on the date, the hour, the time zone or measured seconds.

The clock is moved, ours and the attempt's: an attempt is a program of its own, so its source begins
with the same journey. What is measured with `time.monotonic` goes on as ever.
"""

from __future__ import annotations

import email.utils
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from tester.grading.alone import run_alone
from tester.lesson.keep import mask
from tester.masks import hide, hide_dates, hide_fields
from tester.mistakes import MISTAKES, Mistake, source
from tester.mistakes.likeness import PRINTS, load
from tester.mistakes.signs import failure_signs
from tester.results import Failure
from tester.tests.helpers import ROOT, WriteAttempt

MOMENTS = (
    datetime(2027, 2, 3, 4, 5, tzinfo=timezone.utc),  # In New York, it is the day before.
    datetime(2026, 9, 12, 22, 10, tzinfo=timezone.utc),  # In New York, it is summer.
    datetime(2028, 2, 29, tzinfo=timezone.utc),  # Midnight on a leap day.
)
DATE_RULES = ("test_every_answer_has_a_date", "test_date_goes_on")
WAITS_LONG = "Date is made once, when the server starts"
NEW_YORK = timezone(-timedelta(hours=5))
FORMS: dict[str, Callable[[datetime], str]] = {
    "Www, # Mmm # #:#:# GMT": lambda at: email.utils.format_datetime(at, usegmt=True),
    "Www, # Mmm # #:#:# ZONE": lambda at: email.utils.format_datetime(at.astimezone(NEW_YORK)),
    "Weekday, #-Mmm-# #:#:# GMT": lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "Www Mmm # #:#:# #": lambda at: at.ctime(),
    "Www Mmm # #:#:# ZONE #": lambda at: at.strftime("%a %b %e %H:%M:%S EDT %Y"),
    "Www # Mmm #:#:# ZONE #": lambda at: at.strftime("%a %e %b %H:%M:%S UTC %Y"),
    "Www # Mmm # #:#:# xM ZONE": lambda at: at.strftime("%a %d %b %Y %I:%M:%S %p CET"),
    "#-#-#T#:#:#Z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "#-#-#T#:#:# ZONE": lambda at: at.isoformat(),
    "#-#-# #:#:#": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "[#/Mmm/#:#:#:# ZONE]": lambda at: at.strftime("[%d/%b/%Y:%H:%M:%S %z]"),
    "# Mmm #": lambda at: at.strftime("%d %B %Y"),
    "#:#:#": lambda at: at.strftime("%H:%M:%S"),
    "that day was not a Www": lambda at: at.strftime("that day was not a %a"),
    "'Www, # ": lambda at: at.strftime("'%a, %d %b")[:-1],
}
PADDING = re.compile(r"(?<![\d:])0(?=\d)")  # That of days, months and hours.
NAMES = r"\b(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?\b"
MONTHS = (
    r"\b(Jan(uary)?|Feb(ruary)?|March|Mar|Apr(il)?|May \d|\d May|June?|July?|Aug(ust)?"
    r"|Sep(tember)?|Oct(ober)?|Nov(ember)?|Dec(ember)?)\b"
)
MOMENT = re.compile(
    rf"{NAMES}|{MONTHS}|\d:\d\d:\d|\d{{4}}-\d|\b\d+(\.\d+)? ?(ms|s|seconds|minutes|hours|MB)\b"
)
TAMPERED = "import time_machine; time_machine.travel({at}, tick=True).start()\n"
GRADE = (
    "import sys, time_machine; time_machine.travel({at}, tick=True).start();"
    " from tester.commands.main import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.parametrize("form", FORMS)
def test_a_date_leaves_its_form(form: str) -> None:
    """It is the same at any moment, with one digit or two, and when it is hidden twice."""
    for month in range(1, 13):
        at = datetime(2026, month, 1 + 2 * month, 2 * month - 1, 7, 9, tzinfo=timezone.utc)
        for text in (FORMS[form](at), PADDING.sub("", FORMS[form](at))):
            assert hide(text) == form, text
            assert hide(f"a {text}") == f"a {form}", text
            assert hide(form) == form


@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_a_text_made_now_is_as_it_was_made_then(at: datetime) -> None:
    """What Python writes of the clock, in each of the forms, wherever the clock stands."""
    with time_machine.travel(at):
        now = datetime.now(timezone.utc)
        texts = [write(now) for write in FORMS.values()]
        texts += [email.utils.formatdate(usegmt=True), time.strftime("%d/%b/%Y:%H:%M:%S %z")]
    assert [hide(text) for text in texts] == [
        *FORMS,
        "Www, # Mmm # #:#:# GMT",
        "#/Mmm/#:#:#:# ZONE",
    ]
    before = "Date: Sat, 28 Nov 2026 10:11:12 GMT, [28/Nov/2026:10:11:12 +0000] 1.5 s"
    after = f"Date: {texts[0]}, {FORMS['[#/Mmm/#:#:#:# ZONE]'](now)} 12 ms"
    assert mask(before) == mask(after) == "Date: DATE, [DATE] TIME"
    answers = [b"HTTP/1.1 OK\r\ndate: %b\r\n\r\n" % words.encode() for words in (before, after)]
    assert hide_fields(answers[0]).replace(b"x", b"") == hide_fields(answers[1]).replace(b"x", b"")


def test_what_is_no_date_stays() -> None:
    """Addresses, statuses, counts, and words that look like a month or a day."""
    for text in (
        "127.0.0.1:4221, 1.2.3.4, HTTP/1.1 200 OK, 12:30, [::1]:8080, 3/4, 10-20",
        "May the server march on? The second of 2 Sunny days, Marching and Decoding",
        "read 2026 of 4096 bytes, a value of 80 KB, 3 sorts, 5 messages",
    ):
        assert hide(text) == text


def test_what_was_measured_is_hidden() -> None:
    """Its unit stays."""
    assert hide("silent for 5.0 s, 40 ms, +3 s off") == "silent for # s, # ms, # s off"
    assert hide("-5 hours off; it grew by 27 MB") == "# hours off; it grew by # MB"


def test_no_sign_holds_a_moment() -> None:
    """Neither those that are kept, nor those that are read from a failure."""
    kept = [text for _, _, text in json.loads(PRINTS.read_text(encoding="utf-8"))["signs"]]
    assert len(kept) > 2000
    assert [text for text in kept if MOMENT.search(text)] == []
    assert [text for text in kept if hide(text) != text] == []
    for at in MOMENTS:
        date = email.utils.format_datetime(at, usegmt=True)
        failure = Failure(
            f"Date is {date!r}, 7.1 s late", date, f"Date: {date}", ending="after 2 s"
        )
        assert [text for _, text in failure_signs(failure) if MOMENT.search(text)] == []
        assert hide_dates(date, "DATE") == "DATE"


def with_its_clock(which: Mistake, at: datetime) -> str:
    """Return the source of a mistake's server whose clock stands at `at` when it starts."""
    return TAMPERED.format(at=at.timestamp()) + source(which)


@pytest.mark.parametrize(
    ("which", "at"),
    [
        (which, at)
        for which in MISTAKES
        if which.rule in DATE_RULES
        for at in (MOMENTS[:1] if which.title == WAITS_LONG else MOMENTS)
    ],
    ids=lambda value: getattr(value, "title", str(value)),
)
def test_mistakes_about_dates_look_alike_on_any_day(
    which: Mistake, at: datetime, write_attempt: WriteAttempt
) -> None:
    """What their checks say of them is what was learnt on another day."""
    (known,) = [one for one in load().prints if one.title == which.title]
    path = write_attempt(with_its_clock(which, at))
    with time_machine.travel(at):
        failure = run_alone(path, which.stage, which.rule, seed=1)
    assert failure is not None
    assert any(words in failure.message for words in which.words.split(" / "))
    own = {sign[1:] for sign in known.signs if sign[0] == which.rule}
    told = ("says", "exactly", "differs")
    assert {sign for sign in own if sign[0] in told} <= {*failure_signs(failure)}


@pytest.mark.parametrize("at", MOMENTS, ids=str)
@pytest.mark.parametrize(
    "title",
    [
        "Date is the local time, and calls it GMT",
        "What comes after a malformed request is answered",
    ],
)
def test_a_grade_on_any_day_names_the_mistake(
    title: str, at: datetime, write_attempt: WriteAttempt
) -> None:
    """Those whose signs hold dates: in a field, and in bytes that should not have come."""
    (which,) = [one for one in MISTAKES if one.title == title]
    path = write_attempt(with_its_clock(which, at))
    done = subprocess.run(
        [
            *(sys.executable, "-c", GRADE.format(at=at.timestamp())),
            *("grade", "--stage", str(which.stage), "--seed", "4", "--json", "-", str(path)),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,  # Only against hanging for ever.
    )
    assert json.loads(done.stdout)["looks_like"].startswith(f"This looks like: {title}")
