"""Puts stage 18's server under load and attack, and prints the figures: `make soak-server`.

`python -m tester.workshop stress [--minutes M]`: M minutes of mixed load (10, if not told), and the
rest, which takes about one. The exit code is 1 if a promise is broken; a line says which.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence

from tester.arguments import OneLineParser
from tester.attempt.starting import StartError
from tester.workshop.stress.clients import TROUBLE
from tester.workshop.stress.crowd import check_crowd
from tester.workshop.stress.endings import check_endings
from tester.workshop.stress.large import check_large
from tester.workshop.stress.mixed import check_mixed
from tester.workshop.stress.uploads import check_uploads
from tester.workshop.stress.watched import BrokenPromise

MINUTES = 10.0


def read_minutes(text: str) -> float:
    """`"0.3"` -> `0.3`. Raises ArgumentTypeError where it is no time."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes: say 0.3, for example")
    return minutes


def try_promises(checks: list[Callable[[], list[str]]]) -> int:
    """Make all checks, print what they saw, and return how many found a promise broken."""
    broken = 0
    for check in checks:
        try:
            lines = check()
        except (BrokenPromise, StartError, *TROUBLE) as error:
            broken += 1
            lines = [f"BROKEN: {error}"]
        print("\n".join(lines), flush=True)
    return broken


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; return 1 if a promise is broken, 2 if this machine does not allow it."""
    parser = OneLineParser(prog="python -m tester.workshop stress", description=__doc__)
    parser.add_argument(
        "--minutes", type=read_minutes, default=MINUTES, help=f"of mixed load ({MINUTES:g})"
    )
    minutes = parser.parse_args(arguments).minutes
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # However we end, so does the server.
    python = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    print(f"Stage 18's server on {platform.system()}, {python}", flush=True)
    checks: list[Callable[[], list[str]]] = [check_crowd, check_uploads, check_endings, check_large]
    try:
        broken = try_promises([*checks, lambda: check_mixed(minutes * 60)])
    except ValueError as error:  # Too few descriptors
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped before the end.", file=sys.stderr)
        return 1
    print(f"Broken promises: {broken}." if broken else "All promises hold.")
    return 1 if broken else 0
