"""Puts stage 18's server beside other people's, under load: `make bench-peers`.

`python -m tester.workshop peers [--rounds N] [--seconds S] [--svg FILE] [--write]`. It needs wrk.
The other servers are installed into a folder of their own for the run, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tester.ladder.stages import ROOT
from tester.workshop.peers import drawing, measuring, table
from tester.workshop.peers.programs import PROGRAMS, PeersError, make_environment

PAGE = ROOT / "stages" / "CONFORMANCE.md"
PICTURE = ROOT / ".github" / "peers.svg"
ROUNDS, SECONDS = 5, 3
BUSY = 0.25  # Of the cores in use, over the last minute: more of it would be in the figures.


def count(text: str) -> int:
    """Return a whole number from 1 on. Raises ArgumentTypeError for anything else."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line. Raises PeersError where one can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tester.workshop peers",
        description=__doc__.partition("\n")[0],
        exit_on_error=False,
    )
    parser.add_argument("--rounds", type=count, default=ROUNDS, help=f"{ROUNDS} if not told")
    parser.add_argument(
        "--seconds", type=count, default=SECONDS, help=f"for each load of a round; {SECONDS}"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures into FILE")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write them into stages/CONFORMANCE.md and .github/peers.svg",
    )
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise PeersError(str(error)) from None
    if unknown:
        raise PeersError(f"there is no option {unknown[0]}: --help shows those that there are")
    if options.svg and (options.svg.is_dir() or not options.svg.parent.is_dir()):
        raise PeersError(f"--svg {options.svg}: that is a folder, or there is no folder for it")
    if options.write:
        table.check_page(PAGE)
    return options


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write what was asked for. Raises PeersError."""
    wrk, version = measuring.find_wrk()
    screen, progress = Console(), Console(stderr=True)
    if os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
        progress.print("note: this machine has other work to do, so the figures will vary")
    packages = sorted({name for program in PROGRAMS for name in program.packages})
    with progress.status("installing the peers") as status:
        with make_environment(packages) as environment:
            tell = status.update if progress.is_terminal else progress.print
            put_load = functools.partial(measuring.run_wrk, wrk, options.seconds)
            results = measuring.measure(
                PROGRAMS, environment.python, options.rounds, put_load, tell
            )
    setting = table.Setting(version, environment.versions, options.rounds, options.seconds)
    screen.print(table.screen_table(results))
    for line in table.notes(results, setting):
        screen.print(line, markup=False, highlight=False)
    svg = drawing.draw(results, " ".join(list(setting.lines())[::2]))
    for path in filter(None, (options.svg, PICTURE if options.write else None)):
        path.write_text(svg, encoding="utf-8")
    if options.write:
        table.write_page(PAGE, table.markdown(results, setting, f"../.github/{PICTURE.name}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 2 if it can't be done."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # However we end, so do the servers.
    try:
        run(read_options(arguments))
    except PeersError as error:
        print(f"python -m tester.workshop peers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0
