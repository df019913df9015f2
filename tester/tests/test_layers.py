"""The tester's rooms import each other in one direction only, and none imports the workshop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTER = Path(__file__).resolve().parents[1]
PLAIN = ("arguments", "masks", "results")
"""Files beside the rooms that import nothing of ours."""
ROOMS: dict[str, tuple[str, ...]] = {
    "ladder": ("results", "rules"),  # The rules by name alone, when somebody asks for them.
    "wire": ("results",),
    "attempt": ("wire",),
    "mistakes": ("ladder", "masks", "results"),
    "grading": ("attempt", "ladder", "mistakes", "results", "wire"),
    "rules": ("attempt", "grading", "ladder", "results", "wire"),
    "report": ("ladder", "results"),
    "lesson": ("attempt", "grading", "ladder", "mistakes", "report", "wire", *PLAIN),
    "commands": ("attempt", "grading", "ladder", "report", *PLAIN),
    "__main__": ("commands",),
}
"""Each room, and what it may import besides itself."""
ROOFS = ("tests", "workshop")  # They may use everything, and nothing uses them.
IN_A_STRING = re.compile(r"\btester(?:\.\w+)+|from tester import \w+")
LONGEST = 450  # Lines of a file that is neither data nor tests.
KNOWN_LONG = ("exercises.py", "response.py", "terminal.py")


def room_of(path: Path) -> str:
    """Return the room that a file belongs to: its folder below tester/, or its own name."""
    return path.relative_to(TESTER).parts[0].removesuffix(".py")


FILES = [
    path
    for path in sorted(TESTER.rglob("*.py"))
    if room_of(path) not in (*ROOFS, "__init__") and "__pycache__" not in path.parts
]


def imported(path: Path) -> Iterator[str]:
    """Yield which of our modules a file imports, also by `from tester import x` and in strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "tester":
            yield from (f"tester.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tester."):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("tester."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for name in IN_A_STRING.findall(node.value):
                module = name.removeprefix("from tester import ")
                yield module if module.startswith("tester.") else f"tester.{module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTER)))
def test_imports_go_one_way(path: Path) -> None:
    """A room imports from those rooms only that the plan allows."""
    own = room_of(path)
    allowed = {own, *ROOMS.get(own, ())}
    rooms = {name.split(".")[1] for name in imported(path)}
    assert rooms <= allowed, f"{path.relative_to(TESTER)} imports {sorted(rooms - allowed)}"


def test_an_import_in_any_form_is_seen(tmp_path: Path) -> None:
    """`from tester import x`, and code in a string, count as well."""
    path = tmp_path / "module.py"
    path.write_text(
        "from tester import grading\n"
        "import tester.rules\n"
        "from tester.wire.response import Response\n"
        'CODE = "import sys; from tester.commands.main import main; main()"\n'
    )
    assert set(imported(path)) == {
        "tester.grading",
        "tester.rules",
        "tester.wire.response",
        "tester.commands.main",
    }


@pytest.mark.parametrize("room", [*(room for room in ROOMS if room != "__main__"), *ROOFS])
def test_each_room_introduces_itself(room: str) -> None:
    """It says what it knows, what it does not know, and how to read it; README names it."""
    assert f"`{room}" in (TESTER / "README.md").read_text(encoding="utf-8")
    if room == "tests":
        return
    text = ast.get_docstring(ast.parse((TESTER / room / "__init__.py").read_text())) or ""
    assert len(text.splitlines()) >= 5, f"{room}/__init__.py does not introduce its room"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTER)))
def test_no_file_is_too_long(path: Path) -> None:
    """A file that one can't keep in mind is two files; rules and mistakes are tests and data."""
    if room_of(path) in ("rules", "mistakes") or path.name in KNOWN_LONG:
        return
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
