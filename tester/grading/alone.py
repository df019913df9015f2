"""One check alone, on a server of its own: is this mistake caught, and what is said then?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.grading.check import call
from tester.grading.client import Client
from tester.grading.explain import explain
from tester.grading.words import Words
from tester.ladder.rule import all_checks, read_rule
from tester.ladder.stages import get_stage
from tester.mistakes import Mistake, source
from tester.results import Failure

PATIENCE = 3.0  # Seconds to wait for a response: many a mistake is that none comes.


def catch(mistake: Mistake, seed: int = 1) -> Failure | None:
    """Make the mistake, run its check alone, and return what that says; None if it has passed.

    A server that does not even start has failed every check.
    """
    with tempfile.TemporaryDirectory(prefix="http-tester-mistake-") as folder:
        path = Path(folder, "server.py")
        path.write_text(source(mistake), encoding="utf-8")
        return run_alone(path, mistake.stage, mistake.rule, seed)


def run_alone(path: Path, stage: int, rule: str, seed: int) -> Failure | None:
    """Run the check `rule` alone on the server at `path`, which is one of `stage`."""
    check = all_checks()[rule]
    try:
        with Server(locate(str(path)), with_directory=get_stage(stage).has_files) as server:
            server.patience = PATIENCE
            client = Client(server, Words(f"{seed}:{rule}"))
            error = call(check, client)
            if isinstance(error, pytest.skip.Exception):
                raise error
            return explain(error, client, read_rule(check).stage) if error else None
    except StartError as error:
        return Failure(str(error), output=error.output)
