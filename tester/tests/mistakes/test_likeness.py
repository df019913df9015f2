"""Naming mistakes: known ones are called by their names, in servers of any make; others never."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tester.grading.alone import run_alone
from tester.grading.expect import CheckFailed, expect_nothing_left
from tester.ladder.steps import read_server
from tester.mistakes import MISTAKES, Mistake, source
from tester.mistakes.likeness import Match, Print, Prints, load, name_mistake
from tester.mistakes.signs import failure_signs, read_signs
from tester.results import CheckResult, Failure, Message, Pointer, StageResult
from tester.tests.helpers import TESTS, WriteAttempt, grade

ASYNCIO = TESTS / "servers" / "asyncio_server.py"
SEED = 4  # One that the prints were not learnt from.
SAMPLED = (  # By name: a mistake more changes nothing here.
    "The server greets the client, which nobody asked for",
    "The server answers and closes before it has read all of the request",
    "Escapes are decoded by hand, and %zz is an error that nobody catches",
    "Escapes in the value of a field are decoded",
    "Only HTTP/1.0 and HTTP/1.1 are known",
    "An error does not name the server",
    "A folder is opened as if it were a file",
    "JavaScript is not in the table",
    "The body is added after the old file",
    "Nobody asks whether the folder of an upload is there",
    "OPTIONS of a file is refused",
    "HTTP/1.0 is always closed, even if it asks to stay",
    "Text is compressed for whoever sends Accept-Encoding, whatever is in it",
    "All that has come is taken for the body, the next request too",
    "The line end after the data of a chunk is not read, and taken for the next size",
    "After 413 for a chunk, what follows is read as a request",
)
SAMPLE = [mistake for mistake in MISTAKES if mistake.title in SAMPLED]

# What is changed in a server of another make, and the beginning of what that must be called.
OTHER_MAKE = (
    (
        '"content-length": str(length)',
        '"content-length": str(length if answer.content.seek(0) or not isinstance(answer.content,'
        ' io.BytesIO) else len(answer.content.getvalue().decode(errors="replace")))',
        "Content-Length counts letters, not bytes. ",
    ),
    ("formatdate(usegmt=True)", "formatdate()", "Date ends in -0000, not in GMT."),
    (
        "and accepts_gzip(request)",
        'and b"gzip" in b",".join(request.all(b"accept-encoding"))',
        "gzip is looked for anywhere in Accept-Encoding, and q=0 is overlooked.",
    ),
    ("if status == 304 or wire.bodiless:", "if status == 304:", "HEAD is answered with a body."),
)


@pytest.mark.parametrize("mistake", SAMPLE, ids=lambda one: f"{one.stage:02}: {one.title}")
def test_a_mistake_is_called_by_its_name(mistake: Mistake, write_attempt: WriteAttempt) -> None:
    """Or by that of a twin, which leaves the same signs; here in a sample, in `learn` for all."""
    result = grade(write_attempt(source(mistake)), stage=mistake.stage, seed=SEED)
    own = next(one for one in load().prints if one.title == mistake.title)
    names = [one.title for one in load().twins(own)]
    assert any(name in result["looks_like"] for name in names), result["looks_like"]


@pytest.mark.parametrize(("old", "new", "name"), OTHER_MAKE, ids=[row[2] for row in OTHER_MAKE])
def test_a_mistake_is_known_in_a_server_of_another_make(
    write_attempt: WriteAttempt, old: str, new: str, name: str
) -> None:
    """Its name depends on what is seen on the wire, and on nothing else."""
    text = ASYNCIO.read_text(encoding="utf-8")
    assert old in text
    result = grade(write_attempt(text.replace(old, new)), stage=18, seed=SEED)
    assert result["looks_like"].startswith(f"This looks like: {name}")


@pytest.mark.parametrize("stage", [3, 9])
def test_what_nobody_knows_has_no_name(write_attempt: WriteAttempt, stage: int) -> None:
    """Random bytes are no known mistake."""
    path = write_attempt("connection.sendall(os.urandom(99))\nconnection.close()", loop=True)
    result = grade(path, stage=stage)
    assert not result["passed"]
    assert result["looks_like"] == ""


def test_every_mistake_has_prints() -> None:
    """Those of a new one are learnt with `python -m tester.workshop learn STAGE`."""
    known = [(one.stage, one.rule, one.title) for one in load().prints]
    assert known == [(one.stage, one.rule, one.title) for one in MISTAKES]


def result_of(rule: str, failure: Failure) -> StageResult:
    """Return a grade of stage 7 in which this one check has failed, in this way."""
    identity = f"test_07_respond_with_content.py::{rule}"
    test = CheckResult(identity, 7, "A rule.", "requirement", "failed", failure=failure)
    return StageResult(7, "Respond with Content", "a", 1, 1.0, (test,))


def test_figures_give_a_wrong_length_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many bytes were declared, and how many came."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + "héllo ✓".encode()
    letters = next(one for one in load().prints if one.title.startswith("Content-Length counts l"))
    failure = Failure("3 extra bytes came", exchange=(Message("received", answer),))
    monkeypatch.setattr("tester.mistakes.likeness.Prints.best", lambda self, result: [letters])
    name = name_mistake(result_of(letters.rule, failure))
    assert name == (
        "This looks like: Content-Length counts letters, not bytes. 7 declared, 10 sent."
    )


def said_by(known: Print) -> Failure:
    """Return a failure that says what the check of this mistake says."""
    (words,) = [text for name, kind, text in known.signs if (name, kind) == (known.rule, "says")]
    return Failure(words)


@pytest.mark.parametrize(
    ("first", "output", "is_named"),
    [
        ("", "", True),
        ("test_something_else", "", False),  # What a learner reads first would have another cause.
        ("", "Traceback (most recent call last):\nKeyError: 'a'", False),
        ("", "Traceback (most recent call last):\nBrokenPipeError: [Errno 32]", True),
    ],
)
def test_a_name_explains_what_is_seen_first(
    monkeypatch: pytest.MonkeyPatch, first: str, output: str, is_named: bool
) -> None:
    """The first requirement that fails, and the error that was printed."""
    known = next(one for one in load().prints if one.title.endswith("that is not sent"))
    result = result_of(known.rule, replace(said_by(known), output=output))
    if first:
        failed = replace(result.tests[0], id=f"rules.py::{first}")
        result = replace(result, tests=(failed, *result.tests))
    monkeypatch.setattr(Prints, "matches", lambda self, result: [Match(1.0, known)])
    assert bool(load().best(result)) is is_named


def test_errors_have_their_words_where_these_tell_more() -> None:
    """Two slips that Python calls TypeError are two signs; what is random in them is none."""
    crash = "Traceback (most recent call last):\n  File\n{}\n"
    outputs = {
        "TypeError: 'Response' object is not callable": "TypeError: '…' object is not callable",
        "KeyError: 'abc'": "KeyError",
        "http.HTTPError: 400": "HTTPError",
    }
    for output, sign in outputs.items():
        assert ("dies", sign) in failure_signs(Failure("", output=crash.format(output)))


def test_a_check_that_fails_for_other_reasons_is_no_sign() -> None:
    """That a check fails is not enough: it has to say what it says of the mistake."""
    for known in load().prints:
        if known.stage == 7:
            assert name_mistake(result_of(known.rule, Failure("something else is wrong"))) == ""


# What is changed in a stage's server, and how it must not be called: what is seen has other causes.
OTHER_CAUSES = {
    "A Content-Length that is no number counts as 0": (
        14,
        'require(re.fullmatch("[0-9]+", digits))',
        'digits = digits if re.fullmatch("[0-9]+", digits) else "0"',
    ),
    "garbage that is not collected at once": (
        12,
        "    for piece in response.body:\n        connection.sendall(piece)\n",
        "    kept = []\n    for piece in response.body:\n        connection.sendall(piece)\n"
        "        kept = [*kept[-400:], bytearray(piece)]\n",
    ),
    "a process for each client": (
        14,
        "            threading.Thread(target=serve_connection, args=(connection,), daemon=True)"
        ".start()\n",
        "            if os.fork() == 0:\n"
        "                serve_connection(connection)\n"
        "                os._exit(0)\n"
        "            slots.release()\n"
        "            connection.close()\n",
    ),
}


@pytest.mark.parametrize("cause", OTHER_CAUSES)
def test_what_looks_like_a_known_mistake_but_is_another_is_not_called_so(
    cause: str, write_attempt: WriteAttempt
) -> None:
    """It has its own name, if we know one, or none."""
    stage, old, new = OTHER_CAUSES[cause]
    text = read_server(stage)
    assert text.count(old) == 1
    result = grade(write_attempt(text.replace(old, new)), stage=stage, seed=SEED)
    names = {"", f"This looks like: {cause}."} if cause[0].isupper() else {""}
    assert result["looks_like"] in names


@pytest.mark.parametrize(
    ("message", "is_named"),
    [
        ("the server grew by 128 MB while it sent a file of 64 MB", True),
        ("the server grew by 60 MB while it sent a file of 64 MB", True),
        ("the server grew by 25 MB while it sent a file of 64 MB", False),
    ],
)
def test_who_grows_by_less_than_a_file_did_not_read_it_whole(
    monkeypatch: pytest.MonkeyPatch, message: str, is_named: bool
) -> None:
    """It may have left its garbage for later."""
    rule = "test_huge_file_needs_little_memory"
    result = result_of(rule, Failure(message))
    known = Print(7, rule, "A file is read whole", read_signs(result))
    monkeypatch.setattr(Prints, "matches", lambda self, result: [Match(1.0, known)])
    assert bool(Prints([known]).best(result)) is is_named


@pytest.mark.parametrize("spins", [False, True])
def test_a_server_that_spins_is_called_by_no_name_that_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch, spins: bool
) -> None:
    """It starves all others: what is seen of them tells nothing."""
    rule = "test_fifty_clients_at_once"
    seen = Failure(
        "a client was served only after the server had hung up on a silent one before it"
    )
    known = Print(7, rule, "Only ten clients", read_signs(result_of(rule, seen)))
    monkeypatch.setattr(Prints, "matches", lambda self, result: [Match(1.0, known)])
    result = result_of(rule, replace(seen, spins=spins))
    assert bool(Prints([known]).best(result)) is not spins


def test_a_server_that_spins_is_told_so(write_attempt: WriteAttempt) -> None:
    """The likely cause is a loop without a pause, and not one client after the other."""
    text = read_server(10)
    old = "    if data := connection.recv(PIECE):\n        return data\n"
    late = '            require(time.monotonic() < deadline, "408 Request Timeout")\n'
    end = '    raise ConnectionError("the client has left")\n'
    assert all(text.count(each) == 1 for each in (old + end, late))
    text = text.replace(late, "").replace(old + end, "    return connection.recv(PIECE)\n")
    failure = run_alone(write_attempt(text), 10, "test_dripping_client_is_cut_off", SEED)
    assert failure is not None
    assert failure.spins
    assert "keeps the processor busy" in failure.likely


def test_a_second_response_is_called_so() -> None:
    """It is no body that is too long."""
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(CheckFailed) as error:
        expect_nothing_left(second)
    assert error.value.message == "one more response came than there were requests"
    assert error.value.pointer == Pointer(second, 0)
    assert "Content-Length count" not in error.value.likely
    with pytest.raises(CheckFailed, match="3 extra bytes"):
        expect_nothing_left(b"abc")


def test_a_name_explains_the_failure_that_is_shown_first() -> None:
    """That is one of the stage itself, where it has the same likely cause as an earlier one."""
    early = CheckResult(
        "a.py::test_early", 3, "A", "requirement", "failed", failure=Failure("x", likely="y")
    )
    late = replace(early, id="a.py::test_late", stage=7)
    result = StageResult(7, "A", "a", 1, 1.0, (early, late))
    assert result.first_failure is late
