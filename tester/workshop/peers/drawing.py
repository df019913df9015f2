"""Draws what was measured: a group of bars for each load, and one for memory, as an SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tester.workshop.peers.measuring import LOADS, MEMORY, Result
from tester.workshop.peers.programs import FLOOR, OURS, PYTHON
from tester.workshop.peers.table import show_rate, sort_results

COLUMNS = 2  # Groups beside each other.
MARGIN, WIDTH, GAP = 20, 450, 20  # Of the picture, a group, and between two groups; all in pixels.
LABEL, BAR, HEIGHT, ROW = 170, 210, 13, 18  # A name's width, the longest bar, a bar, a row.
HEAD, TOP = 34, 92  # Above the bars of a group; above all groups, for title and legend.
ARROW = 10  # How far the point of a bar reaches that is cut off.

# A card with a ground of its own, so that it can be read on any page; dark where the reader's is.
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.card { fill: #ffffff; stroke: #d0d7de; } text { fill: #1f2328; } .quiet { fill: #59636e; }
.title { font-size: 17px; font-weight: 600; } .group { font-size: 13px; font-weight: 600; }
.ours { fill: #d4500c; } .python { fill: #3d78b8; } .c { fill: #8250df; } .floor { fill: #9aa4ae; }
text.mine { font-weight: 700; }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; stroke: #3d444d; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
  .ours { fill: #ff8c42; } .python { fill: #5b9bd9; } .c { fill: #b392f0; }
  .floor { fill: #6e7681; }
}
"""
LEGEND = (
    ("ours", "stage 18 (parser: Python)"),
    ("python", "parser: Python"),
    ("c", "parser: C"),
    ("floor", "the floor: no parser; its bar is cut where it is too long"),
)


def kind(result: Result) -> str:
    """Return the class of a bar, by which it has its colour."""
    if result.program.name in (OURS, FLOOR):
        return "ours" if result.program.name == OURS else "floor"
    return "python" if result.program.parser == PYTHON else "c"


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return (
        f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def bar(x: float, y: float, share: float, style: str) -> tuple[str, float]:
    """Return a bar, and where it ends; one whose `share` is above 1 is cut, and ends in a point."""
    length = max(BAR * min(share, 1), 1)
    points = [(x, y), (x + length, y), (x + length, y + HEIGHT), (x, y + HEIGHT)]
    if share > 1:
        points.insert(2, (x + length + ARROW, y + HEIGHT / 2))
        length += ARROW
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    return f'<polygon points="{path}" class="{style}"/>', x + length


def group(results: Sequence[Result], name: str, title: str, x: float, y: float) -> Iterator[str]:
    """Yield the bars of one load, or of MEMORY, with their heading."""
    yield text(x, y + 18, title, "group")
    figures = {result.program.name: result.median(name) for result in results}
    longest = max([figure for key, figure in figures.items() if key != FLOOR] or [0]) or 1
    for number, result in enumerate(results):
        top = y + HEAD + number * ROW
        base = top + HEIGHT - 2.5
        mine = "mine" if result.program.name == OURS else ""
        figure = figures[result.program.name]
        shape, end = bar(x + LABEL, top, figure / longest, kind(result))
        shown = f"{figure:.0f} MB" if name == MEMORY else show_rate(figure)
        yield text(x + LABEL - 8, base, result.program.name, mine, "end")
        yield shape
        yield text(end + 6, base, shown, mine or "quiet")


def legend(x: float, y: float) -> Iterator[str]:
    """Yield what the colours mean, in one line."""
    for style, words in LEGEND:
        yield f'<rect x="{x:g}" y="{y - 10:g}" width="11" height="11" class="{style}"/>'
        yield text(x + 17, y, words, "quiet")
        x += 44 + 6.3 * len(words)


def titles() -> Iterator[tuple[str, str]]:
    """Yield the groups: what is measured, and the words above it."""
    for load in LOADS:
        clients = "" if "client" in load.name else f", {load.clients} clients"
        yield load.name, f"{load.name}{clients}: requests a second"
    yield MEMORY, "Memory after the load: less is better"


def draw(results: Sequence[Result], caption: str) -> str:
    """Return the picture as SVG text; `caption` is the line below its title."""
    results = sort_results(results)
    groups = list(titles())
    height = HEAD + len(results) * ROW + GAP
    whole_width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
    whole_height = TOP + -(-len(groups) // COLUMNS) * height + MARGIN
    parts = [
        text(MARGIN, 34, "Stage 18 beside its peers", "title"),
        text(MARGIN, 54, caption, "quiet"),
        *legend(MARGIN, 78),
    ]
    for number, (name, title) in enumerate(groups):
        x = MARGIN + number % COLUMNS * (WIDTH + GAP)
        parts += group(results, name, title, x, TOP + number // COLUMNS * height)
    size = f'width="{whole_width}" height="{whole_height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
            f' viewBox="0 0 {whole_width} {whole_height}">',
            "<title>Stage 18 beside its peers</title>",
            f"<style>{STYLE}</style>",
            f'<rect x="0.5" y="0.5" width="{whole_width - 1}" height="{whole_height - 1}"'
            ' rx="8" class="card"/>',
            *parts,
            "</svg>\n",
        ]
    )
