"""The notebooks: they run, show what is kept in them, are whole, and their links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import copy
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import ROOT, STAGES
from tester.lesson import keep as lessons
from tester.lesson.exercises import check_name
from tester.lesson.keep import NAMES, NOTEBOOKS, VARIES, YOURS, keep, keep_before_save, signature
from tester.tests.helpers import processes_in

COMPLETE = True  # None may be missing.
LONGEST = 30  # Seconds that a notebook may take.
TIMES = 2  # It runs so many times, one after the other, on the same kernel.
END_TIMEOUT = 10.0  # Seconds until all must be gone that a notebook has started.
SECTIONS = (
    *("Where we are", "See it fail", "The idea", "On the wire", "The step", "See it work"),
    *("Break it", "Your turn", "In the real world", "Check yourself"),
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
RFC = re.compile(r"https://www\.rfc-editor\.org/rfc/rfc\d+(#section-\d+(\.\d+)*)?")
PATHS = lessons.find_notebooks()
LESSONS = [path for path in PATHS if path.name != lessons.START]


def name_of(path: Path) -> str:
    """Return what a test is called that is about this notebook."""
    return path.name[:2]


def read(path: Path) -> Any:
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


def prose(path: Path) -> str:
    """Return the text of a notebook."""
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def solutions(path: Path) -> list[str]:
    """Return the code of the folded answers to "expose", each ending in an assertion."""
    found = []
    for _, code in FENCED.findall(prose(path)):
        if "expose(" in code:
            *before, last = ast.parse(code).body
            begun = "".join(f"{ast.unparse(node)}\n" for node in before)
            found.append(f"{begun}assert ({ast.unparse(last)}).exposed")
    return found


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_runs_and_shows_what_is_kept(path: Path, tmp_path: Path) -> None:
    """On a fresh kernel and once more on the same, in time, leaving nothing; answers expose."""
    began = time.monotonic()
    kept, runs = lessons.run_notebook(path, tmp_path, TIMES, solutions(path))
    assert time.monotonic() - began < TIMES * LONGEST
    for run in runs:
        for old, new in zip(kept.cells, run.cells, strict=True):
            if new.cell_type == "code" and YOURS not in new.metadata.get("tags", ()):
                varies = VARIES in new.metadata.get("tags", ())
                shown = signature(new.outputs, varies=varies)
                assert shown == signature(old.outputs, varies=varies), f"cell {old.id}"
    deadline = time.monotonic() + END_TIMEOUT
    while processes_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_in(tmp_path)
    assert not [each.name for each in tmp_path.glob("http-tester*")]


def test_all_lessons_are_there() -> None:
    """All nineteen, once they are complete; and this is switched on as soon as they are."""
    assert ({path.name for path in PATHS} == set(NAMES)) == COMPLETE
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} <= set(NAMES)


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_kept_as_it_should_be(path: Path) -> None:
    """Cells are numbered, run without an error, and nothing tells on which machine."""
    book = read(path)
    nbformat.validate(book)
    assert book.metadata == lessons.METADATA
    ids = [cell.id for cell in book.cells]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert "error" not in [output.output_type for output in cell.outputs], cell.id
        assert set(cell.metadata) <= {"tags", "jupyter"}
        assert ("jupyter" in cell.metadata) == cell.source.startswith("step("), cell.id
        assert set(cell.metadata.get("tags", ())) <= {YOURS, VARIES}
        if "grade(" in cell.source or "begin(" in cell.source:
            assert YOURS in cell.metadata.get("tags", ()), cell.id
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text and "/home/" not in text and text.endswith("}\n")


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_sections_are_in_order(path: Path) -> None:
    """The ten sections, and no other."""
    assert re.findall(r"^## (.+)$", prose(path), re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_exercises_are_there(path: Path) -> None:
    """A broken server to expose, with an answer; hints and questions that are folded; a grade."""
    stage = int(path.name[:2])
    text = prose(path)
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    assert f"grade({stage})" in code and f"step({stage}," in code
    assert len(re.findall(r"\bexpose\(", code)) == len(solutions(path)) > 0
    assert text.count("<details>") == text.count("</details>") >= 6
    questions = text.partition("## Check yourself")[2]
    assert 3 <= questions.count("<summary>Answer</summary>") <= 5


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_names_every_requirement(path: Path) -> None:
    """Each requirement that a stage adds is named in its lesson as the report names it."""
    stage = int(path.name[:2])
    words = re.sub(r"\s+", " ", prose(path))
    required = [
        rule.name
        for rule in map(read_rule, all_checks().values())
        if (rule.stage, rule.kind) == (stage, "requirement")
    ]
    assert required
    assert [name for name in required if f"*{check_name(name)}*" not in words] == []


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """To a file that is there, to a lesson that will be, or to a section of an RFC."""
    for target in LINK.findall(prose(path)):
        if target.startswith("http"):
            assert "rfc-editor" not in target or RFC.fullmatch(target), target
        elif target not in (*NAMES, "my_server.py"):
            assert (NOTEBOOKS / target).exists(), target


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_spelling(path: Path, tmp_path: Path) -> None:
    """No word of the text, nor of a comment in its code, is misspelt as codespell knows it."""
    file = tmp_path / f"{path.stem}.md"
    text = "\n\n".join(cell.source for cell in read(path).cells)
    file.write_text(re.sub(r"`[^`\n]+`", "", text), encoding="utf-8")  # Code has its own words.
    command = [sys.executable, "-m", "codespell_lib", "--config", "/dev/null", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_start_page_leads_to_all_lessons() -> None:
    """And tells of each what the ladder does."""
    text = prose(NOTEBOOKS / lessons.START)
    for stage in STAGES:
        assert f"[{stage.title}]({stage.lesson.name}) | {stage.learn} |" in text


# --- What is kept ---------------------------------------------------------------------------------


def book_with(text: str, *, source: str = "talk()", count: int | None = 3, **meta: Any) -> Any:
    """Return a notebook of one cell that has shown `text`, or nothing."""
    outputs = [nbformat.v4.new_output("stream", text=text)] if text else []
    cell = nbformat.v4.new_code_cell(
        source, id="one", outputs=outputs, execution_count=count, metadata=meta
    )
    return nbformat.v4.new_notebook(cells=[cell], metadata=lessons.METADATA)


OLD = "Date: Sat, 01 Jan 2000 00:00:00 GMT at 127.0.0.1:4000 after 1.2 s, seed 5: a"
SAME = "Date: Sun, 09 Feb 2031 12:34:56 GMT at 127.0.0.1:59999 after 12 ms, seed 678: a"


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (book_with(OLD), book_with(SAME, count=9), True),
        (book_with(OLD), book_with(f"{SAME}b"), False),
        (book_with(OLD), book_with("", count=None), True),
        (book_with(OLD), book_with("", count=9), False),
        (book_with(OLD), book_with(SAME, source="talk(1)"), False),
        (book_with(OLD, tags=[YOURS]), book_with("green"), True),
        (book_with(OLD, tags=[VARIES]), book_with("other words"), True),
        (book_with(""), book_with(SAME), False),
    ],
    ids=["same", "other", "not run", "empty", "edited", "yours", "varies", "first run"],
)
def test_keeps_what_is_the_same(old: Any, new: Any, kept: bool) -> None:
    """Times, ports, dates and seeds make no difference; words do."""
    fresh = copy.deepcopy(new)
    keep(old, fresh)
    expected = old if kept else new
    assert fresh.cells[0].outputs == expected.cells[0].outputs
    assert fresh.cells[0].execution_count == expected.cells[0].execution_count


def test_pictures_are_the_same_whatever_they_show() -> None:
    """But a picture in the place of a text is another thing."""

    def output(**data: str) -> Any:
        """Return an output with this data."""
        named = {name.replace("_", "/").replace("svg", "svg+xml"): data[name] for name in data}
        return nbformat.v4.new_output("display_data", data=named)

    first = output(image_svg="<svg>1</svg>", text_plain="1")
    second = output(image_svg="<svg>2</svg>", text_plain="2")
    assert signature([first]) == signature([second])
    assert signature([first]) != signature([output(text_plain="1")])


def test_where_a_text_is_cut_is_chance() -> None:
    """A kernel sends what a cell prints in pieces: by the clock, and so anywhere."""
    whole, cut = (
        [nbformat.v4.new_output("stream", text=piece) for piece in pieces]
        for pieces in (["/      200 after 12 s"], ["/   ", "   200 after 1", "2 s"])
    )
    assert signature(whole) == signature(cut)


def test_saving_in_jupyterlab_keeps_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What JupyterLab adds goes, what the reader has edited stays, other files are left alone."""
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    nbformat.write(book_with(OLD), tmp_path / lessons.START)
    for name, outputs in ((lessons.START, OLD), ("mine.ipynb", SAME)):
        new = book_with(SAME, count=7, execution={"iopub.status.busy": "now"})
        new.metadata = {"kernelspec": lessons.KERNEL, "language_info": {"version": "3.99"}}
        model = {"type": "notebook", "content": new}
        manager = type("Manager", (), {"root_dir": str(tmp_path)})()
        keep_before_save(model=model, path=name, contents_manager=manager)
        assert new.cells[0].outputs[0].text == outputs
        assert ("execution" in new.cells[0].metadata) == (name == "mine.ipynb")
        assert (new.metadata == lessons.METADATA) == (name != "mine.ipynb")


def test_jupyterlab_has_nothing_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed what the kernel says of its language, or it would call a lesson changed."""
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    files = lessons.LessonFiles(root_dir=str(tmp_path))
    for name in (lessons.START, "mine.ipynb"):
        nbformat.write(book_with(OLD), tmp_path / name)
        told = asyncio.run(files.get(name))["content"]["metadata"].get("language_info", {})
        assert ("version" in told) == (name == lessons.START)


def test_running_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a new text is kept, once."""
    path = tmp_path / lessons.START
    nbformat.write(book_with("", source="import os\nprint(f'{os.getpid() / 1000} s')"), path)
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    assert lessons.run_and_keep(path)
    first = path.read_text(encoding="utf-8")
    assert not lessons.run_and_keep(path)
    assert path.read_text(encoding="utf-8") == first and '"execution_count": 1' in first


@pytest.mark.parametrize("root", [True, False])
def test_opens_for_root_too(root: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is root in a container is not sent away; JupyterLab's own options are handed on."""
    started: list[str] = []

    def become(_: str, command: list[str], __: dict[str, str]) -> None:
        """Note what would run, and end as this program does then."""
        started.extend(command)
        raise SystemExit

    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(lessons.os, "geteuid", lambda: 0 if root else 1000, raising=False)
    monkeypatch.setattr(lessons.os, "execve", become)
    with pytest.raises(SystemExit):
        lessons.main(["open", "--no-browser", "--port=9000"])
    assert started[1:3] == ["-m", "jupyterlab"]
    assert started[-2:] == ["--no-browser", "--port=9000"]
    assert ("--allow-root" in started) == root


def test_help_tells_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    """That JupyterLab's own may follow."""
    with pytest.raises(SystemExit):
        lessons.main(["open", "--help"])
    assert "JupyterLab's own may follow" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", [["run", "99"], ["run", "x"], ["run", "--nonsense"], ["dance"]])
def test_wrong_words_get_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and no traceback."""
    try:
        code = lessons.main(words)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err
