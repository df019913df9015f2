"""The tester's parts import each other in one direction only: the one in README.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTER = Path(__file__).resolve().parents[1]
LAYERS = (
    *(
        "arguments",
        "results",
        "ladder",
        "ports",
        "limits",
        "guard",
        "attempt",
        "response",
        "wire",
        "facts",
        "masks",
        "naming",
        "by_hand",
        "explain",
        "suite",
    ),
    *(
        "rules",
        "grading",
        "keeper",
        "report",
        "show",
        "watch",
        "cli",
        "__main__",
        "bench",
        "picture",
    ),
    *("mistakes", "soak", "mutants", "fuzz", "soak_server", "peers", "lesson", "lessons"),
)


def layer(path: Path) -> str:
    """Return the part that a file belongs to: its own name, or its folder's."""
    name = path.relative_to(TESTER).parts[0]
    return name.removesuffix(".py")


FILES = [
    path
    for path in sorted(TESTER.rglob("*.py"))
    if layer(path) not in ("tests", "__init__") and "__pycache__" not in path.parts
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTER)))
def test_imports_go_one_way(path: Path) -> None:
    """What comes later in the list is never imported by what comes earlier."""
    own = LAYERS.index(layer(path))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("tester."):
            continue
        imported = node.module.split(".")[1]
        assert LAYERS.index(imported) <= own, f"{path.name} imports {node.module}"


def test_the_readme_names_every_part() -> None:
    """So that nobody has to guess what a file is for."""
    text = (TESTER / "README.md").read_text(encoding="utf-8")
    assert not [name for name in LAYERS if name not in text]
