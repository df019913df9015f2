"""Holds the ladder to its promises: small steps, one shape, plain Python, a map that is right.

The numbers come from ladders that people love to climb: kilo's tutorial, Textual's stopwatch.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tester.ladder.stages import ROOT, STAGES, LadderError, Stage, get_stage
from tester.ladder.steps import code_lines, diff_text, read_server, step_lines, step_size
from tester.workshop.map import MAP, map_text

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.slug)
every_step = pytest.mark.parametrize("stage", STAGES[1:], ids=lambda stage: stage.slug)

MOVES = {
    (2, "connection.close()"): "hanging up becomes a function of its own",
    (4, 'return Response(body=b"Hello World!")'): "it is now one answer of two",
    (10, "connection, _ = listener.accept()"): "it may fail now, and moves into a try",
    (10, 'head = reader.read_until(END_OF_HEAD, "431 Request Header Fields Too Large")'): (
        "from here on, a request is in hand, and that is noted in the same place"
    ),
    (12, "log(request, response)"): "`--quiet` leaves it out",
    (17, "reader = Reader(connection)"): "one for the whole connection: that is the lesson",
}


def functions_of(source: str) -> list[ast.FunctionDef]:
    """Return the functions and methods that `source` defines."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


def length_of(function: ast.FunctionDef) -> int:
    """Return how many lines a function takes, with its docstring."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def banners_of(source: str) -> list[str]:
    """Return the headings of the sections in `source`."""
    return [line for line in source.splitlines() if line.startswith("# --- ")]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder`, out of reach of whatever git runs us in."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


# --- The stages -----------------------------------------------------------------------------------


def test_stages_are_numbered_from_1_to_18():
    """The tuple is in order and complete."""
    assert [stage.number for stage in STAGES] == list(range(1, 19))


def test_folders_are_named_by_number_and_title():
    """There is a folder for each stage, and none besides but the sample site's."""
    found = {path.name for path in (ROOT / "stages").iterdir() if path.is_dir()}
    assert found - {"public", "__pycache__"} == {stage.slug for stage in STAGES}


@pytest.mark.parametrize("number", [0, -1, 19])
def test_get_stage_refuses_a_number_that_is_none(number: int):
    """The error names the numbers that there are."""
    with pytest.raises(LadderError, match="1 to 18"):
        get_stage(number)


# --- Every server.py ------------------------------------------------------------------------------


@every_stage
def test_server_is_python_3_10(stage: Stage):
    """The oldest Python that we support can read the file."""
    ast.parse(read_server(stage.number), feature_version=(3, 10))


@every_stage
def test_server_imports_the_standard_library_only(stage: Stage):
    """Nothing has to be installed to run a server."""
    imported = set()
    for node in ast.walk(ast.parse(read_server(stage.number))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names


@every_stage
def test_functions_are_short(stage: Stage):
    """Half of the functions have ten lines at most, and none has more than forty."""
    lengths = [length_of(function) for function in functions_of(read_server(stage.number))]
    assert statistics.median(lengths) <= 10
    assert max(lengths) <= 40


@every_stage
def test_functions_and_classes_have_a_docstring_of_one_line(stage: Stage):
    """One line says what each of them is for."""
    source = read_server(stage.number)
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    docstrings = {node.name: ast.get_docstring(node) for node in [*functions_of(source), *classes]}
    assert {name for name, text in docstrings.items() if not text or "\n" in text} == set()


@every_stage
def test_module_docstring_has_its_parts(stage: Stage):
    """It names the stage, and says what it can, what it can't, what is new, and where to read."""
    docstring = ast.get_docstring(ast.parse(read_server(stage.number))) or ""
    title, empty, *parts = docstring.splitlines()
    assert (title, empty) == (f"Stage {stage.number}: {stage.title}.", "")
    assert [re.match(r"(\w+): +\S", part)[1] for part in parts] == ["Can", "Cannot", "New", "RFC"]


@every_stage
def test_names_that_the_docstring_calls_new_exist(stage: Stage):
    """Whoever looks for a name that stands after `New:` finds it in the file."""
    source = read_server(stage.number)
    new = re.search(r"^New: (.*)$", source, re.MULTILINE)[1]
    code = "\n".join(code_lines(source))
    names = {word for quoted in re.findall("`([^`]+)`", new) for word in re.findall(r"\w+", quoted)}
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()


@every_stage
def test_rfc_sections_are_those_of_the_docstring(stage: Stage):
    """The map sends readers to sections that the server's own docstring names."""
    named = re.search(r"^RFC: (.*)$", read_server(stage.number), re.MULTILINE)[1]
    for rfc, section in re.findall(r"RFC (\d+) §([\d.]+)", stage.rfc):
        assert re.search(rf"\b{rfc}\b.*(?<![\d.]){re.escape(section)}(?![\d.]*\d)", named)


def test_sections_are_the_same_in_all_stages():
    """The same headings, in the same order, so that new lines are found where they belong."""
    headings = banners_of(read_server(1))
    assert len(headings) > 2
    assert {stage.number: banners_of(read_server(stage.number)) for stage in STAGES} == {
        stage.number: headings for stage in STAGES
    }


def test_last_server_is_short():
    """A whole server can be read in one evening: comments make that easier, and do not count."""
    assert len(code_lines(read_server(18))) <= 540


# --- The steps ------------------------------------------------------------------------------------


def test_steps_are_small():
    """Half of the steps change thirty lines at most, none changes more than eighty."""
    sizes = {stage.number: sum(step_size(stage.number)) for stage in STAGES[1:]}
    assert statistics.median(sizes.values()) <= 30
    assert {number: size for number, size in sizes.items() if size > 80} == {}


def test_steps_take_little_away():
    """What was typed yesterday is still there: at most one line goes for five that come."""
    steps = [step_size(stage.number) for stage in STAGES[1:]]
    added, removed = (sum(column) for column in zip(*steps, strict=True))
    assert removed / added <= 0.2


@every_step
def test_step_adds_something(stage: Stage):
    """There is no step that only takes away or only rewords."""
    added, _ = step_size(stage.number)
    assert added > 0


def test_no_line_is_moved_without_a_reason():
    """A line that is removed comes back nowhere else, but for the listed ones."""
    moved = set()
    for stage in STAGES[1:]:
        added, removed = ({line.strip() for line in lines} for lines in step_lines(stage.number))
        moved |= {(stage.number, line) for line in added & removed}
    assert moved == set(MOVES)


# --- Counting -------------------------------------------------------------------------------------

SOURCE = '''\
"""A docstring
of two lines."""

LIMIT = 1  # A reason
TEXT = """no docstring # and no comment

"""


class Thing:
    """Something."""  # Said twice


# A whole line
async def do() -> str: """é"""; return "#"
'''


def test_code_lines_leave_out_docstrings_comments_and_blank_lines():
    """What remains is code as it was typed; a string that is no docstring is code."""
    assert code_lines(SOURCE) == [
        "LIMIT = 1",
        'TEXT = """no docstring # and no comment',
        '"""',
        "class Thing:",
        'async def do() -> str: ; return "#"',
    ]


@every_step
def test_step_size_agrees_with_diff(stage: Stage, tmp_path: Path):
    """git counts the same lines as we do."""
    for name, number in (("older", stage.number - 1), ("newer", stage.number)):
        lines = code_lines(read_server(number))
        (tmp_path / name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    answer = run(tmp_path, "git", "diff", "--no-index", "--numstat", "older", "newer")
    assert answer.stdout.split()[:2] == [str(count) for count in step_size(stage.number)]


def test_diff_names_both_files_and_shows_the_change():
    """The labels are paths from the repository's top, whatever the current folder is."""
    lines = diff_text(6, 7).splitlines()
    assert lines[:2] == [
        "--- stages/06-implement-basic-routing/server.py",
        "+++ stages/07-respond-with-content/server.py",
    ]
    assert '+        "Content-Type": response.content_type,' in lines


def test_diff_of_the_first_stage_starts_from_nothing():
    """Stage 0 is an empty file: every line of stage 1 is new."""
    added = [line[1:] for line in diff_text(0, 1).splitlines()[3:]]
    assert added == read_server(1).splitlines()


# --- What is written about it ---------------------------------------------------------------------


def test_map_is_up_to_date():
    """stages/README.md is what `map` writes."""
    assert MAP.read_text(encoding="utf-8") == map_text(), "Run: python -m tester.workshop map"


@pytest.mark.parametrize("page", ["README.md", "stages/README.md"])
def test_links_lead_somewhere(page: str):
    """Every link within the repository names a file that is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = {unquote(link) for link in re.findall(r"\]\(([^)#:]+)\)", text)}
    assert {link for link in links if not (ROOT / page).parent.joinpath(link).exists()} == set()


def test_readme_links_every_stage():
    """The table on the first page leads to all eighteen servers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    entries = [f"[{stage.title}](stages/{stage.slug}/server.py)" for stage in STAGES]
    assert [entry for entry in entries if entry not in text] == []


# --- Carrying a fix -------------------------------------------------------------------------------

BEFORE = '"""Stage {number}: {title}."""\n\nLIMIT = {limit}\n\n\ndef first():\n    return LIMIT\n'


def carry(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command that carries a fix up the ladder of the repository in `folder`."""
    return run(folder, sys.executable, "-m", "tester.workshop", "carry", *arguments)


def commit(folder: Path) -> None:
    """Commit all that is in `folder`."""
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    run(folder, "git", "add", "--all")
    answer = run(folder, "git", *identity, "commit", "--quiet", "--message", "A ladder")
    assert answer.returncode == 0, answer.stderr


def server(folder: Path, number: int) -> Path:
    """Return the path of a stage's server in the repository in `folder`."""
    return folder / get_stage(number).server.relative_to(ROOT)


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which must be there, with `new`."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    """Return a repository with a ladder of small files; from stage 9 on, LIMIT is another."""
    for name in (
        *("__init__.py", "arguments.py", "results.py", "ladder/stages.py", "ladder/steps.py"),
        *("workshop/__main__.py", "workshop/carry.py", "workshop/map.py"),
    ):
        path = tmp_path / "tester" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tester" / name, path)
    for stage in STAGES:
        limit = 1 if stage.number < 9 else 9
        text = BEFORE.format(number=stage.number, title=stage.title, limit=limit)
        text += "".join(f"\n\ndef step_{n}():\n    pass\n" for n in range(2, stage.number + 1))
        server(tmp_path, stage.number).parent.mkdir(parents=True)
        server(tmp_path, stage.number).write_text(text, encoding="utf-8")
    run(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def test_carry_makes_the_change_in_all_later_stages(ladder: Path):
    """The stages before it, and what the later ones have of their own, stay as they are."""
    edit(server(ladder, 7), "return LIMIT", "return LIMIT + 1")
    answer = carry(ladder, "7")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18" in answer.stdout
    texts = [server(ladder, number).read_text(encoding="utf-8") for number in range(1, 19)]
    assert ["LIMIT + 1" in text for text in texts] == [False] * 6 + [True] * 12
    assert texts[17].count("def step_") == 17
    assert texts[17].startswith('"""Stage 18: Chunked Transfer Encoding."""\n\nLIMIT = 9\n')
    assert (ladder / "stages" / "README.md").exists()


def test_carry_leaves_module_docstrings_alone(ladder: Path):
    """A stage's docstring is its own: a change in it is not carried, and is no conflict."""
    edit(server(ladder, 7), '."""', '.\n\nCan:     more\n"""')
    edit(server(ladder, 7), "return LIMIT", "return LIMIT + 1")
    assert carry(ladder, "7").returncode == 0
    assert "Can:" not in server(ladder, 8).read_text(encoding="utf-8")


def test_carry_takes_a_change_that_is_committed(ladder: Path):
    """With a revision, the change since then is carried."""
    edit(server(ladder, 7), "return LIMIT", "return LIMIT + 1")
    commit(ladder)
    assert carry(ladder, "7").returncode == 2
    assert carry(ladder, "7", "HEAD~1").returncode == 0
    assert "LIMIT + 1" in server(ladder, 18).read_text(encoding="utf-8")


def test_carry_stops_at_a_conflict_and_goes_on_from_there(ladder: Path):
    """The file has its markers, those above it are untouched, and the message says how to go on."""
    edit(server(ladder, 7), "LIMIT = 1", "LIMIT = 2")
    answer = carry(ladder, "7")
    assert answer.returncode == 2
    assert answer.stderr == (
        "stages/09-send-response-headers/server.py has 1 conflict, marked with <<<<<<<. "
        "Stages that remain: 10, 11, 12, 13, 14, 15, 16, 17, 18. "
        "Mend the file, then: python -m tester.workshop carry 9\n"
    )
    assert "LIMIT = 2" in server(ladder, 8).read_text(encoding="utf-8")
    marked = server(ladder, 9).read_text(encoding="utf-8")
    assert "<<<<<<< stage 9\nLIMIT = 9\n=======\nLIMIT = 2\n>>>>>>> stage 8 now\n" in marked
    assert "LIMIT = 9" in server(ladder, 10).read_text(encoding="utf-8")

    mended = re.sub("<<<<<<<.*>>>>>>> stage 8 now", "LIMIT = 10", marked, flags=re.DOTALL)
    server(ladder, 9).write_text(mended, encoding="utf-8")
    assert carry(ladder, "9").returncode == 0
    assert "LIMIT = 10" in server(ladder, 18).read_text(encoding="utf-8")


def test_carry_refuses_when_a_later_stage_has_uncommitted_changes(ladder: Path):
    """Nothing is written: such changes could not be brought back."""
    edit(server(ladder, 7), "return LIMIT", "return LIMIT + 1")
    edit(server(ladder, 12), "return LIMIT", "return 12")
    answer = carry(ladder, "7")
    assert answer.returncode == 2
    assert answer.stderr == (
        "stages/12-serve-files-from-a-directory/server.py has changes that are not committed: "
        "commit or stash them first.\n"
    )
    assert "LIMIT + 1" not in server(ladder, 8).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["7"], "no change in its code since HEAD"),
        (["18"], "is the last"),
        (["99"], "There is no stage 99"),
        (["seven"], "invalid int value"),
        (["7", "no-such-revision"], "git show failed"),
        ([], "required"),
    ],
)
def test_carry_says_in_one_line_what_is_wrong(ladder: Path, arguments: list[str], words: str):
    """No traceback, and exit code 2."""
    answer = carry(ladder, *arguments)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert words in answer.stderr


def test_carry_refuses_what_is_not_python(ladder: Path):
    """A slip of the pen is not carried up the ladder."""
    edit(server(ladder, 7), "def first():", "def first(:")
    answer = carry(ladder, "7")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "server.py is not Python: line 6" in answer.stderr
