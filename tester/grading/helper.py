"""A process that waits for stages to grade, for those who can't lend their own."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys

from tester.grading.climb import keep_stage
from tester.grading.grade import prepare_process
from tester.ladder.stages import ROOT

HELPER_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from tester.grading.helper import be_helper; be_helper()"
)


def start_helper(errors: int | None = None) -> subprocess.Popen[bytes]:
    """Start a process that runs `be_helper`; `errors` is where its standard error goes."""
    return subprocess.Popen(
        [sys.executable, "-c", HELPER_CODE, str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is for us: we stop it ourselves.
    )


def be_helper() -> None:
    """Be the helper of a program with threads, as a notebook's kernel: it must not fork itself.

    Grade what standard input says, and write the verdict to standard output.
    """
    prepare_process()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            grading, stage = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):  # They were stopped before they could tell us.
            return
        pickle.dump(keep_stage(grading, stage), sys.stdout.buffer)
