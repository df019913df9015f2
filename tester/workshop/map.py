"""Writes the map of the ladder, `stages/README.md`: `python -m tester.workshop map`."""

from __future__ import annotations

import re

from tester.ladder.stages import ROOT, STAGES, Stage
from tester.ladder.steps import step_size

MAP = ROOT / "stages" / "README.md"
INTRODUCTION = """\
# The ladder

Eighteen servers in eighteen folders. Each one is the server before it plus one lesson. Almost no
line is moved or renamed on the way, so the difference between two neighbours is the lesson itself.

- Read a step: `make diff-07` shows what stage 7 adds to stage 6.
- Try it: `make serve-13` runs the server of stage 13, with the sample site in [public](public).
- Check it: `make stage-07` grades the server of stage 7; `make stage-07 ATTEMPT=my_server.py`
  grades yours.

Every `server.py` begins with what it can do, what it cannot do yet, what is new, and where the RFC
says so. Its parts stand under the same headings in all stages, so new lines are easy to find.

In the table, +8 −1 means: this step adds eight lines of code and removes one. Comments, docstrings
and blank lines are not counted. A step is small on purpose: type it yourself, do not copy it.

| Stage | You learn | Lines | Read | Files |
| --- | --- | --- | --- | --- |
"""
FOOTER = """
[Held against the RFCs](CONFORMANCE.md) lists what RFC 9112 and RFC 9110 ask of a server: for each
point the stage that teaches it, and the check that holds it.

This page is made by `python -m tester.workshop map`. Change it there.
"""


def rfc_links(references: str) -> str:
    """`RFC 9112 §4` -> the same words as a link to that section."""
    link = r"[\g<0>](https://www.rfc-editor.org/rfc/rfc\1#section-\2)"
    return re.sub(r"RFC (\d+) §(\d+(?:\.\d+)*)", link, references)


def map_row(stage: Stage) -> str:
    """Return the line of the map that tells about `stage`."""
    added, removed = step_size(stage.number)
    server, checks = f"{stage.slug}/server.py", f"../tester/rules/{stage.rules.name}"
    lesson = "lesson coming"
    if stage.lesson.exists():
        lesson = f"[lesson](../notebooks/{stage.lesson.name})"
    cells = (
        f"{stage.number}. [{stage.title}]({server})",
        stage.learn,
        f"+{added} −{removed}",
        rfc_links(stage.rfc),
        f"[server]({server}), [checks]({checks}), {lesson}",
    )
    return f"| {' | '.join(cells)} |\n"


def map_text() -> str:
    """Return what belongs in stages/README.md."""
    return INTRODUCTION + "".join(map_row(stage) for stage in STAGES) + FOOTER


def write_map() -> None:
    """Write stages/README.md anew. Raises OSError."""
    MAP.write_text(map_text(), encoding="utf-8")
