"""Options that several of the workshop's commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tester.ladder.stages import STAGES


def read_stages(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, parallel: int
) -> argparse.Namespace:
    """Return what the command line of a program asks for that grades stages, several at a time.

    It takes STAGE ... and --parallel N, which is `parallel` unless told otherwise, beside all that
    `parser` knows. Leaves with exit code 2 if that makes no sense.
    """
    numbers = [stage.number for stage in STAGES]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("stages", type=int, nargs="*", metavar="STAGE", help="all, if none is told")
    parser.add_argument("--parallel", type=int, default=parallel, metavar="N", help="at a time")
    options = parser.parse_args(arguments)
    options.stages = options.stages or numbers
    if not set(options.stages) <= set(numbers) or options.parallel < 1:
        parser.error("the stages are 1 to 18, and at least one grade runs at a time")
    return options
