"""Shows what was measured as a table: on the screen, and as Markdown in a page of the project."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from tester.ladder.stages import ROOT
from tester.workshop.peers.measuring import LOADS, MEMORY, Load, Result
from tester.workshop.peers.programs import OURS, PeersError

BEGIN, END = "<!-- peers -->", "<!-- /peers -->"
NUMBERS = [load.name for load in LOADS]
HEADINGS = ("server", "parser", *NUMBERS, MEMORY)
CELLS = len(HEADINGS)
WIDEST = 13  # Letters in a column on the screen: so the table fits on 80.
# What a reader must know to judge the figures.
NOTES = (
    "Requests a second; memory in MB (RSS) of all processes of the server, after the load.",
    "The floor is no server: a thread per connection that reads some bytes and writes fixed ones.",
    "http.server has a thread per connection; HTTP/1.1 with keep-alive and TCP_NODELAY are on.",
    "All have one process for requests, and print no log lines.",
)


@dataclass(frozen=True)
class Setting:
    """How the figures came about."""

    wrk: str
    """wrk's version."""
    versions: dict[str, str]
    """The peers' versions, by the names of their packages."""
    rounds: int
    seconds: int

    def lines(self) -> Iterator[str]:
        """Yield the sentences that say so."""
        system = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
        yield f"Machine: {system}; Python {platform.python_version()}."
        versions = (f"{name} {version}" for name, version in sorted(self.versions.items()))
        yield f"Versions: {', '.join([*versions, f'wrk {self.wrk}'])}."
        yield f"Medians; rounds, in turn: {self.rounds}; seconds for each load: {self.seconds}."


def show_rate(rate: float) -> str:
    """Return a rate with three digits that count: 11734.2 -> `11,700`."""
    return f"{float(f'{rate:.3g}'):,.0f}"


def sort_results(results: Sequence[Result]) -> list[Result]:
    """Return the results, the fastest at 32 clients first."""
    return sorted(results, key=lambda result: -result.median("32 clients"))


def spread(results: Sequence[Result]) -> float:
    """Return how far the rounds of a load lie apart, as a share of their median: a middle case."""
    shares = []
    for result in results:
        for name in NUMBERS:
            rates = [reading.rate for reading in result.readings[name]]
            shares.append((max(rates) - min(rates)) / (result.median(name) or 1))
    return statistics.median(shares)


def notes(results: Sequence[Result], setting: Setting) -> Iterator[str]:
    """Yield all that stands below the table, a sentence or two each."""
    yield from NOTES
    yield from error_notes(results)
    yield from setting.lines()
    if setting.rounds > 1:
        share = spread(results)
        yield f"Half of the figures had less than {share:.0%} between lowest and highest round."


def cells(result: Result) -> list[str]:
    """Return a row of the table; a figure under which there were errors has a star."""
    rates = [
        show_rate(result.median(name)) + ("*" if result.errors(name) else "") for name in NUMBERS
    ]
    memory = f"{result.median(MEMORY):.0f}"
    return [result.program.name, result.program.parser, *rates, memory]


def error_notes(results: Sequence[Result]) -> Iterator[str]:
    """Yield a sentence for each star, with what wrk counted in all rounds."""
    for result in sort_results(results):
        for name in NUMBERS:
            if errors := result.errors(name):
                counted = ", ".join(f"{count} {kind}" for kind, count in errors.items())
                yield f"* {result.program.name}, {name}: errors that wrk counted: {counted}."


def screen_table(results: Sequence[Result]) -> Table:
    """Return the table for a terminal."""
    title = "Stage 18 beside its peers: requests a second; memory in MB"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, heading in enumerate(HEADINGS):
        words = heading.replace(" client", "\nclient").replace(" KB ", " KB\n")
        table.add_column(words, justify="left" if number < 2 else "right", max_width=WIDEST)
    for result in sort_results(results):
        table.add_row(*cells(result), style="bold" if result.program.name == OURS else "")
    return table


def commands(loads: Sequence[Load], seconds: int) -> Iterator[str]:
    """Yield the commands that put the loads on a server that listens on port 4221."""
    for load in loads:
        words = load.command("wrk", seconds, "127.0.0.1:4221")
        yield " ".join(
            os.path.relpath(word, ROOT) if os.path.isabs(word) else word for word in words
        )


def markdown(results: Sequence[Result], setting: Setting, picture: str) -> str:
    """Return the section of the page: the `picture`, the table, and how it was measured."""
    rows = [list(HEADINGS), ["---"] * 2 + ["---:"] * (CELLS - 2)]
    for result in sort_results(results):
        row = [cell.replace("*", r"\*") for cell in cells(result)]
        rows.append([f"**{cell}**" for cell in row] if result.program.name == OURS else row)
    table = [f"| {' | '.join(row)} |" for row in rows]
    below = [f"- {note}".replace("*", r"\*") for note in notes(results, setting)]
    repeat = ["```sh", "make bench-peers", *commands(LOADS, setting.seconds), "```"]
    image = f"![Bars: requests a second of stage 18 and of other servers]({picture})"
    middle = "All of it again, and how each load is put on a server:"
    return "\n".join([image, "", *table, "", *below, "", middle, "", *repeat])


def check_page(page: Path) -> str:
    """Return the text of `page`. Raises PeersError where it lacks the markers, or is missing."""
    if not page.is_file():
        raise PeersError(f"there is no {page.name} to write the table into: make that page first")
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise PeersError(f"{page.name} needs one line {BEGIN} and, below it, one line {END}")
    return text


def write_page(page: Path, section: str) -> None:
    """Put `section` between the markers of `page`. Raises PeersError where there are none."""
    text = check_page(page)
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n\n{section}\n\n{after}", encoding="utf-8")
