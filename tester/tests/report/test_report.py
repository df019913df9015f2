"""Tests of the reports: what people see, column by column, and what programs read."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import STAGES
from tester.report import as_json, as_junit, bytes_view, terminal
from tester.results import (
    CheckResult,
    Failure,
    LadderResult,
    Message,
    Pointer,
    StageResult,
    printable,
)

# --- Sample results -------------------------------------------------------------------------------

REQUEST = b"GET /echo/caf%C3%A9-2f9c HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"
    "Connection: close\r\n\r\ncafé-2f9c"
).encode()
COMMAND = "curl -i -H 'Accept-Language: de-DE,de;q=0.9' 'http://localhost:4221/echo/caf%C3%A9-2f9c'"

LENGTH = CheckResult(
    id="test_07_respond_with_content.py::test_length_counts_bytes",
    stage=7,
    title="`Content-Length` is the number of bytes of the body, not of its characters",
    kind="requirement",
    outcome="failed",
    why="A client reads as many bytes as the length says. One too few, and the last character "
    "is lost; one too many, and it waits forever.",
    hint="Encode the text first, then count: `len(text.encode())` and not `len(text)`.",
    failure=Failure(
        message="Content-Length says 9, but the body has 10 bytes",
        expected="Content-Length: 10",
        got="Content-Length: 9",
        pointer=Pointer(b"Content-Length: 9\r\n", 16),
        exchange=(Message("sent", REQUEST, 0.0), Message("received", ANSWER, 0.01)),
        ending="the server closed the connection",
        command=COMMAND,
        output="listening on port 4221\n\x1b[32mGET /echo/café-2f9c\x1b[0m 200\x07\n",
        kind="field.wrong",
        facts={"field": "Content-Length", "wanted": "10", "came": "9"},
    ),
    seconds=0.012,
)
DECODING = CheckResult(
    id="test_05_extract_the_url_path.py::test_percent",
    stage=5,
    title="`%20` in a path is decoded",
    kind="requirement",
    outcome="failed",
    failure=Failure("the body is `a%20b`, not `a b`, for a request whose path is `/echo/a%20b`"),
)
NOT_RUN = CheckResult(
    id="test_07_respond_with_content.py::test_type",
    stage=7,
    title="Pages are `text/html`",
    kind="requirement",
    outcome="skipped",
    skipped="the server did not answer any more",
)
CHARSET = CheckResult(
    id="test_07_respond_with_content.py::test_charset",
    stage=7,
    title="Text types say `charset=utf-8`",
    kind="edge",
    outcome="failed",
    why="Without it, a browser has to guess.",
    hint="`text/html; charset=utf-8`",
    failure=Failure("Content-Type is text/html, without a charset", "a charset", "text/html"),
)


def passing(number: int, kind: str = "requirement", stage: int = 7) -> CheckResult:
    """Return a test that passed."""
    identity = f"test_{stage:02}.py::test_{kind}_{number}"
    return CheckResult(identity, stage, f"rule {number}", kind, "passed", "because", "do so")


PASSED = (*(passing(n) for n in range(28)), *(passing(n, "edge") for n in range(9)))


def stage_of(*tests: CheckResult, stage: int = 7, **more: object) -> StageResult:
    """Return a stage with these tests."""
    values = {"title": "Respond with Content", "attempt": "server.py", "seed": 12345}
    return StageResult(stage=stage, seconds=0.612, tests=tests, **(values | more))


FAILING = stage_of(*PASSED, LENGTH, DECODING, NOT_RUN, replace(NOT_RUN, id="x"), CHARSET)
STARS_MISSED = stage_of(*PASSED, CHARSET)
BROKEN = stage_of(
    error="the attempt exited before it listened: exit code 1",
    output="  File \"server.py\", line 3\nSyntaxError: \x1b[2J'(' was never closed\n",
)


def ladder_of(*failures: tuple[CheckResult, ...]) -> LadderResult:
    """Return a ladder whose stages have these failures, and a passed test each besides."""
    stages = tuple(
        stage_of(passing(0, stage=n), passing(1, "edge", n), *failed, stage=n, title=f"Title {n}")
        for n, failed in enumerate(failures, 1)
    )
    return LadderResult("server.py", 12345, 4.2, stages)


CLIMBING = ladder_of(
    (replace(LENGTH, stage=1),), *[()] * 5, (LENGTH,), *[(LENGTH,)] * 2, *[(LENGTH, DECODING)] * 9
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests away from them."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "COLORTERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


class Screen(io.StringIO):
    """A stream that says that somebody looks at it."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def render(
    result: StageResult | LadderResult,
    width: int = 80,
    *,
    verbose: bool = False,
    color: bool | None = None,
) -> str:
    """Return the report as text."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        console = terminal.make_console(stream, color)
    printer = terminal.print_ladder if isinstance(result, LadderResult) else terminal.print_stage
    printer(result, console, verbose)
    return stream.getvalue()


def render_pointer(line: bytes, index: int, width: int = 80) -> tuple[str, str]:
    """Return the line of a pointer and the line under it, without their indent."""
    test = replace(LENGTH, failure=Failure("wrong", "right", "wrong", Pointer(line, index)))
    rows = render(stage_of(test), width).split("\n")
    place = next(number for number, row in enumerate(rows) if row.startswith("  in  "))
    return rows[place][12:], rows[place + 1][12:]


# --- Bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\\r\\n\nA: b\\r\\n\n\\r\\n"),
        (b"one\ntwo", "one\\n\ntwo"),
        (b"\r\r\n", "\\r\\r\\n"),
        (b"a\tb\0\x1b[2J\x7f", "a\\tb\\x00\\x1b[2J\\x7f"),
        ("café 日本 👍".encode(), "café 日本 👍"),
        (b"caf\xe9 \xff\xfe", "caf\\xe9 \\xff\\xfe"),
        (b"\xe6\x97", "\\xe6\\x97"),
        ("e\u0301 \u202e \u200b".encode(), "e\\xcc\\x81 \\xe2\\x80\\xae \\xe2\\x80\\x8b"),
        (rb"\r\n", r"\\r\\n"),
    ],
)
def test_every_byte_can_be_seen(data: bytes, text: str) -> None:
    """Line ends break lines, and nothing is invisible or looks like something else."""
    assert bytes_view.visible(data) == text


def test_pieces_cover_all_bytes() -> None:
    """The pieces hold every byte once, in order, and know how wide they are."""
    data = bytes(range(256)) + "é日👍".encode() + b"\xe6\x97"
    pieces = bytes_view.pieces(data)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert pieces[0].start == 0
    assert pieces[-1].stop == len(data)
    assert all(piece.width == cell_len(piece.text) > 0 for piece in pieces)


def test_letters_that_the_output_lacks_are_escaped() -> None:
    """An output in ASCII shows the bytes of what it can't write."""
    assert bytes_view.visible("é日".encode(), "ascii") == r"\xc3\xa9\xe6\x97\xa5"
    assert bytes_view.visible("é日".encode(), "latin-1") == r"é\xe6\x97\xa5"


@pytest.mark.parametrize(
    ("line", "index", "column"),
    [
        (b"HTTP/1.1 ZOO OK\r\n", 9, 9),
        (b"HTTP/1.1 200 OK\n", 15, 15),
        (b"a\r\nb", 3, 5),
        (b"a\tb", 2, 3),
        (b"\x00\xffb", 2, 8),
        ("é: b".encode(), 3, 2),
        ("日本: b".encode(), 6, 4),
        ("日本".encode(), 4, 2),
        ("👍x".encode(), 4, 2),
        (b"short", 5, 5),
        (b"short", 99, 5),
    ],
)
def test_caret_stands_under_the_byte(line: bytes, index: int, column: int) -> None:
    """The column of a byte is right after escapes, tabs, and wide characters."""
    assert bytes_view.column(line, index) == column
    shown, caret = render_pointer(line, index)
    assert shown == bytes_view.visible_line(line)
    assert cell_len(caret.removesuffix(" here")) - 1 == column
    assert caret.strip() == "^ here"


def test_pointer_into_nothing() -> None:
    """Where nothing came there is nothing to point at."""
    assert bytes_view.column(b"", 0) == 0
    failure = Failure("nothing came", "an answer", "", Pointer(b"", 0))
    text = render(stage_of(replace(LENGTH, failure=failure)))
    assert "  got       (nothing)\n" in text
    assert "^" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("index", [0, 1, 10, 500, 2990, 3000, 3004, 3005, 3010, 6006, 6007])
def test_caret_keeps_its_place_in_a_long_line(index: int, width: int) -> None:
    """However long the line, the byte that is meant is shown, and the caret is under it."""
    line = b"a" * 3000 + "é日X".encode() + b"a" * 3000 + b"\n"
    shown, caret = render_pointer(line, index, width)
    column = cell_len(caret[: caret.index("^")])
    assert cell_len(shown) <= width - 12
    assert cell_len(caret) <= width - 12
    assert ("…" in shown) is True
    at = next((n for n in range(len(shown)) if cell_len(shown[:n]) == column), len(shown))
    wanted = {3000: "é", 3004: "日", 3005: "X", 6006: "\\", 6007: ""}.get(index, "a")
    assert shown[at : at + 1] == wanted


@pytest.mark.parametrize("keep", [None, 0, 5000, 9999, 10000])
def test_shortening_keeps_head_end_and_pointer(keep: int | None) -> None:
    """Of long data, the beginning, the end and the place of the pointer stay."""
    spans = bytes_view.kept_spans(10000, 400, keep)
    assert spans[0][0] == 0
    assert spans[-1][1] == 10000
    assert sum(stop - start for start, stop in spans) <= 400
    assert keep is None or any(start <= keep <= stop for start, stop in spans)


def test_shortening_says_how_much_is_left_out() -> None:
    """The note tells the number; short data is left alone; no character is cut in two."""
    assert bytes_view.shorten(b"short\xff", 4096) == "short\\xff"
    assert "\n… 12,345 bytes left out …\n" in bytes_view.shorten(b"a" * (12345 + 4032), 4096)
    text = bytes_view.shorten("日".encode() * 5000, 4096)
    assert "\\x" not in text
    assert text.startswith("日")
    assert text.endswith("日")


def test_text_from_outside_is_made_harmless() -> None:
    """Colours go, other control characters show, tabs become spaces."""
    assert bytes_view.safe_text("\x1b[1;31mred\x1b[0m\r\n\tx") == "red\n    x"
    assert bytes_view.safe_text("\x1b[2J\x07\x9b\u202e\ud800") == r"\x1b[2J\x07\x9b\u202e\ud800"
    assert bytes_view.safe_text("one … “two” é", "ascii") == r'one ... "two" \xe9'


# --- The terminal ---------------------------------------------------------------------------------

AT_80 = r"""
Stage 7: Respond with Content                             server.py   seed 12345
────────────────────────────────────────────────────────────────────────────────

✗ `Content-Length` is the number of bytes of the body, not of its characters
  Content-Length says 9, but the body has 10 bytes

  expected  Content-Length: 10
  got       Content-Length: 9\r\n
                            ^ here

  the tester sent
  │ GET /echo/caf%C3%A9-2f9c HTTP/1.1\r\n
  │ Host: localhost\r\n
  │ \r\n
  your server sent
  │ HTTP/1.1 200 OK\r\n
  │ Content-Type: text/plain\r\n
  │ Content-Length: 9\r\n
  │ Connection: close\r\n
  │ \r\n
  │ café-2f9c
  then: the server closed the connection

  Why:      A client reads as many bytes as the length says. One too few, and
            the last character is lost; one too many, and it waits forever.
  Hint:     Encode the text first, then count: `len(text.encode())` and not
            `len(text)`.

  Try it:
    curl -i -H 'Accept-Language: de-DE,de;q=0.9' 'http://localhost:4221/echo/caf%C3%A9-2f9c'

  The end of what your server printed:
  │ listening on port 4221
  │ GET /echo/café-2f9c 200\x07

Also to fix:
  ✗ (stage 5) `%20` in a path is decoded – the body is `a%20b`, not `a b`, for…
  · 2 not run: the server did not answer any more

Stars you did not get (optional; -v shows why):
  ☆ Text types say `charset=utf-8` – Content-Type is text/html, without a chars…

✗ Stage 7 not passed yet  28/32 requirements  ★ 9/10 edge cases  0.6 s
  fix this and save it, then grade again
"""

EXCHANGE_AT_120 = r"""
  the tester sent                                           │ your server sent
  ──────────────────────────────────────────────────────────┼──────────────────────────────────────────────────────────
  GET /echo/caf%C3%A9-2f9c HTTP/1.1\r\n                     │ HTTP/1.1 200 OK\r\n
  Host: localhost\r\n                                       │ Content-Type: text/plain\r\n
  \r\n                                                      │ Content-Length: 9\r\n
                                                            │ Connection: close\r\n
                                                            │ \r\n
                                                            │ café-2f9c
  then: the server closed the connection
"""


def without_trailing_blanks(text: str) -> str:
    """Return the text without the blanks at the ends of its lines."""
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def test_failing_stage_at_80_columns() -> None:
    """The whole report of a stage that is not passed, character by character."""
    assert without_trailing_blanks(render(FAILING)) == AT_80


def test_failing_stage_at_120_columns() -> None:
    """On a wide page sent and received stand side by side; the rest is as on a narrow one."""
    text = without_trailing_blanks(render(FAILING, 120))
    assert EXCHANGE_AT_120 in text
    assert "Stage 7: Respond with Content" + " " * 69 + "server.py   seed 12345\n" in text
    assert f"    {COMMAND}\n" in text
    assert text.endswith(AT_80[AT_80.index("\n✗ Stage 7 not") :])


HARD = stage_of(
    replace(
        LENGTH,
        title="word " * 60 + "w" * 200,
        why="[bold red]" + "why " * 80,
        failure=replace(
            LENGTH.failure,
            message="日本語" * 60,
            expected="e" * 300,
            got="\x1b]0;title\x07" + "g" * 300,
            ending="ending " * 40,
            output="out " * 200 + "\n" + "日" * 300,
            exchange=(
                Message("sent", b"X-Long: " + "日本語 ".encode() * 2000 + b"\r\n\r\n", 0.0, 2),
                Message("received", bytes(range(256)) * 300, 0.0, 2),
                Message("sent", b"x" * 500, 3.0, 1),
            ),
        ),
    ),
    replace(DECODING, title="[red]" + "t" * 200),
    replace(NOT_RUN, skipped="reason " * 40),
    attempt="/a/very/long/path" * 20 + "/server.py",
    title="Handle Concurrent Connections",
)


@pytest.mark.parametrize("width", [40, 60, 80, 99, 100, 120, 200])
@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("result", [FAILING, STARS_MISSED, BROKEN, CLIMBING, HARD])
def test_no_line_is_wider_than_the_page(
    result: StageResult | LadderResult, verbose: bool, width: int
) -> None:
    """Whatever there is to say, only the command to try may be wider."""
    for line in render(result, width, verbose=verbose).split("\n"):
        assert cell_len(line) <= width or line == f"    {COMMAND}", line


def test_text_is_never_markup_and_never_moves_the_cursor() -> None:
    """Square brackets stay, escape sequences show."""
    text = render(HARD)
    assert "[bold red]why" in text
    assert "[red]ttt" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_colours_only_where_they_are_welcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours: on a terminal, or when asked for. None: in a file, with NO_COLOR, when dumb."""

    def has_codes(stream: io.StringIO, color: bool | None = None) -> bool:
        terminal.print_stage(FAILING, terminal.make_console(stream, color))
        return "\x1b" in stream.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    assert has_codes(Screen())
    assert not has_codes(Screen(), color=False)
    assert not has_codes(io.StringIO())
    assert has_codes(io.StringIO(), color=True)
    monkeypatch.setenv("TERM", "dumb")
    assert not has_codes(Screen())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_codes(Screen())


def test_colours_change_no_letter() -> None:
    """With colours taken away, the report is the same as without."""
    assert re.sub(r"\x1b\[[0-9;]*m", "", render(FAILING, color=True)) == render(FAILING)


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("120", 120), ("0", 80), ("wide", 80)])
def test_width_without_a_terminal(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 80, or what COLUMNS says."""
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.make_console(io.StringIO()).width == width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
@pytest.mark.parametrize("result", [FAILING, STARS_MISSED, BROKEN, CLIMBING, HARD])
def test_outputs_that_lack_letters(result: StageResult | LadderResult, encoding: str) -> None:
    """An output without the signs gets plain ones, keeps to the width, and never fails."""
    raw = io.BytesIO()
    console = terminal.make_console(io.TextIOWrapper(raw, encoding=encoding))
    printer = terminal.print_ladder if isinstance(result, LadderResult) else terminal.print_stage
    printer(result, console)
    console.file.flush()
    lines = raw.getvalue().decode(encoding).split("\n")
    assert all(cell_len(line) <= 80 or line == f"    {COMMAND}" for line in lines)
    assert any(line.startswith(("x ", "+ ", "  x ")) for line in lines)


def test_success_comes_first_and_says_what_is_next() -> None:
    """A stage that lacks stars only is passed, and that is said before anything else."""
    lines = without_trailing_blanks(render(STARS_MISSED)).split("\n")
    assert lines[4] == "✓ Stage 7 passed  28/28 requirements  ★ 9/10 edge cases  0.6 s"
    assert lines[6] == "Stars you can still get (optional; -v shows why):"
    assert lines[7].startswith("  ☆ Text types say `charset=utf-8` – ")
    assert lines[-2] == "  next: python -m tester show 8"
    assert "not passed" not in "".join(lines)


def test_verbose_shows_stars_in_full_between_two_verdicts() -> None:
    """With -v a missed star is explained, and the good news frames it."""
    text = render(STARS_MISSED, verbose=True)
    assert text.count("✓ Stage 7 passed") == 2
    assert "Why:      Without it, a browser has to guess." in text


def test_perfect_stage_is_short() -> None:
    """All is well: a verdict, and what is next."""
    text = without_trailing_blanks(render(stage_of(*PASSED)))
    assert text.endswith(
        "\n\n✓ Stage 7 passed  28/28 requirements  ★ 9/9 edge cases  0.6 s\n"
        "  next: python -m tester show 8\n"
    )


def test_last_stage_has_no_next() -> None:
    """After stage 18 there is nothing to show."""
    text = render(stage_of(passing(1), stage=18))
    assert "show 19" not in text
    assert "you have built an HTTP/1.1 server" in text


def test_verbose_shows_every_failure_in_full() -> None:
    """With -v each failure comes with all there is to say."""
    text = render(FAILING, verbose=True)
    assert text.count("not run: the server did not answer any more") == 2
    assert "a rule of stage 5, which still applies" in text
    assert "Without it, a browser has to guess." in text


def test_failed_requirement_comes_before_one_that_was_not_run() -> None:
    """The cause is shown in full, not what followed from it."""
    text = render(stage_of(NOT_RUN, LENGTH))
    assert text.index("✗ `Content-Length`") < text.index("1 not run")


def test_error_is_shown_with_the_output() -> None:
    """An attempt that can't be graded: why, and what it printed, with nothing hidden in it."""
    text = without_trailing_blanks(render(BROKEN))
    assert "✗ the attempt exited before it listened: exit code 1\n" in text
    assert '  │   File "server.py", line 3\n' in text
    assert "  │ SyntaxError: \\x1b[2J'(' was never closed\n" in text
    assert text.endswith(
        "✗ Stage 7 not passed yet  0.6 s\n  fix this and save it, then grade again\n"
    )


def test_a_line_for_a_failure_has_room_for_rule_and_message() -> None:
    """Where not both fit, the rule is cut first, so that what went wrong can still be read."""
    long = replace(DECODING, title="a rule " * 12 + "to its end.")
    lines = render(stage_of(LENGTH, long)).split("\n")
    (line,) = (line for line in lines if line.startswith("  ✗ (stage 5)"))
    assert line.startswith(
        "  ✗ (stage 5) a rule a rule a rule a rule a rule a… – the body is `a%20b`"
    )
    assert line.endswith("…")


def test_only_the_end_of_a_long_output_is_shown() -> None:
    """Of a long output, the last lines, and how many there were before."""
    text = render(replace(BROKEN, output="\n".join(f"line {n}" for n in range(1000))))
    assert "│ line 999" in text
    assert "│ … 984 lines left out …" in text
    assert "│ line 983\n" not in text


def show_exchange(*messages: Message, width: int = 120, pointer: Pointer | None = None) -> str:
    """Return the report of a failure with this exchange."""
    failure = Failure("wrong", exchange=messages, pointer=pointer)
    return without_trailing_blanks(render(stage_of(replace(LENGTH, failure=failure)), width))


def test_connections_are_told_apart() -> None:
    """With several connections, each turn says whose it is; silence is shown as such."""
    text = show_exchange(
        Message("sent", b"GET /a", 0.0, 1),
        Message("sent", b"GET /b", 0.0, 2),
        Message("received", b"200 b", 0.1, 2),
        Message("sent", b"rest", 2.0, 1),
    )
    turns = re.findall(
        r"── connection \d ──|GET /a|GET /b|200 b|rest|\(nothing\)|\(.* later\)", text
    )
    first, second = "── connection 1 ──", "── connection 2 ──"
    assert turns == [
        *(first, "GET /a"),
        *(second, "GET /b", "200 b"),
        *(first, "(2.0 s later)", "(nothing)", "rest"),
    ]


def test_pauses_are_told_and_packets_joined() -> None:
    """What comes at once is one; what comes later says how much later."""
    text = show_exchange(
        Message("sent", b"GET /stream HTTP/1.1\r\n\r\n", 0.0),
        Message("received", b"HTTP/1.1 2", 0.010),
        Message("received", b"00 OK\r\n\r\n", 0.011),
        Message("received", b"tick 1\n", 0.111),
        width=80,
    )
    assert "│ HTTP/1.1 200 OK\\r\\n\n  │ \\r\\n\n  │ (0.1 s later)\n  │ tick 1\\n\n" in text


@pytest.mark.parametrize("width", [80, 120])
def test_place_of_the_pointer_survives_shortening(width: int) -> None:
    """Of a long answer, the line that is wrong is always shown."""
    lines = [b"X-Number-%d: %d\r\n" % (n, n) for n in range(500)]
    long = b"X-Wrong: " + b"v" * 3000 + b"\x00" + b"v" * 3000 + b"\r\n"
    answer = b"".join([*lines[:250], long, *lines[250:]])
    message = Message("received", answer, 0.0)
    text = show_exchange(message, width=width, pointer=Pointer(long, 3009))
    after = text[text.index("your server sent") :]
    assert "v\\x00v" in after.replace("\n  │ ", "").replace("\n" + " " * 60 + "│ ", "")
    assert "X-Number-0: 0" in after
    assert "X-Number-499: 499" in after
    left_out = [int(n.replace(",", "")) for n in re.findall(r"… ([\d,]+) bytes left", after)]
    assert 0 < sum(left_out) < len(answer)


def test_many_rounds_are_shortened() -> None:
    """Of a hundred requests, the first and the last are shown."""
    messages = [
        Message("sent" if n % 2 == 0 else "received", b"message %d" % n, 0.0) for n in range(200)
    ]
    text = show_exchange(*messages, width=80)
    assert "message 0\n" in text
    assert "message 199\n" in text
    assert "… 92 requests and responses left out …" in text
    assert len(text.split("\n")) < 80


def test_got_is_not_said_twice() -> None:
    """A `got` that repeats the pointer's line gives way to it; then expected stands above it."""
    line = b"HTTP/1.1 ZOO OK\r\n"
    failure = Failure("wrong", r"'HTTP/1.1 200 OK\r\n'", repr(line)[1:], Pointer(line, 9))
    text = without_trailing_blanks(render(stage_of(replace(LENGTH, failure=failure))))
    assert (
        "  expected  HTTP/1.1 200 OK\\r\\n\n"
        "  got       HTTP/1.1 ZOO OK\\r\\n\n"
        "                     ^ here\n"
    ) in text


@pytest.mark.parametrize(
    ("path", "width", "short"),
    [
        ("server.py", 20, "server.py"),
        ("stages/07-respond-with-content/server.py", 30, "…/server.py"),
        ("stages/07-respond-with-content/server.py", 36, "…/07-respond-with-content/server.py"),
        ("a_very_long_name_of_a_server.py", 12, "…a_server.py"),
        ("server.py", 0, ""),
    ],
)
def test_paths_keep_their_end(path: str, width: int, short: str) -> None:
    """The end of a path tells most."""
    assert terminal.shorten_path(path, width) == short


def test_path_under_the_current_folder_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What everybody knows is not said."""
    monkeypatch.chdir(tmp_path)
    assert terminal.shorten_path(str(tmp_path / "a" / "server.py"), 80) == "a/server.py"
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.chdir("/")
    assert terminal.shorten_path(str(tmp_path / "b.py"), 80) == f"~/{tmp_path.name}/b.py"


def test_ladder_has_a_line_for_each_stage() -> None:
    """Eighteen lines, how far it has come, and the first failure of the next stage in full."""
    text = without_trailing_blanks(render(CLIMBING))
    rungs = re.findall(r"^  ([✓✗·]) +(\d+)  (Title \d+) +(\d+)/(\d+) +★ +1/1 *(.*)$", text, re.M)
    assert len(rungs) == 18
    assert rungs[0] == ("·", "1", "Title 1", "1", "2", "outgrown")
    assert rungs[5] == ("✓", "6", "Title 6", "1", "1", "")
    assert rungs[6] == ("✗", "7", "Title 7", "1", "2", "")
    assert rungs[7] == ("·", "8", "Title 8", "1", "2", "needs stage 7")
    assert rungs[17] == ("·", "18", "Title 18", "1", "3", "needs stages 5 and 7")
    assert "\nYou have reached stage 6  4.2 s\n" in text
    assert text.index("You have reached") < text.index("stage 7, Title 7")
    assert text.count("  got       Content-Length: 9") == 1
    assert text.endswith("\nfix this and save it, then grade again\n")


def test_whole_ladder_is_a_feast() -> None:
    """All eighteen: no failure, nothing to fix."""
    text = render(ladder_of((replace(LENGTH, stage=1),), *[()] * 17))
    assert "You have reached stage 18: it is a complete HTTP/1.1 server" in text
    assert "fix this" not in text


def test_ladder_of_an_attempt_that_never_starts_says_so_once() -> None:
    """The same error is not told eighteen times."""
    stages = tuple(replace(BROKEN, stage=n) for n in range(1, 19))
    text = render(LadderResult("server.py", 1, 0.3, stages))
    assert text.count("exited before it listened") == 1
    assert "No stage is passed yet" in text
    assert "fix this and save it, then grade again" in text


def test_ladder_shows_an_error_of_the_next_stage() -> None:
    """An attempt that starts for some stages only: the error comes with the stage."""
    ladder = ladder_of(*[()] * 11)
    broken = tuple(replace(BROKEN, stage=n) for n in range(12, 19))
    text = render(replace(ladder, stages=ladder.stages + broken))
    assert text.count("exited before it listened") == 1
    assert "not graded" in text
    assert "You have reached stage 11" in text


# --- JSON and JUnit -------------------------------------------------------------------------------

STAGE_KEYS = [
    *("stage", "title", "attempt", "passed", "seed", "seconds"),
    *("requirements", "edge_cases", "tests", "error", "looks_like", "network", "sandbox"),
]
TEST_KEYS = [
    *("id", "stage", "title", "kind", "outcome"),
    *("message", "why", "hint", "exchange"),
]
FAILED_KEYS = [
    *("failure", "facts", "expected", "got", "pointer", "ending", "command", "output"),
]


def test_json_of_a_stage_is_as_the_contract_says() -> None:
    """The keys, all of them and no other, and their values."""
    data = as_json.stage_to_dict(FAILING)
    assert list(data) == STAGE_KEYS
    assert [list(test) for test in data["tests"]] == [
        TEST_KEYS + (FAILED_KEYS if test.failure else []) for test in FAILING.tests
    ]
    assert data["passed"] is False
    assert data["requirements"] == {"passed": 28, "total": 32}
    assert data["edge_cases"] == {"passed": 9, "total": 10}
    assert data["seconds"] == 0.612
    assert data["error"] is None
    failed = next(test for test in data["tests"] if test["id"] == LENGTH.id)
    assert failed["exchange"] == [{"sent": REQUEST.decode()}, {"received": ANSWER.decode()}]
    assert failed["message"] == LENGTH.failure.message
    assert (failed["failure"], failed["facts"]) == (LENGTH.failure.kind, LENGTH.failure.facts)
    assert (failed["expected"], failed["got"]) == (LENGTH.failure.expected, LENGTH.failure.got)
    pointer = LENGTH.failure.pointer
    assert failed["pointer"] == {"line": pointer.line.decode(), "index": pointer.index}
    assert failed["ending"] == LENGTH.failure.ending
    assert failed["command"] == LENGTH.failure.command
    assert failed["output"] == printable(LENGTH.failure.output)
    assert (data["network"], data["sandbox"]) == ("host", "none")
    assert (failed["why"], failed["hint"]) == (LENGTH.why, LENGTH.hint)


def test_json_of_tests_that_passed_or_were_not_run() -> None:
    """A passed test has nothing to say; one that was not run says why."""
    passed, skipped = as_json.stage_to_dict(stage_of(passing(1), NOT_RUN))["tests"]
    assert [passed[key] for key in ("message", "why", "hint", "exchange")] == ["", "", "", []]
    assert skipped["outcome"] == "skipped"
    assert skipped["message"] == f"not run: {NOT_RUN.skipped}"


def test_json_keeps_bytes_readable_and_short() -> None:
    """Bytes that are no UTF-8 are escaped, and long messages lose their middle."""
    exchange = (Message("received", b"\xff\x00" + b"a" * 100_000 + b"end"),)
    test = replace(LENGTH, failure=Failure("wrong", exchange=exchange))
    text = as_json.stage_to_dict(stage_of(test))["tests"][0]["exchange"][0]["received"]
    assert text.startswith("\\xff\0a")
    assert text.endswith("end")
    assert "bytes left out" in text
    assert len(text) <= 4096


def test_json_of_a_ladder() -> None:
    """How far, and every stage as it would be by itself."""
    data = as_json.ladder_to_dict(CLIMBING)
    assert list(data) == [
        *("attempt", "reached", "tries", "seed", "seconds", "stages", "network", "sandbox")
    ]
    assert (data["reached"], data["tries"]) == (6, CLIMBING.tries)
    assert [list(stage) for stage in data["stages"]] == [STAGE_KEYS] * 18


@pytest.mark.parametrize(
    ("outcomes", "tries"),
    [
        ({}, 0),
        ({3: "pp", 4: "pf"}, 3),  # Half of them is not more than half.
        ({3: "pp", 5: "ppf", 6: "ff"}, 5),  # It need not have reached the stage.
        ({3: "f", 9: "p", 10: "e"}, 9),  # Stars do not count.
    ],
)
def test_the_stage_that_an_attempt_tries_to_be(outcomes: dict[int, str], tries: int) -> None:
    """The latest of whose own requirements more than half hold."""
    stages = []
    for stage in STAGES:
        tests = [
            CheckResult(
                f"{stage.number}.py::test_{number}",
                stage.number,
                "A rule.",
                "edge" if how == "e" else "requirement",
                "failed" if how == "f" else "passed",
            )
            for number, how in enumerate(outcomes.get(stage.number, "f"))
        ]
        stages.append(StageResult(stage.number, stage.title, "a", 1, 1.0, tuple(tests)))
    assert LadderResult("a", 1, 1.0, tuple(stages)).tries == tries


def test_json_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To a file, or to standard output for `-`."""
    as_json.write_json(FAILING, str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text()) == as_json.stage_to_dict(FAILING)
    as_json.write_json(CLIMBING, "-")
    assert json.loads(capsys.readouterr().out) == as_json.ladder_to_dict(CLIMBING)


def junit(result: StageResult | LadderResult, folder: Path) -> ElementTree.Element:
    """Write a result as JUnit and read it back."""
    as_junit.write_junit(result, str(folder / "junit.xml"))
    return ElementTree.parse(folder / "junit.xml").getroot()


def test_junit_of_a_stage(tmp_path: Path) -> None:
    """Requirements fail, stars are skipped, and the counts are right."""
    (suite,) = junit(FAILING, tmp_path)
    assert suite.get("name") == "Stage 7: Respond with Content"
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "42", "failures": "2", "errors": "0", "skipped": "3"}
    failure = suite.find(f"testcase[@name='{LENGTH.title}']/failure")
    assert failure.get("message") == LENGTH.failure.message
    assert "Content-Length: 9\\r\\n\n" in failure.text
    assert f"Try it: {COMMAND}" in failure.text
    star = suite.find(f"testcase[@name='{CHARSET.title}']/skipped")
    assert star.get("message") == f"edge case: {CHARSET.failure.message}"


@pytest.mark.parametrize(
    ("result", "red"),
    [
        (FAILING, True),
        (STARS_MISSED, False),
        (stage_of(*PASSED), False),
        (BROKEN, True),
        (stage_of(passing(1), NOT_RUN), True),
        (CLIMBING, True),
        (ladder_of((replace(LENGTH, stage=1),), *[()] * 17), False),
    ],
)
def test_junit_is_red_exactly_when_not_passed(
    result: StageResult | LadderResult, red: bool, tmp_path: Path
) -> None:
    """A build that reads the file fails when the grade does, and only then."""
    root = junit(result, tmp_path)
    assert bool(root.findall(".//failure") + root.findall(".//error")) is red


def test_junit_holds_anything(tmp_path: Path) -> None:
    """Control characters, which XML can't hold, are written out."""
    nasty = "\x00\x1b[2J\x9b\u202e\ufffe\ud800 <&\"'> é"
    failure = Failure(
        nasty, nasty, exchange=(Message("received", bytes(range(256))),), output=nasty
    )
    (suite,) = junit(stage_of(replace(LENGTH, title=nasty, failure=failure)), tmp_path)
    written = "\\x00\\x1b[2J\\x9b\\u202e\\ufffe\\ud800 <&\"'> é"
    assert suite.find("testcase").get("name") == written
    assert suite.find("testcase/failure").get("message") == written


def test_junit_of_the_ladder_repeats_no_name(tmp_path: Path) -> None:
    """A rule holds at up to eighteen stages, and stands in the suite of each of them."""
    tests = {}
    for stage in STAGES:
        rules = [
            CheckResult(
                f"{stage.rules.name}::{rule.name}", rule.stage, rule.title, "requirement", "passed"
            )
            for rule in map(read_rule, all_checks().values())
            if rule.stage <= stage.number
        ]
        tests[stage.number] = tuple(rules)
    results = [StageResult(n, "A stage", "a", 1, 1.0, tests[n], error="no") for n in tests]
    root = junit(LadderResult("a", 1, 1.0, tuple(results)), tmp_path)
    names = [case.get("name") for case in root.iter("testcase")]
    assert len(names) > 1000
    assert len(set(names)) == len(names)
