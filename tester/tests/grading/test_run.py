"""How checks share processes: what an edge case breaks is never held against a requirement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tester.grading import health
from tester.grading import run as runs
from tester.grading.expect import CheckFailed
from tester.grading.health import KINDS
from tester.grading.job import Grading
from tester.ladder.steps import read_server
from tester.mistakes import COSTS_REQUIREMENTS, MISTAKES, is_edge, source
from tester.tests.helpers import WriteAttempt, fixed_port, grade
from tester.wire.connection import MOST_READ, WireError

EXIT = '__import__("os")._exit(1)'
PORT = re.compile(r'os\.environ\.get\("PORT", "4221"\)')
SAMPLE = (  # Mistakes in edge cases, by what they do: end the server, stop it, or let it hang.
    "A client that is cut off in mid-request gets 400",
    "The request line is split into three parts, without a look at how many there are",
)


@dataclass(frozen=True)
class Case:
    """A server in which an edge case breaks what it shares with other checks."""

    name: str
    stage: int
    changes: tuple[tuple[str, str], ...]
    """Texts of the stage's server, and what stands there instead."""
    stars: frozenset[str] = frozenset()
    """The only edge cases that this may cost, if the process ends by it."""


FIELDS = "    fields: dict[str, str] = {}\n"
PAGE = '    """`"404 Not Found"` -> an answer that says so."""\n'
READ = "    if data := connection.recv(PIECE):\n"
CASES = (
    Case(
        "exits on Expect",
        14,
        (
            (
                FIELDS,
                f'{FIELDS}    if "expect:" in " ".join(lines).lower():\n        {EXIT}\n',
            ),
        ),
        frozenset(
            {
                "test_expect_continue",
                "test_no_continue_for_old_clients",
                "test_no_length_where_no_body_can_be",
                "test_refuses_before_the_body_is_sent",
            }
        ),
    ),
    Case(
        "exits on a drip",
        10,
        (
            (
                '            require(time.monotonic() < deadline, "408 Request Timeout")\n',
                f"            if time.monotonic() > deadline:\n                {EXIT}\n",
            ),
        ),
        frozenset({"test_dripping_client_is_cut_off"}),
    ),
    Case(
        "is stuck at the sixth request after a refusal",  # So the check that refused has passed.
        5,
        (
            ("settings = ", "refused: list[str] = []\nsettings = "),
            (PAGE, f'{PAGE}    refused.extend([status] if status.startswith("400") else [])\n'),
            (
                READ,
                f"    refused.extend(refused[:1])\n    time.sleep(len(refused) // 7 * 600)\n{READ}",
            ),
        ),
    ),
)


def change(stage: int, *changes: tuple[str, str]) -> str:
    """Return the server of `stage` with these texts replaced, each of which stands there once."""
    text = read_server(stage)
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def lost(result: dict[str, Any], kind: str) -> list[str]:
    """Return the names of the checks of this kind that did not pass."""
    return [
        test["id"].rpartition("::")[2]
        for test in result["tests"]
        if test["kind"] == kind and test["outcome"] != "passed"
    ]


@pytest.mark.parametrize(
    ("case", "own_port"),
    [(case, False) for case in CASES] + [(case, True) for case in CASES[1:]],
    ids=lambda value: getattr(value, "name", "own port" if value else "given port"),
)
def test_an_edge_case_that_breaks_the_server_costs_its_own_star_alone(
    case: Case, own_port: bool, write_attempt: WriteAttempt
) -> None:
    """Neither a requirement nor, where the process ended, the star of a check that ran beside."""
    text = change(case.stage, *case.changes)
    if own_port:
        text, count = PORT.subn(f'"{fixed_port()}"', text)
        assert count == 1
    result = grade(write_attempt(text), stage=case.stage)
    assert lost(result, "requirement") == []
    assert result["passed"]
    stars = set(lost(result, "edge"))
    assert stars
    assert stars <= case.stars or not case.stars


def test_a_requirement_that_ends_the_server_is_not_forgiven(write_attempt: WriteAttempt) -> None:
    """Alone on a fresh process it fails again; its neighbours, which saw the end too, do not."""
    old = '    "/stream": lambda request: Response(body=ticks()),'
    new = old.replace("ticks()", f"ticks() if request.minor else {EXIT}")
    result = grade(write_attempt(change(18, (old, new))), stage=18)
    asked = {"test_stream_is_what_its_coding_says", "test_http_1_0_gets_no_chunks"}
    assert set(lost(result, "requirement")) == asked  # Those that ask so, and no neighbour.


@pytest.mark.parametrize("title", SAMPLE)
def test_a_mistake_in_an_edge_case_costs_no_requirement(
    title: str, write_attempt: WriteAttempt
) -> None:
    """A few by name; `make mistakes` asks this of all, and ends with an error if one does."""
    (which,) = [one for one in MISTAKES if one.title == title]
    assert is_edge(which)
    result = grade(write_attempt(source(which)), stage=which.stage)
    assert lost(result, "requirement") == []


def test_what_costs_requirements_all_the_same_is_argued() -> None:
    """Each is a mistake in an edge case that is there, with the reason in a sentence."""
    edges = {one.title for one in MISTAKES if is_edge(one)}
    assert COSTS_REQUIREMENTS.keys() <= edges
    assert all(len(reason.split()) >= 5 for reason in COSTS_REQUIREMENTS.values())


class FakeServer:
    """A server that starts nothing and opens nothing; `gone` tells what has become of it."""

    def __init__(self, *_: object, **__: object) -> None:
        self.gone = False


@dataclass
class FakeGroup:
    """A group of checks whose server is the first one."""

    server: FakeServer


@dataclass
class FakeWaiting:
    """A check that has failed together with others."""

    item: str
    group: FakeGroup
    client: str = "as it was in the group"

    def join(self) -> Exception:
        """Return how it has failed in the group."""
        return CheckFailed(self.client)


class AskedAgain:
    """A run whose checks are asked again without a process: each ends as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs, "Server", FakeServer)
        monkeypatch.setattr(runs, "is_gone", lambda server: server.gone)
        monkeypatch.setattr(runs, "read_rule", lambda item: FakeRule(item))
        self.run = runs.Run(Grading(__file__), range(3, 4))
        self.run._run_fresh = self.run_fresh  # type: ignore[method-assign]
        self.asked = 0

    def run_fresh(self, _: str) -> tuple[str, Exception | None]:
        """Count it, and end as told."""
        self.asked += 1
        self.run.server.gone = self.gone  # type: ignore[attr-defined]
        return "alone", CheckFailed("alone") if self.fails else None

    def ask(self, kind: str, *, fails: bool = True, gone: bool = True) -> bool:
        """Ask a check of this kind again; return whether it was run."""
        self.fails, self.gone = fails, gone
        before, group = self.asked, FakeGroup(self.run.server)  # type: ignore[arg-type]
        client, error = self.run._ask_again(FakeWaiting(kind, group))  # type: ignore[arg-type]
        was_run = self.asked > before
        assert str(error) == (("alone" if fails else "None") if was_run else client)
        return was_run


@dataclass
class FakeRule:
    """A rule of which only the kind matters."""

    kind: str


def test_what_ends_each_fresh_process_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After ENDED_ALONE of a kind in a row that end a fresh process too, none of it is asked."""
    again = AskedAgain(monkeypatch)
    assert all(again.ask("edge") for _ in range(health.ENDED_ALONE))
    assert not again.ask("edge")
    assert all(again.ask("requirement") for _ in range(health.ENDED_ALONE))
    assert not again.ask("requirement")
    assert again.asked == 2 * health.ENDED_ALONE


@pytest.mark.parametrize("fails", [False, True], ids=["passes", "fails"])
def test_a_process_that_lives_on_begins_the_count_anew(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a row: one that leaves its process alive, however it ends, breaks the row of its kind."""
    again = AskedAgain(monkeypatch)
    for _ in range(3):
        assert all(again.ask("edge") for _ in range(health.ENDED_ALONE - 1))
        assert again.ask("edge", fails=fails, gone=False)
    assert all(again.ask("requirement") for _ in range(health.ENDED_ALONE - 1))
    assert again.ask("edge", gone=False)  # Of the other kind: the row goes on.
    assert again.ask("requirement")
    assert not again.ask("requirement")


def test_one_that_passes_and_ends_its_process_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that takes one client and no other lets some checks pass: the row goes on."""
    again = AskedAgain(monkeypatch)
    assert all(again.ask("edge") for _ in range(health.ENDED_ALONE - 1))
    assert all(again.ask("edge", fails=False) for _ in range(health.ENDED_ALONE))
    assert again.ask("edge")
    assert not again.ask("edge")


@dataclass
class FakeError(WireError):
    """The end of a conversation that never took place."""

    kind: str


def hurried(endless: health.Endless) -> list[str]:
    """Return the kinds of checks for which less is read, or waited for less long."""
    return [kind for kind in KINDS if endless.drips(kind) or endless.most_read(kind) < MOST_READ]


@pytest.mark.parametrize(("how", "enough"), [("endless", health.DRIPS), ("flood", health.FLOODS)])
def test_edge_cases_without_end_hurry_no_requirement(how: str, enough: int) -> None:
    """Only several answers without end hurry others; those to requirements hurry all."""
    for kind, kinds in (("edge", ["edge"]), ("requirement", ["requirement", "edge"])):
        endless, rule = health.Endless(), FakeRule(kind)
        for _ in range(enough):
            assert hurried(endless) == []
            endless.note(CheckFailed("for another reason"), rule)  # type: ignore[arg-type]
            endless.note(FakeError(how), rule)  # type: ignore[arg-type]
        assert hurried(endless) == kinds


def test_a_check_that_was_late_itself_is_asked_again_twice_at_most() -> None:
    """And none is any more, where it has not helped three times in a row."""
    overload = health.Overload()
    for _ in range(2):
        assert overload.may_explain("test_one")
        overload.note("test_one", helped=False)
    assert not overload.may_explain("test_one")
    assert overload.may_explain("test_two")
    overload.note("test_two", helped=True)
    for name in ("test_three", "test_three", "test_four"):
        assert overload.may_explain(name)
        overload.note(name, helped=False)
    assert not overload.may_explain("test_five")


class FakeConnection:
    """A connection of which a WireError wants to know how long it was open."""

    seconds = 1.0


@pytest.mark.parametrize(
    ("error", "longest", "late"),
    [
        (None, 2.0, False),
        (CheckFailed("the status is 408"), 0.9, True),
        (CheckFailed("the status is 408"), 0.1, False),
        (WireError("closed", FakeConnection(), "answering"), 0.9, True),  # type: ignore[arg-type]
        (WireError("reset", FakeConnection(), "answering"), 0.9, True),  # type: ignore[arg-type]
        (WireError("silent", FakeConnection(), "answering"), 5.0, False),  # type: ignore[arg-type]
        (ZeroDivisionError(), 2.0, False),
    ],
)
def test_a_check_was_late_where_its_connection_was_open_for_long(
    error: Exception | None, longest: float, late: bool
) -> None:
    """A server may hang up then; to wait for a response to no avail is something else."""
    assert health.was_slow(error, longest) == late
