"""Every mistake of the collection is caught by its check, in the words that it expects."""

from __future__ import annotations

import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.grading.alone import catch
from tester.grading.check import call
from tester.grading.client import Client
from tester.grading.words import Words
from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import STAGES, Stage
from tester.mistakes import MISTAKES, Mistake, source
from tester.mistakes.likeness import load
from tester.mistakes.signs import failure_signs

LEAST = 300  # Mistakes; there may be more, and there should be.
# Those that take long stand together: spread out, each of several workers gets some of them.
SPREAD = [mistake for start in range(16) for mistake in MISTAKES[start::16]]
ROWS = range(1, 67)  # Of the list of beginners' mistakes with which the collection began.
PRINTS = {one.title: one for one in load().prints}
SHOWN_BY_LUCK = {
    # How much `send` takes at once depends on how fast the client reads,
    "send is called instead of sendall, and what it could not take is lost",
    # and whether one is still in line when the next comes, on how busy the machine is.
    "Nobody may wait in line for accept: listen(0)",
}
SAYS_THIS_OR_THAT = {  # What is seen depends on who comes first, a thread or a reader.
    "All clients share one buffer, as it is a default argument",
    "The old file is opened for writing, which empties it at once",
    "Trailers are taken for the beginning of the next request",
    # What is too much comes together with the last bytes of the file, or after them.
    "A file is sent up to its end, though it has grown since its length was asked",
}
OUT_OF_SIGHT = {
    2: "SO_REUSEADDR was missing in the run before: no server shows what an older one was like",
    4: "SO_REUSEPORT and an old server on the same port: the tester gives each run a free port",
    7: "port 80 without the right to it: the tester gives a port that everybody may have",
    8: "127.0.0.1 and not ::1: the tester connects to the address on which the server listens",
    10: "`Listening` is printed but not flushed: the tester does not wait for words",
    58: "sys.argv[2] without --directory: the tester always gives one from stage 12 on",
}


def identify(mistake: Mistake) -> str:
    """Return the name of a mistake in pytest's report."""
    return f"{mistake.stage:02}: {mistake.title}"


@pytest.mark.parametrize("mistake", SPREAD, ids=identify)
def test_a_mistake_is_caught(mistake: Mistake) -> None:
    """By its own check, and the message names it."""
    tries = 5 if mistake.title in SHOWN_BY_LUCK else 1
    failure = next(filter(None, map(catch, [mistake] * tries, range(1, tries + 1))), None)
    assert failure is not None, f"{mistake.rule} has passed"
    words = mistake.words.lower().split(" / ")
    assert any(piece in failure.message.lower() for piece in words)
    assert not failure.message.startswith("the check itself failed")
    # What it says is what the mistake is known by; else: python -m tester.workshop learn STAGE
    known = {sign[1:] for sign in PRINTS[mistake.title].signs if sign[0] == mistake.rule}
    if mistake.title not in SAYS_THIS_OR_THAT:
        assert {sign for sign in known if sign[0] == "says"} <= {*failure_signs(failure)}


def test_a_mistake_is_a_program() -> None:
    """Its changes can be made, and what comes out is Python, and not what it was before."""
    for mistake in MISTAKES:
        text = source(mistake)
        compile(text, mistake.title, "exec")
        assert all(old != new for old, new in mistake.changes)
        assert mistake.words
    assert [one.stage for one in MISTAKES] == sorted(one.stage for one in MISTAKES)


def test_a_change_that_does_not_fit_is_named() -> None:
    """Whoever edits a server is told which mistake to adapt."""
    for old in ("no such text", "socket"):
        mistake = Mistake(1, "test_accepts_a_connection", "Forgets", ((old, ""),), "refused")
        with pytest.raises(ValueError, match="Forgets.*times in its server, not once"):
            source(mistake)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.slug)
def test_without_the_mistake_the_check_passes(stage: Stage) -> None:
    """So it is the mistake that each check has seen."""
    rules = {mistake.rule for mistake in MISTAKES if mistake.stage == stage.number}
    marked = {rule: read_rule(all_checks()[rule]) for rule in rules}
    order = sorted(rules, key=lambda rule: (marked[rule].restarts, rule))
    waiting = [rule for rule in order if marked[rule].waits]
    attempt, files = locate(str(stage.server)), stage.has_files
    with (
        Server(attempt, with_directory=files) as server,
        Server(attempt, with_directory=files) as other,
        ThreadPoolExecutor(max(len(waiting), 1)) as pool,
    ):
        outcomes = {rule: pool.submit(run_check, rule, other) for rule in waiting}
        errors = {rule: run_check(rule, server) for rule in order if rule not in waiting}
        errors |= {rule: outcome.result() for rule, outcome in outcomes.items()}
    assert not {rule: error for rule, error in errors.items() if error is not None}


def run_check(rule: str, server: Server) -> BaseException | None:
    """Run the check `rule` on `server` and return what it raises."""
    return call(all_checks()[rule], Client(server, Words(f"1:{rule}")))


def test_every_check_catches_a_mistake() -> None:
    """A check that nothing fails is worth nothing."""
    assert all_checks().keys() == {mistake.rule for mistake in MISTAKES}
    assert len(MISTAKES) >= LEAST


def test_a_check_is_in_force_where_its_mistake_is_made() -> None:
    """Else nobody who makes the mistake would be told."""
    for mistake in MISTAKES:
        assert read_rule(all_checks()[mistake.rule]).in_force(mistake.stage), mistake.title


def test_a_mistake_has_a_title_of_its_own() -> None:
    """A plain sentence, and no two mistakes are the same."""
    for count in (Counter(one.title for one in MISTAKES), Counter(map(source, MISTAKES))):
        assert not [item[-80:] for item, number in count.items() if number > 1]
    assert all(len(one.title) < 90 and not one.title.endswith(".") for one in MISTAKES)


def test_the_list_of_beginners_mistakes_is_covered() -> None:
    """But for what no server can show."""
    covered = {mistake.row for mistake in MISTAKES} - {None}
    assert covered == set(ROWS) - OUT_OF_SIGHT.keys()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither processes nor folders: from a server that runs, and from one that never starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    for rule in ("test_accepts_a_connection", "test_says_hello_on_any_path"):
        assert catch(next(one for one in MISTAKES if one.rule == rule))
    assert not list(tmp_path.iterdir())
    assert not set(psutil.Process().children(recursive=True)) - before
