"""The tool that breaks our servers: what it breaks, who notices, and what it says of it."""

from __future__ import annotations

import ast
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tester.ladder.stages import STAGES, LadderError, Stage
from tester.ladder.steps import read_server
from tester.workshop.mutants import grade as mutants
from tester.workshop.mutants import mutate as making
from tester.workshop.mutants.grade import Outcome, grade
from tester.workshop.mutants.mutate import Mutant, find_mutants, mutate

KINDS = {"comparison", "condition", "boolean", "constant", "pattern", "arithmetic", "statement"}

# A piece of a program, and what each line that is changed may become.
CHANGES = [
    ("ok = 1 < 2 not  in x", ["1 <= 2 not  in x", "1 < 2 in x", "2 < 2 not", "1 < 3 not"]),
    ("ok = (a) is  not b", ["ok = (a) is b"]),
    ("while a:\n    break", ["while not (a):", "    pass"]),
    ("ok = 1 if not a else b", ["1 if (a) else b", "2 if not a else b"]),
    ("ok = [n for n in a if n]", ["n in a if not (n)]"]),
    ("ok = a and b or c", ["a or b or c", "a and b and c"]),
    ("ok = True", ["ok = False"]),
    ("ok = 'né'", ["ok = 'é'", "ok = 'n'"]),
    (r"ok = b'\r\n'", [r"ok = b'\n'", r"ok = b'\r'"]),
    ("ok = ''", ["ok = 'X'"]),
    ("ok = f'a{b + c:x}{{d'", ["f'{b + c:x}{{d'", "f'a{b + c:x}{{'", "f'a{b - c:x}{{d'"]),
    ("ok = '405 Method Not Allowed'", ["ok = '05 Method Not Allowed'"]),
    ("ok = '404 Not Found'", ["ok = '04 Not Found'", "ok = '404 Not Foun'"]),
    (r"ok = r'^[^\tb-d]+?'", [r"r'[^\tb-d]+?'", r"r'^[\tb-d]+?'", r"r'^[^b-d]+?'"]),
    (r"ok = rf'{a}(?<!\r)[!-\]]*'", [r"(?<=\r)[!-\]]*", r"[!-\\]*", r'["-\]]*', r"[^!-\]]*"]),
    ("ok = -a % 2", ["-a * 2", "(a) % 2", "-a % 3"]),
    ("a += b", ["a -= b", "pass"]),
    ("a: int = 1", ["a: int = 2", "pass"]),
    ("print(a)", ["pass"]),
    ("def f(a=1): return a", ["def f(a=2): return a", "def f(a=1): return None"]),
    ("def f():\n    return None", ["    pass"]),
    ("raise HTTPError('400')", ["raise HTTPError('00')", "raise HTTPError('40')", "pass"]),
]
LEFT_ALONE = [
    '"""Only words."""',
    "import a.b\nfrom c import d",
    'def f(a: "str") -> "int": ...',
    "class A:\n    a: int",
    "log(1 + 2)",
    "def log(a):\n    if a:\n        print('x' + a)",
    "print(f'Listening on {port + 1}', file=sys.stderr)",
    "sys.stderr.write('words')",
    "# Only a remark: 1 + 1",
]


@pytest.mark.parametrize(("source", "expected"), CHANGES, ids=lambda value: str(value)[:40])
def test_a_change_is_made(source: str, expected: list[str]) -> None:
    """Each one that is promised, where it is promised."""
    made = [mutant.text for mutant in mutate(1, f"{source}\n")]
    assert not [text for text in expected if not any(text in one for one in made)]


@pytest.mark.parametrize("source", LEFT_ALONE)
def test_what_no_rule_asks_for_is_left_alone(source: str) -> None:
    """A change there would survive for ever, and say nothing."""
    assert mutate(1, f"{source}\n") == ()


def test_another_name_of_the_same_encoding_is_no_change() -> None:
    """Python takes `latin-` for `latin-1`."""
    made = [mutant.text for mutant in mutate(1, "a.encode('latin-1')\n")]
    assert made == ["pass\n", "a.encode('atin-1')\n"]


def test_a_survivor_is_graded_again_where_its_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some lines are there for what comes later."""
    graded = []
    monkeypatch.setattr(
        mutants,
        "grade",
        lambda *work: graded.append(work) or Outcome("test_x" if graded[1:] else ""),
    )
    mutant = next(one for one in find_mutants(3) if one.before.startswith("lines = [f"))
    assert mutants.grade_twice(mutant) == Outcome("test_x", late=True)
    assert [stage for stage, _ in graded] == [3, 18]
    assert mutant.after in graded[1][1]
    gone = next(one for one in find_mutants(1) if "Hang up at once" in one.text)
    assert mutants.last_form(replace(gone, before="no such line")) is None


def test_only_the_words_of_an_error_are_left_alone() -> None:
    """That it is raised matters."""
    made = mutate(1, "raise ValueError('no' + 'thing')\n")
    assert [mutant.text for mutant in made] == ["pass\n"]


def test_a_mutant_is_a_program_and_no_other_is_the_same() -> None:
    """All over the ladder; and each kind of change is made somewhere."""
    found = [mutant for stage in STAGES for mutant in find_mutants(stage.number)]
    assert {mutant.kind for mutant in found} == KINDS
    assert len({(mutant.stage, mutant.text) for mutant in found}) == len(found)
    assert all(mutant.text != read_server(mutant.stage) for mutant in found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `is` beside a text, for one.
        for mutant in found[::10]:
            compile(mutant.text, mutant.diff, "exec")
    with pytest.raises(LadderError):
        find_mutants(19)


def test_a_line_is_broken_where_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again at every stage that keeps it; a remark makes no line new."""
    servers = ["", "a = 1\nb = 1\n", "a = 1  # one\nc = 1\nb = 1\n"]
    monkeypatch.setattr(making, "read_server", lambda stage: servers[stage])
    assert making.rows_that_are_new(1) == {1, 2}
    assert making.rows_that_are_new(2) == {2}
    made = mutate(2, servers[2], making.rows_that_are_new(2))
    assert [(mutant.before, mutant.after) for mutant in made] == [
        ("c = 1", "pass"),
        ("c = 1", "c = 2"),
    ]


def test_the_grade_tells_who_has_noticed() -> None:
    """A check's name, or that there was nothing to check; nothing for a sound server."""
    source = read_server(1)
    open_to_all = source.replace('HOST = "127.0.0.1"', 'HOST = "0.0.0.0"')
    broken = source.replace("listener.listen()", "pass")
    assert len({source, open_to_all, broken}) == 3
    assert grade(1, source) == Outcome("")
    assert grade(1, open_to_all).killer == "test_listens_on_the_loopback_address_only"
    assert grade(1, broken) == Outcome("it did not start")


def test_a_grade_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of it is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    assert grade(1, read_server(1), limit=0.01) == Outcome("the grade did not end", hung=True)
    assert not list(tmp_path.iterdir())
    assert not set(psutil.Process().children(recursive=True)) - before


@pytest.mark.parametrize(("killer", "code"), [("", 1), ("test_x", 0)])
def test_a_survivor_without_a_reason_is_told(
    killer: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a diff, and by the exit code."""
    sound = read_server(1)
    monkeypatch.setattr(mutants, "grade", lambda _, text: Outcome("" if text == sound else killer))
    monkeypatch.setattr(mutants, "read_equivalents", lambda: ())
    assert mutants.main(["1", "--parallel", "1"]) == code
    told = capsys.readouterr().out
    total = len(find_mutants(1))
    assert told.count("survived: stage 1") == (0 if killer else total)
    assert ("- listener.listen()\n+ pass" in told) == (not killer)
    assert f"| 1 | {total} | {total if killer else 0} |" in told


def test_a_server_that_does_not_pass_has_no_mutants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of them would seem to be noticed."""
    monkeypatch.setattr(mutants, "grade", lambda *_: Outcome("test_x"))
    with pytest.raises(RuntimeError, match="stage 1: our own server does not pass: test_x"):
        mutants.main(["1"])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.slug)
def test_a_mutant_is_a_program(stage: Stage) -> None:
    """Else the grade would notice no more than that Python can't read it."""
    for mutant in find_mutants(stage.number):
        try:
            ast.parse(mutant.text)
        except SyntaxError as error:
            raise AssertionError(mutant.diff) from error


def test_the_list_of_equivalents_is_in_order() -> None:
    """Each entry is a mutant, has a reason, and stands there once."""
    entries = mutants.read_equivalents()
    assert not mutants.stale(range(1, 19))
    assert all(entry.why for entry in entries)
    for mutant in (mutant for stage in STAGES for mutant in find_mutants(stage.number)):
        assert sum(mutants.matches(entry, mutant) for entry in entries) <= 1, mutant.diff


def test_an_entry_is_what_a_survivor_shows(tmp_path: Path) -> None:
    """It can be copied from there; one that can't be read is named, one that is stale is found."""
    path = tmp_path / "equivalent.txt"
    mutant = find_mutants(1)[0]
    other = mutant.diff.replace("stage 1", "stage 3, in here")
    path.write_text(
        f"Why: It\nmakes no difference.\n\n{mutant.diff}\n\n{other}\n", encoding="utf-8"
    )
    first, second = mutants.read_equivalents(path)
    assert mutants.matches(first, mutant)
    assert not mutants.matches(second, mutant)
    assert (first.why, second.stage) == ("It makes no difference.", 3)
    path.write_text("Because: no\n", encoding="utf-8")
    with pytest.raises(ValueError, match="neither a reason nor a diff:\nBecause: no"):
        mutants.read_equivalents.__wrapped__(path)


def test_a_stale_entry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has changed the server takes it off."""
    mutant = find_mutants(1)[0]
    kept = mutants.Equivalent(1, mutant.change, "why")
    gone = mutants.Equivalent(1, ("", "no such line", "pass", 1), "why")
    monkeypatch.setattr(mutants, "read_equivalents", lambda: (kept, gone))
    assert mutants.stale([1]) == [gone]
    assert mutants.reason(mutant) == "why"
    tally = mutants.Tally("1", ((mutant, Outcome("test_x")),))
    assert "listed as equivalent, killed by test_x" in "".join(mutants.remarks(tally))


def test_a_mutant_is_known_by_its_line() -> None:
    """Remarks and all that stands elsewhere may change."""
    one = mutate(7, "def f():\n    a = [  # one\n        1]\n")
    two = mutate(7, "\n\ndef f():\n    a = [\n        1]\n")
    assert isinstance(one[0], Mutant)
    assert [mutant.change for mutant in one] == [mutant.change for mutant in two]
    assert one[0].diff == "stage 7, in f\n- a = [\n+ pass"


def test_the_same_line_at_two_places_has_two_entries(tmp_path: Path) -> None:
    """A change that makes no difference at one place may make one at the other."""
    first, second = mutate(7, "def f():\n    g()\n    g()\n")
    assert second.diff == "stage 7, in f, place 2\n- g()\n+ pass"
    path = tmp_path / "equivalent.txt"
    path.write_text(f"Why: It is the last.\n\n{second.diff}\n", encoding="utf-8")
    (entry,) = mutants.read_equivalents(path)
    assert mutants.matches(entry, second)
    assert not mutants.matches(entry, first)
