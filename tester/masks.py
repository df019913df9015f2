"""Hides what depends on the moment: dates, times of day, and measured values.

    hide("Date is 'Tue, 01 Dec 2026 04:05:06 GMT', 7.1 s late")
    ->   "Date is 'Www, # Mmm # #:#:# GMT', # s late"

Two texts that differ only in when, where and how fast they were made are equal afterwards. A date
keeps its form, so that a wrong form can be told from a right one. But the number of its digits is
lost, because a day may have one or two. What is already hidden stays as it is.

Everything that compares the texts of two runs uses this module: the signs of known mistakes, the
outputs of the lessons, the responses of two servers. Each pattern looks at a few dozen characters
at a time, so the time for a text is linear in its length, whatever is in it.
"""

from __future__ import annotations

import re

NAME = re.compile(
    r"(?<![A-Za-z])(?:"
    r"(?P<weekday>(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
    r"|(?P<long_weekday>(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day))"
    r"|(?:Jan|Febr)uary|March|April|June|July|August|(?:Septem|Octo|Novem|Decem)ber"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
    r"|(?<=[\d#][ /-])May|May(?=[ ,/-]{1,2}[\d#])"
    r")(?![A-Za-z])"
)
DAY = r"(?:Www|Weekday)"
NUMBER = r"(?:\d{1,4}|\#)"
CLOCK = rf"{NUMBER}:{NUMBER}(?::{NUMBER}(?:[.,](?:\d{{1,9}}|\#))?)?(?:[ ]?[APx]M\b)?"
ZONE = rf"(?:[ ]?[+-]{NUMBER}(?::{NUMBER})?|[ ][A-Z]{{3,5}}(?![\w/])|Z\b)"
DATE = re.compile(
    "|".join(
        (
            # Tue, 01 Dec 2026 04:05:06 GMT; Tuesday, 01-Dec-26 04:05:06 GMT; 1 Dec; any part of it
            rf"(?:{DAY},?[ ]{{1,2}})?(?<![\w#.]){NUMBER}[ -]Mmm"
            rf"(?:[ ]{CLOCK}{ZONE}?(?:[ ]{NUMBER}(?![:\w]))?"
            rf"|[ -]{NUMBER}(?:,?[ ]{CLOCK}{ZONE}?)?)?",
            # Tue, 01 De: cut off in the month
            rf"{DAY},?[ ]{{1,2}}{NUMBER}[ -]"
            r"(?:[JFMASOND]|Ja|Fe|Ma|Ap|Ju|Au|Se|Oc|No|De)(?=$|['\"])",
            # 01/Dec/2026:04:05:06 +0000, as in a server's log
            rf"(?<![\w#.]){NUMBER}/Mmm/{NUMBER}(?::{CLOCK}{ZONE}?)?",
            # Tue Dec  1 04:05:06 2026, as in C; Tue Dec  1 04:05:06 UTC 2026, as `date` writes it
            rf"(?:{DAY},?[ ])?Mmm[ ]{{1,2}}{NUMBER}(?!:)"
            rf"(?:,?[ ]{CLOCK}{ZONE}?)?(?:,?[ ]{NUMBER}(?![:\w]))?",
            # 2026-12-01T04:05:06Z; 2026-12-01 04:05:06.789+00:00; 2026-12-01
            rf"(?<![\w#.-])(?:\d{{4}}|\#)-(?:\d{{1,2}}|\#)-(?:\d{{1,2}}|\#)(?![\w#-])"
            rf"(?:[ ]{CLOCK}{ZONE}?)?",
            rf"(?<![\w#.-])\d{{4}}-\d{{1,2}}-\d{{1,2}}T{CLOCK}{ZONE}?",
            rf"(?<![\w#.-])\#-\#-\#T{CLOCK}{ZONE}?",
            # 04:05:06
            rf"(?<![\w#.:])(?:\d{{1,2}}|\#):(?:\d\d|\#):(?:\d\d|\#)(?![\w#:]){ZONE}?",
        )
    )
)
CUT_MONTH = re.compile(r"(?<=#[ -])[A-Z][a-z]?$")
DIGITS = re.compile(r"(?:\d+|\#)(?:[.,](?:\d+|\#))?")
OTHER_ZONE = re.compile(r"(?:(?<=:#)|(?<=xM))[ ]?(?:[+-]\#(?::\#)?|(?!GMT)[A-Z]{3,5}\b)")
MEASURED = re.compile(
    r"(?<![\w.#])[+-]?(?:\d{1,9}(?:[.,]\d{1,9})?|\#)"
    r"(?P<unit>[ ]?(?:ms|s|seconds?|minutes?|hours?|MB))(?!\w)"
)
CHANGING = ("date",)
"""Fields whose values differ between two responses without any meaning."""
CHANGING_LINE = re.compile(
    rb"^((?:%s)[ \t]*:)([^\r\n]*)" % "|".join(CHANGING).encode(), re.IGNORECASE | re.MULTILINE
)


def hide(text: str) -> str:
    """Return `text` without dates and without measured values.

    >>> hide("[01/Dec/2026:04:05:06 -0500] after 0.25 s")
    '[#/Mmm/#:#:#:# ZONE] after # s'
    """
    return MEASURED.sub(r"#\g<unit>", hide_dates(text))


def hide_dates(text: str, word: str = "") -> str:
    """Return `text` with each date replaced by its form, or by `word` if that is given."""
    text = NAME.sub(_hide_name, text)
    return DATE.sub(lambda date: word or _form(date[0]), text)


def _hide_name(found: re.Match[str]) -> str:
    """Return the placeholder for the name of a day or of a month."""
    if found["weekday"]:
        return "Weekday" if found["long_weekday"] else "Www"
    return "Mmm"


def _form(date: str) -> str:
    """`"Mmm  1 04:05:06 EST 2026"` -> `"Mmm # #:#:# ZONE #"`: the day may be padded or not."""
    text = DIGITS.sub("#", " ".join(date.split()))
    text = text.replace("AM", "xM").replace("PM", "xM")
    return OTHER_ZONE.sub(" ZONE", CUT_MONTH.sub("", text))


def hide_fields(data: bytes) -> bytes:
    """Return responses in which each byte of the values of CHANGING fields is an x."""
    return CHANGING_LINE.sub(lambda line: line[1] + b"x" * len(line[2]), data)
