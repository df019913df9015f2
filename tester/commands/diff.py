"""`python -m tester diff`: shows what a stage changes."""

from __future__ import annotations

import argparse
import os
import sys

from tester.attempt.locate import UsageError
from tester.ladder.steps import diff_text


def command_diff(options: argparse.Namespace) -> int:
    """Print what a stage changes in the stage before it, or in another one."""
    if len(options.stages) > 2:
        raise UsageError("diff takes one stage or two: python -m tester diff 7")
    newer = options.stages[-1]
    older = options.stages[0] if len(options.stages) == 2 else newer - 1
    text = diff_text(older, newer)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        from rich.syntax import Syntax

        from tester.report.terminal import make_console

        make_console().print(Syntax(text, "diff", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)
    return 0
