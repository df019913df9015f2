"""The module behind the notebooks: what it starts ends, and what it shows is true."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.manager import KernelManager
from rich.cells import cell_len

from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.grading.client import Client as Asker
from tester.grading.explain import explain
from tester.grading.words import Words
from tester.ladder.stages import STAGES
from tester.ladder.steps import label, read_server, split_docstring
from tester.lesson import (
    LessonError,
    anatomy,
    bars,
    begin,
    bytes_of,
    curl,
    exercises,
    expose,
    grade,
    load,
    mistake,
    panel,
    pictures,
    plot,
    puzzle,
    ribbon,
    scene,
    serving,
    shell,
    slowed,
    start,
    step,
    stop,
    talk,
    timeline,
    verdict,
    views,
)
from tester.lesson.exercises import PUZZLES, Puzzle
from tester.lesson.keep import kernel_environment
from tester.lesson.pictures import Picture
from tester.lesson.steps import LAST as LAST_LINES
from tester.lesson.steps import OUTSIDE, step_hunks
from tester.lesson.talk import Client, Event, Talk
from tester.lesson.views import split_parts
from tester.mistakes import MISTAKES
from tester.mistakes import source as source_of
from tester.results import CheckResult, Failure, Pointer, StageResult
from tester.tests.helpers import processes_in
from tester.wire.connection import WireError

GET = b"GET /echo/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
DEADLINE = 20.0  # Seconds until something must have happened, on a busy machine too.


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    """Stop what a test has started."""
    yield
    stop()


def eventually(condition: object) -> bool:
    """Wait until a function returns something true; return whether it did in time."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


# --- Servers --------------------------------------------------------------------------------------


def test_one_server_at_a_time() -> None:
    """The next one ends the one before, and nothing of that stays on the disk."""
    first = start(6)
    assert talk(GET % b"a").received.endswith(b"a")
    folder = first.folder.parent
    second = start(mistake(7, "counts letters"))
    assert not first.alive and not folder.exists()
    assert second.alive and "with a mistake" in repr(second)
    stop()
    assert not second.alive and "stopped" in repr(second)
    with pytest.raises(LessonError, match="no server is running"):
        talk(b"GET / HTTP/1.1\r\n\r\n")


def test_beside_each_other() -> None:
    """`serving` leaves the one alone that `start` has started."""
    start(6)
    with serving(7) as other:
        assert b"Content-Length: 1" in talk(GET % b"a", server=other).received
        assert b"Content-Length" not in talk(GET % b"a").received
    assert not other.alive


def test_memory_of_a_server() -> None:
    """It grows by what the server keeps, and ends with it."""
    hoard = "import os, socket\n"
    hoard += "listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
    hoard += "connection, kept = listener.accept()[0], b'x' * 30_000_000\n"
    hoard += "connection.sendall(b'done')\nconnection.recv(1)\n"
    server = start(hoard)
    before = server.memory
    assert 1_000_000 < before < 100_000_000
    with scene() as play:
        assert play.client("Anna").wait_for(b"done")
        assert 28_000_000 < server.memory - before < 40_000_000
    stop()
    assert server.memory == 0


def test_all_that_can_be_started(tmp_path: Path) -> None:
    """A path, a text, a slowed stage, a stage with files; and one line for what can't be."""
    path = tmp_path / "own.py"
    path.write_text(read_server(7), encoding="utf-8")
    for what in (path, str(path), read_server(7), slowed(7, 0.01)):
        start(what)
        assert talk(GET % b"a").body == b"a"
    start(12)
    assert talk(b"GET /files/notes.txt HTTP/1.1\r\nHost: a\r\n\r\n").answer.status == 200
    for wrong in (99, "nowhere.py", "print('no server')\n", "1 +\n"):
        with pytest.raises(LessonError) as caught:
            start(wrong)
        assert "\n" not in str(caught.value)
        assert caught.value._render_traceback_() == [f"LessonError: {caught.value}"]


def test_what_a_server_prints_is_waited_for() -> None:
    """Until it is there; but not for ever, nor when the server has come to its end."""
    server = start(2)
    talk(b"GET /cats HTTP/1.1\r\nUser-Agent: a friend\r\n\r\n")
    assert "GET /cats" in server.printed(until="a friend", seconds=DEADLINE)
    began = time.monotonic()
    assert "GET /cats" in server.printed(until="a stranger", seconds=0.2)
    assert 0.2 <= time.monotonic() - began < DEADLINE
    dying = start(mistake(2, "empty recv"))
    with scene() as play:
        play.client("in and out").close()
    began = time.monotonic()
    assert "Error" in dying.printed(until="never", seconds=2 * DEADLINE)
    assert time.monotonic() - began < DEADLINE


def test_slow_is_slow() -> None:
    """An answer of a slowed server takes as long as it was told to."""
    start(slowed(10, 0.3))
    assert talk(GET % b"a").seconds > 0.3


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Return a folder with a short name: that of a socket may not have more than 100 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_nothing_outlives_the_kernel(how: str, tmp_path: Path, sockets: Path) -> None:
    """A server ends when a cell is interrupted, and when the kernel is killed without mercy."""
    environment = kernel_environment(tmp_path)
    manager = KernelManager(transport="ipc", ip=str(sockets / "socket"))  # Ports can be lost.
    manager.start_kernel(env=environment, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive("from tester.lesson import *; server = start(7)", timeout=60)
        servers = processes_in(tmp_path, "server.py")
        assert servers and list(tmp_path.glob("http-tester*"))
        if how == "kill":
            os.kill(manager.provisioner.pid, signal.SIGKILL)
        else:
            client.execute("print('asleep'); import time; time.sleep(60)")
            while "asleep" not in client.get_iopub_msg(timeout=60)["content"].get("text", ""):
                pass
            manager.interrupt_kernel()
        assert eventually(lambda: not processes_in(tmp_path, "server.py"))
        assert eventually(lambda: not list(tmp_path.glob("http-tester*")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert eventually(lambda: not processes_in(tmp_path))


def test_load_gives_functions() -> None:
    """Each stage's, and starts nothing."""
    stage = load(7)
    assert b"Content-Length: 2\r\n" in stage.build_head(stage.Response(body=b"hi"))
    with pytest.raises(LessonError):
        load(0)


def test_mistakes_by_their_words() -> None:
    """Exactly one must fit, else all titles are told."""
    assert mistake(7, "COUNTS LETTERS").rule == "test_length_counts_bytes"
    for words in ("Content-Length", "nonsense"):
        with pytest.raises(LessonError, match="Pages are sent as plain text"):
            mistake(7, words)


@pytest.mark.parametrize(
    "slip",
    [
        lambda: mistake(7, 3),
        lambda: step(7, "build_head"),
        lambda: talk(b"GET / HTTP/1.1\r\n\r\n", server=7),
        lambda: curl(7),
        lambda: verdict(3),
        lambda: expose(b"GET / HTTP/1.1\r\n\r\n", broken=14, right=14),
        lambda: scene().client(7),
        lambda: scene().client("Anna").wait_for("hello", 0.1),
        lambda: timeline(b"GET / HTTP/1.1\r\n\r\n"),
        lambda: bytes_of(b"hi"),
        lambda: bars([1, 2]),
        lambda: bars({"a": "1"}),
        lambda: plot([1, 2], [1, 2]),
        lambda: panel({"right": "HTTP/1.1 200 OK\r\n\r\n"}),
        lambda: panel(b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
)
def test_a_slip_ends_in_one_line(slip: Callable[[], object]) -> None:
    """What is plainly of the wrong kind is named, with an example of what is right."""
    start(2)
    with pytest.raises(LessonError, match="^expected .+; got .+$"):
        slip()


# --- Conversations --------------------------------------------------------------------------------


def test_talk_keeps_all() -> None:
    """Both directions, the answers, the end; on one connection, as many answers as wanted."""
    start(18)
    said = talk(LAST.replace(b"close", b"keep-alive"), LAST, answers=2)
    assert len(said.answers) == 2 and said.sent.count(b"GET") == 2
    assert said.answer.status == 200 and said.body == said.answers[1].body
    said = talk(LAST)
    assert said.closed and said.ending == "the server closed the connection"
    assert [event.kind for event in said.events] == ["connects", "sent", "received", "ended"]
    shown = said._repr_mimebundle_()
    assert "status line" in shown["text/plain"] and "status line" in shown["text/html"]


def test_what_is_no_answer_is_shown_as_well() -> None:
    """Half an answer, silence, a refused connection."""
    program = (
        "import os, socket\n"
        "listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "kept = []\n"
        "while True:\n"
        "    kept.append(listener.accept()[0])\n"
        "    kept[-1].sendall({!r})\n"
    )
    start(program.format(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"))
    said = talk(b"GET / HTTP/1.1\r\n\r\n", seconds=0.3)
    assert not said.answers and "4 bytes are missing" in str(views.bundle(rows(said)))
    assert said.ending == "nothing more came, so the client hung up"
    server = start(7)
    server.stop()
    server._is_stopped = False
    assert "refused" in talk(b"GET / HTTP/1.1\r\n\r\n", server=server).ending


def rows(said: object) -> list[views.Row]:
    """Return the rows that show a conversation."""
    return views.exchange_rows(said.events, said.ending)


def test_a_scene_notes_when_things_come() -> None:
    """An answer bears the time of its arrival, not of the moment when it was read."""
    start(10)
    with scene() as play:
        anna, ben = play.client("Anna"), play.client("Ben")
        ben.send(GET % b"ben")
        assert ben.wait_for(b"ben")
        play.wait(0.2)
        anna.send(GET % b"anna")
        assert anna.receive().endswith(b"anna") and ben.receive().endswith(b"ben")
    at = {(event.client, event.kind): event.seconds for event in play.events}
    assert at["Ben", "received"] < at["Anna", "sent"] - 0.1


def test_answers_to_head_have_no_body() -> None:
    """So the second answer begins where the first head ends."""
    start(18)
    head = LAST.replace(b"GET", b"HEAD").replace(b"close", b"keep-alive")
    said = talk(head, LAST, answers=2)
    assert [bool(answer.body) for answer in said.answers] == [False, True]


@pytest.mark.parametrize(
    "word",
    ["/search?q=1&n=2", "Connection: close", "Anna's phone (2)", "it's $5", r"%{x}\n", "日本", ""],
)
def test_what_curl_was_told_can_be_typed(word: str) -> None:
    """A shell makes the same words of it."""
    assert shlex.split(shell.quote(word)) == [word]


def test_curl_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code is told; where there is no curl, a word instead."""
    start(mistake(7, "counts a line end that is not sent"))
    if shutil.which("curl"):
        assert "exit code is 18: an error" in curl("/echo/a").text
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "not on this machine" in curl("/").text
    assert "not on this machine" in panel({"any": b"HTTP/1.1 204 No Content\r\n\r\n"}).text


# --- Views ----------------------------------------------------------------------------------------

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (ANSWER, ["status line", "field", "empty line: the end of the head", "body, 5 bytes"]),
        (ANSWER + b"!", [*"...", "body, 5 bytes", "left over, 1 byte: belongs to no message"]),
        (ANSWER[:-1], [*"...", "body, 4 bytes: 1 byte is missing"]),
        (ANSWER * 2, [*"...", "body, 5 bytes", *"...", "body, 5 bytes"]),
        (ANSWER.replace(b"Content-Length: 5", b"X:"), [*"...", "body, 5 bytes"]),
        (b"GET / HTTP/1.1\r\n\r\n" * 2, ["request line", ".", "request line", "."]),
        (
            b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n",
            [*"...", "body, 0 bytes: 5 bytes are missing"][:3],
        ),
        (
            b"GET / HTTP/1.1\r\nno colon\r\n: no name\r\nHost : a\r\n b: c\r\nX-~1:d:e\r\n\r\n",
            [
                *("request line", "not a field: it has no colon"),
                *(["not a field: its name is not allowed"] * 3),
                *("field", "empty line: the end of the head"),
            ],
        ),
        (b"hello", ["not HTTP"]),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nA: b\r\n\r\n",
            [
                *("...", "...", "...", "chunk size: 2", "chunk, 2 bytes", "end of the chunk"),
                *("last chunk (size 0)", "trailer field", "empty line: the end"),
            ],
        ),
    ],
    ids="answer surplus short two to-the-end requests 304 no-fields text chunks".split(),
)
def test_parts_have_their_names(data: bytes, names: list[str]) -> None:
    """A dot stands for any name."""
    found = [part.name for part in split_parts(data)]
    assert len(found) == len(names)
    for name, expected in zip(found, names, strict=True):
        assert expected in (".", "...") or name == expected


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("é".encode(), "é"),
        (b"\xa9\xc3\xa9\xc3", "\\xa9é\\xc3"),  # A piece of a longer text
        (b"\x1f\x8b\xc3\xa9", "\\x1f\\x8b\\xc3\\xa9"),  # Packed: what looks like é is chance.
    ],
)
def test_only_text_is_shown_as_letters(body: bytes, shown: str) -> None:
    """A body is text as a whole, or it is not."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert f"│ {shown}  " in anatomy(head + body).text


FRAGMENTS = (
    *(b"HTTP/1.1 200 OK\r\n", b"GET / HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"\r\n", b"\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n", b"hello", b"\xff", b"\r", b"X y"),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join))
def test_parts_cover_all_bytes(data: bytes) -> None:
    """Whatever comes: each byte is in one part, in order, and it can be shown."""
    parts = split_parts(data)
    edges = [part.start for part in parts] + [len(data)]
    assert edges[0] == 0
    assert all(part.stop == after for part, after in zip(parts, edges[1:], strict=True))
    assert anatomy(data).text is not None


def test_only_bytes_have_an_anatomy() -> None:
    """Anything else is told in a line."""
    for wrong in ("GET / HTTP/1.1", 7, None):
        with pytest.raises(LessonError, match='^anatomy shows bytes, such as b"GET'):
            anatomy(wrong)


def test_html_is_safe_and_reads_without_styles() -> None:
    """What a server sends is never run in the notebook."""
    shown = anatomy(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<script>\\").html
    assert "<script>" not in shown
    bare = re.sub(r"<[^>]+>", "", shown)
    assert "&lt;script&gt;\\\\" in bare and "body, 9 bytes" in bare


def luminance(colour: str) -> float:
    """Return how bright a colour is, from 0 to 1, as WCAG 2 says."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(share * p for share, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


COLOUR_NAMES = ("BLUE", "GREEN", "ORANGE", "RED", "VIOLET", "TEAL", "PINK", "GREY")
PAGES = (
    *(("#212121", page) for page in ("#ffffff", "#f5f5f5")),  # JupyterLab, light: page, and tables
    *(("#ffffff", page) for page in ("#111111", "#212121")),  # the same, dark
    ("#1f2328", "#ffffff"),  # GitHub, light
    ("#e6edf3", "#0d1117"),  # GitHub, dark
    ("#cccccc", "#1e1e1e"),  # Visual Studio Code, dark
)
"""The colours of the text and of the ground, where lessons are read."""


def contrast(one: str, other: str) -> float:
    """Return how well one colour can be read on another, from 1 to 21, as WCAG 2 says."""
    dark, bright = sorted(map(luminance, (one, other)))
    return (bright + 0.05) / (dark + 0.05)


def mix(one: str, other: str, share: float) -> str:
    """Return a colour between two: so much of the first."""
    pairs = [(int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


@pytest.mark.parametrize("name", COLOUR_NAMES)
def test_colours_can_be_read_on_light_and_dark(name: str) -> None:
    """With a contrast of 4.5 and more, as WCAG AA asks for; a picture has a ground of its own."""
    share = re.search(r"(\d+)%,currentcolor", views.ink(getattr(views, name)))
    assert share
    for text, page in PAGES:
        mixed = mix(getattr(views, name), text, int(share[1]) / 100)
        assert contrast(mixed, page) >= 4.5, (text, page)
    drawn = getattr(pictures, name)
    assert contrast(drawn, pictures.CARD) >= 4.5
    assert contrast(drawn, mix(drawn, pictures.CARD, pictures.TINT)) >= 4.5
    assert contrast(drawn, "#ffffff") >= 4.5


def test_line_ends_have_a_colour_of_their_own() -> None:
    """A backslash that the server sent, before an r, is none."""
    shown = anatomy(b"GET /\\r HTTP/1.1\r\nA: b\r\n\r\n").html
    style = views.COLOURS["line end"]
    assert shown.count(f'<span style="{style}">\\r\\n</span>') == 3
    assert "/\\\\r HTTP" in shown


# --- Pictures -------------------------------------------------------------------------------------


def texts(picture: Picture) -> str:
    """Return the words in a drawing, which has to be well-formed."""
    root = ElementTree.fromstring(picture.svg)
    return " | ".join(
        filter(None, (each.text for each in root.iter() if each.tag.endswith("text")))
    )


def test_pictures_show_what_they_are_given() -> None:
    """Names and figures; `&` and `<` do no harm."""
    assert "6 ✓" in texts(ribbon(7)) and "7 ✓" not in texts(ribbon(7))
    assert "18" in texts(ribbon()) and "✓" not in texts(ribbon())
    assert "1.5 s" in texts(bars({"a & b": 1.5, "<c>": 0.25}, "s", "Title"))
    drawn = texts(plot([1, 2, 4], {"one": [0.1, 0.2, 0.4]}, x="clients", y="s", title="T"))
    assert "clients" in drawn and "one" in drawn
    assert "3 bytes" in texts(bytes_of("hé")) and "c3" in texts(bytes_of("hé"))
    assert {"\\r", "\\n", "␣", "·"} <= set(texts(bytes_of("\r\n \x7f")).split(" | "))
    for wrong in (lambda: ribbon(19), lambda: bars({}), lambda: plot([1, 2], {"a": [1]})):
        with pytest.raises(LessonError):
            wrong()


def test_a_timeline_has_a_lane_for_each() -> None:
    """One client, two on either side of the server, or more."""
    start(10)
    for number in (1, 2, 3):
        with scene() as play:
            clients = [play.client(f"client {each}") for each in range(number)]
            for client in clients:
                client.send(GET % b"%26%3C")
            assert all(client.receive() for client in clients)
        words = texts(timeline(play, "Title"))
        assert words.count("connects") == number and "client 0" in words and "server" in words
        assert "GET /echo/%26%3C HTTP/1.1" in words


def a_talk(*events: tuple[object, ...]) -> Talk:
    """Return a conversation as it may have been."""
    made = object.__new__(Talk)
    made.events = [Event(*each) for each in events]
    return made


def test_each_message_has_an_arrow() -> None:
    """Also where several came at once, or one came in pieces; a long first line stays whole."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
    path = b"a-path-that-is-rather-long"
    drawn = timeline(
        a_talk(
            (0.1, "Anna", "connects"),
            (0.2, "Anna", "sent", GET % path + GET % b"two" + b"GET /thr"),
            (0.3, "Anna", "sent", b"ee HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            (0.4, "Anna", "received", answer * 2 + answer[:-1]),
            (0.5, "Anna", "received", answer[-1:]),
            (0.6, "Anna", "ended", b"", "closed"),
        )
    )
    words = texts(drawn)
    assert "GET /echo/a-path-that-is-rather-long HTTP/1.1 · " in words and "…" not in words
    assert words.count("200 OK · 41 bytes") == 2 and "200 OK · 40 bytes" in words
    assert "GET /thr · 8 bytes" in words and "ee HTTP/1.1\\r\\nHost: loc" in words
    assert "e · 1 byte |" in words
    assert drawn.svg.count("<path") == 10


def test_a_lane_ends_with_its_client() -> None:
    """And the server's goes on; what is too much is counted."""
    ended = (0.2, "Anna", "ended", b"", "left")
    later = [(0.3 + at / 100, "Ben", "sent", b"x") for at in range(50)]
    drawn = timeline(a_talk((0.1, "Anna", "connects"), ended, *later))
    assert "… and 12 more" in texts(drawn)
    lanes = re.findall(r'x1="([\d.]+)" y1="[\d.]+" x2="\1" y2="([\d.]+)"', drawn.svg)
    lowest: dict[str, float] = {}
    for x, y in lanes:
        lowest[x] = max(lowest.get(x, 0), float(y))
    anna, server, ben = (lowest[x] for x in sorted(lowest, key=float))
    assert anna < 150 < 1000 < ben == server


def test_figures_of_an_axis_do_not_overlap() -> None:
    """So some are left out, but never the last."""
    drawn = texts(plot([1000, 1010, 1020, 9000], {"a name that is quite long": [1, 2, 3, 4]}))
    assert "1,020" in drawn and "9,000" in drawn and "1,010" not in drawn
    assert "a name that is quite long: 4" in drawn


# --- The step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, len(STAGES) + 1))
def test_hunks_hold_all_changes(number: int) -> None:
    """What all hunks add and remove is what the stage adds and removes, blank lines aside."""
    older, newer = (
        split_docstring(read_server(each), label(each))[1].splitlines() if each else []
        for each in (number - 1, number)
    )
    lines = [line for hunk in step_hunks(number) for line in hunk.lines]
    added = [line[1:] for line in lines if line[0] == "+" and line[1:].strip()]
    removed = [line[1:] for line in lines if line[0] == "-" and line[1:].strip()]
    kept = [line for line in older if line.strip()]
    matcher = difflib.SequenceMatcher(None, older, newer, autojunk=False)
    codes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    assert added == [line for c in codes for line in newer[c[3] : c[4]] if line.strip()]
    assert removed == [line for c in codes for line in older[c[1] : c[2]] if line.strip()]
    assert len(kept) - len(removed) + len(added) == sum(bool(line.strip()) for line in newer)


def test_the_first_stage_has_a_hunk_for_each_function() -> None:
    """All of it is new, and nobody wants one reason for a whole program."""
    places = [hunk.place for hunk in step_hunks(1)]
    assert len(set(places)) == len(places) >= 5
    assert places[0] == OUTSIDE and places[-1] == LAST_LINES and "open_listener" in places
    shown = step(1, {place: f"reason {at}" for at, place in enumerate(places)})
    assert "<strong>At the end of the file.</strong> reason" in shown.html


def test_a_hunk_tells_where_it_stands() -> None:
    """Under which banner, in which functions, and whether these are new."""
    places = [hunk.where for hunk in step_hunks(2)]
    assert places[:3] == [
        "at the top of the file",
        "under *Settings*",
        "under *Requests*, new: `receive`, `read_head`",
    ]
    assert places[-1] == "under *Connections*, in `serve_connection`"
    assert "Under <em>Settings</em>." in step(2, {h.place: "why" for h in step_hunks(2)}).html
    assert (
        step_hunks(2)[-2].lines[-1] == " def serve_connection(connection: socket.socket) -> None:"
    )


def test_every_hunk_needs_a_reason() -> None:
    """And every reason a hunk, so that no lesson falls behind its server."""
    reasons = {hunk.place: f"reason {at}" for at, hunk in enumerate(step_hunks(7))}
    shown = step(7, reasons)
    assert all(why in shown.text and why in shown.html for why in reasons.values())
    with pytest.raises(LessonError, match="no reason for the change in build_head"):
        step(7, {place: why for place, why in reasons.items() if place != "build_head"})
    with pytest.raises(LessonError, match="no change contains 'nonsense'"):
        step(7, reasons | {"nonsense": "?"})


# --- Exercises ------------------------------------------------------------------------------------


def test_expose_says_nothing_to_a_server_that_does_not_read() -> None:
    """At stage 1, a request would be met by a reset, or by a plain end, as chance has it."""
    greets = mistake(1, "greets the client")

    def listen(connect: Callable[[], Client]) -> bytes:
        """Return what comes unasked."""
        client = connect()
        client.wait_end()
        return client.received

    assert all(expose(listen, broken=greets, right=1).exposed for _ in range(5))


def test_expose_tells_servers_apart() -> None:
    """A request that both answer alike exposes nothing, nor does one that the right one refuses."""
    letters = mistake(7, "counts letters")
    assert expose(GET % b"%C3%A9", broken=letters, right=7).exposed
    assert not expose(GET % b"e", broken=letters, right=7).exposed
    assert expose([b"GET /echo/", b"%C3%A9 HTTP/1.1\r\n\r\n"], broken=letters, right=7) is not None
    with pytest.raises(LessonError, match="as bytes"):
        expose("GET / HTTP/1.1\r\n\r\n", broken=letters, right=7)


def test_expose_takes_a_conversation() -> None:
    """Several clients; what the function returns is compared, and nothing is no answer."""
    shared = mistake(10, "share one buffer")

    def mixed(connect: object) -> bytes:
        """Let one begin, and another one ask."""
        anna = connect()
        anna.send(b"GET /echo/an")
        anna.wait_end(0.5)
        ben = connect()
        ben.send(GET % b"ben")
        return ben.receive()

    assert expose(mixed, broken=shared, right=10).exposed
    nothing = expose(lambda connect: connect().receive(0.1), broken=shared, right=10)
    assert not nothing.exposed and "did not respond" in nothing.text


@pytest.mark.parametrize(
    "talk",
    [
        lambda connect: connect().receive(0.5),
        lambda connect: connect().wait_for(b"H", 0.5),
    ],
)
def test_expose_takes_a_silence_for_an_answer(talk: Callable[..., object]) -> None:
    """A function may show that the right server says nothing where the broken one does."""
    assert expose(talk, broken=puzzle(3), right=3).exposed


def answer_at(second: int, body: bytes = b"hi") -> bytes:
    """Return an answer made in this second, as one that is whole."""
    date = b"Date: Fri, 28 Nov 2025 11:21:%02d GMT\r\n" % second
    return b"HTTP/1.1 200 OK\r\n" + date + b"Content-Length: %d\r\n\r\n" % len(body) + body


ENDED = "\n■ the server closed the connection".encode()
HEAD_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nDate: %d\r\n\r\n"


@pytest.mark.parametrize(
    "result",
    [
        answer_at,
        lambda second: answer_at(second) + ENDED,
        lambda second: answer_at(second) + answer_at(second, b"more") + ENDED,
        lambda second: b"HTTP/1.1 100 Continue\r\n\r\n" + answer_at(second),
        lambda second: answer_at(second) + answer_at(second)[:-1] + ENDED,
        lambda second: answer_at(second)[:48] + ENDED,
        lambda second: answer_at(second) + b"left over",
        lambda second: b"HTTP/1.1 OK\r\ndate:%d\r\n\r\n" % second,
        lambda second: HEAD_ANSWER % second + ENDED,
        lambda second: HEAD_ANSWER % second + answer_at(second) + ENDED,
        lambda second: (answer_at(second), [answer_at(second), 3], None),
        lambda second: {"anna": answer_at(second), "ben": answer_at(second).decode()},
    ],
)
def test_the_same_answers_a_second_apart_are_equal(result: Callable[[int], object]) -> None:
    """Whatever a conversation returns, the clock alone exposes no server."""
    one, other = result(10), result(11)
    assert one != other and exercises._essence(one) == exercises._essence(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (answer_at(10), answer_at(10, b"ho")),
        (answer_at(10) * 2, answer_at(10)),
        (answer_at(10) * 2, answer_at(10) + answer_at(10, b"ho")),
        (answer_at(10, b"Date: 1\r\n"), answer_at(10, b"Date: 2\r\n")),
        (answer_at(10), answer_at(10) + ENDED),
        (answer_at(10) + b"?", answer_at(10) + b"!"),
        ((answer_at(10), b""), (b"", answer_at(10))),
        ({"anna": answer_at(10)}, {"anna": answer_at(10, b"ho")}),
    ],
)
def test_what_counts_makes_a_difference(one: object, other: object) -> None:
    """All but the clock does."""
    assert exercises._essence(one) != exercises._essence(other)


def test_expose_says_what_is_wrong_with_a_function() -> None:
    """It returns nothing, takes nothing, or breaks off: each is told in a line."""
    shared = mistake(10, "share one buffer")

    def forgets(connect: object) -> None:
        """Ask, and keep the answer for itself."""
        connect().send(LAST)

    def misspells(connect: object) -> bytes:
        """Call what a client does not have."""
        return connect().sendall(LAST)

    nothing = expose(forgets, broken=shared, right=10)
    assert not nothing.exposed
    assert nothing.text == ("✗ Not yet\nYour function returned nothing: is there a `return` in it?")
    with pytest.raises(LessonError, match=r"def my_conversation\(connect\)"):
        expose(lambda: b"", broken=shared, right=10)
    words = r"failed at `return connect\(\)\.sendall\(LAST\)`: AttributeError: .*sendall"
    with pytest.raises(LessonError, match=words):
        expose(misspells, broken=shared, right=10)
    with pytest.raises(LessonError, match="^only bytes can be sent"):
        expose(lambda connect: connect().send("GET /"), broken=shared, right=10)
    silent = expose(lambda connect: (connect().receive(0.1), b""), broken=shared, right=10)
    assert not silent.exposed and "did not respond" in silent.text
    client = expose(lambda connect: connect(), broken=shared, right=10)
    assert not client.exposed and "did not respond" in client.text


@pytest.mark.parametrize("number", [0, 19, -1, "x", "7", 2.5, None])
def test_what_is_no_stage_is_told_in_a_line(number: object) -> None:
    """By everything that takes the number of a stage."""
    calls = [grade, load, puzzle, lambda stage: mistake(stage, "x"), lambda stage: slowed(stage, 1)]
    calls.append(lambda stage: step(stage, {}))
    if number != 0:
        calls.append(ribbon)
    if isinstance(number, int):  # Anything else is the path of a program.
        calls.append(start)
    for call in calls:
        with pytest.raises(LessonError, match=f"no stage {number!r}: write a number from 1 to 18"):
            call(number)


@pytest.mark.parametrize("stage", [stage.number for stage in STAGES])
def test_a_puzzle_does_not_tell_its_answer(stage: int) -> None:
    """Neither in what a cell shows of it, nor in the lesson; and a server can be made of it."""
    broken = puzzle(stage)
    assert broken in [Puzzle(**vars(one)) for one in MISTAKES] and source_of(broken)
    assert broken.title not in repr(broken) and broken.rule not in repr(broken)
    lesson = STAGES[stage - 1].lesson.read_text(encoding="utf-8")
    assert f"puzzle({stage})" in lesson
    assert PUZZLES[stage].lower() not in lesson.lower()


def test_expose_sees_a_server_die() -> None:
    """One that does not survive has given itself away, also where no answer is expected yet."""
    strict = mistake(2, "decoded as UTF-8")
    assert expose(b"GET /\xff HTTP/1.1\r\n\r\n", broken=strict, right=2).exposed
    assert not expose(b"GET / HTTP/1.1\r\n\r\n", broken=strict, right=2).exposed


def test_verdict_is_what_the_tester_says() -> None:
    """With the check's own name, its why and its hint."""
    shown = verdict(mistake(7, "counts letters"))
    assert shown.text.startswith("✗ length counts bytes\n") and "Hint: `body" in shown.text


def test_the_panel_shows_who_is_strict() -> None:
    """Ours refuses what curl lets pass."""
    shown = panel({"right": ANSWER, "surplus": ANSWER + b"\r\n", "short": ANSWER[:-2]}).text
    right, surplus, short = (
        dict(re.findall(r"([\w. ]+): ([^;]+)", line.partition("| ")[2]))
        for line in shown.splitlines()
    )
    assert all("hello" in words for words in right.values() if "not on" not in words)
    assert "2 extra bytes" in surplus[" our tester"] and "hello" in surplus[" http.client"]
    assert all(words.startswith("refuses") for words in short.values() if "not on" not in words)


def test_begin_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes a file that Python can run, once."""
    monkeypatch.chdir(tmp_path)
    assert "created" in begin().text
    file = tmp_path / "my_server.py"
    compile(file.read_text(encoding="utf-8"), "my_server.py", "exec")
    file.write_text("mine", encoding="utf-8")
    assert "exists already" in begin().text
    assert file.read_text(encoding="utf-8") == "mine"


CRASHES = read_server(7).replace("def echo_path(", "def echo_path(request):\n    1 / 0\n\ndef old(")


DIES = """\
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection = listener.accept()[0]
    head = connection.recv(65536)
    if b"HTTP/9.9" in head:
        os._exit(3)
    body = head.split()[1].rpartition(b"/")[2] if head.startswith(b"GET /echo") else b""
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    connection.close()
"""


def test_what_killed_the_server_is_what_can_be_tried(tmp_path: Path) -> None:
    """Not the harmless request of a client that was in the line when the server died."""
    path = tmp_path / "server.py"
    path.write_text(DIES, encoding="utf-8")
    with Server(locate(str(path))) as server:
        client = Asker(server, Words("1"))
        client.ask("/echo/before")
        killer, harmless = client.connect(), client.connect()
        killer.send(b"GET /fatal HTTP/9.9\r\nHost: localhost\r\n\r\n")
        with pytest.raises(WireError) as error:
            harmless.send(GET % b"harmless")
            harmless.read_response()
        failure = explain(error.value, client, 7)
    test = CheckResult("test_07.py::test_lives", 7, "It lives.", "requirement", "failed")
    graded = StageResult(7, "A stage", "mine", 1, 1.0, (replace(test, failure=failure),))
    told = exercises.report(graded).text.partition("Try it: ")[2]
    assert told.startswith("printf 'GET /fatal HTTP/9.9")
    assert "harmless" not in told.splitlines()[0]


def test_grade_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Friendly without a server, red with the bytes and the why, green when it is passed."""
    monkeypatch.chdir(tmp_path)
    assert "not started" in grade(7).text
    file = tmp_path / "my_server.py"
    for source, words in (
        ("1 +\n", "does not start"),
        (read_server(6), "The bytes on the wire"),
        (CRASHES, "ZeroDivisionError"),
        (read_server(7), "passed"),
    ):
        file.write_text(source, encoding="utf-8")
        shown = grade(7)
        assert words in shown.html
    assert shown.text.startswith("✓ Stage 7")
    with pytest.raises(LessonError):
        grade(99)


@pytest.mark.parametrize(
    ("line", "index", "shown"),
    [
        (b"Server: x\r\n", 9, "\\r"),
        (b"X-Long: " + b"a" * 300 + b"\n", 308, "\\n"),  # Far beyond what fits a row.
        (b"X-Long: " + b"a" * 150 + b"!" + b"b" * 150 + b"\r\n", 158, "!"),
        ("Name: 日本語の名前!\r\n".encode(), 24, "!"),  # Each of these takes two columns.
        (b"Name: " + "日本語".encode() * 40 + b"!\r\n", 366, "!"),
        (b"\t\t\x00\xff!\r\n", 4, "!"),
        (b"HTTP/1.1 200 OK", 15, ""),  # Just after its end.
        (b"", 0, "(nothing)"),
    ],
)
def test_the_caret_of_a_report_stands_under_what_is_wrong(
    line: bytes, index: int, shown: str
) -> None:
    """However long the line is, and however wide its characters are."""
    failure = Failure("something is wrong", pointer=Pointer(line, index))
    check = CheckResult("a.py::test_a", 7, "A rule.", "requirement", "failed", failure=failure)
    text = exercises.report(StageResult(7, "A stage", "a", 1, 1.0, (check,))).text
    (row,) = [row for row in text.splitlines() if row.startswith("here:")]
    (caret,) = [row for row in text.splitlines() if row.strip() == "^"]
    column = caret.index("^")
    place = next(at for at in range(len(row) + 1) if cell_len(row[:at]) >= column)
    assert cell_len(row[:place]) == column
    assert row[place:].startswith(shown)
    assert cell_len(row) <= 110
