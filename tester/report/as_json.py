"""Reports for programs: JSON as the contract describes it, and JUnit XML for CI.

What a result becomes in JUnit XML, so that a build is red exactly when a stage is not passed:

    requirement failed      <failure>
    edge case failed        <skipped message="edge case: ...">: stars are optional, and every CI
                            shows a skipped test without failing the build
    requirement not run     <skipped>, or <failure> if no other requirement failed: the stage is
                            not passed in that case either, and something must say so
    edge case not run       <skipped>
    attempt did not start   <error>, in a test case of its own
    stage outgrown          <skipped>: a stage of a ladder below the one that was reached; those
                            of its rules that failed do not apply any more
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tester.report.bytes_view import shorten
from tester.results import CheckResult, Failure, LadderResult, StageResult, printable

SURROUNDINGS = {"network": "host", "sandbox": "none"}
"""Where attempts run: on this machine's own network, and without a sandbox."""
MESSAGE_LIMIT = 4096  # Bytes of one message that a report keeps; of more, both ends.


def stage_to_dict(result: StageResult) -> dict[str, Any]:
    """Return the verdict on one stage, as the contract's JSON object."""
    return {
        "stage": result.stage,
        "title": result.title,
        "attempt": result.attempt,
        "passed": result.passed,
        "seed": result.seed,
        "seconds": round(result.seconds, 3),
        "requirements": dict(zip(("passed", "total"), result.count("requirement"), strict=True)),
        "edge_cases": dict(zip(("passed", "total"), result.count("edge"), strict=True)),
        "tests": [_test_to_dict(test) for test in result.tests],
        "error": printable(result.error) if result.error is not None else None,
        "looks_like": result.looks_like,
        **SURROUNDINGS,
    }


def _test_to_dict(test: CheckResult) -> dict[str, Any]:
    """Return one test; if it passed, its message, `why` and `hint` are empty."""
    passed = test.outcome == "passed"
    more = _failure_to_dict(test.failure) if test.failure else {}
    exchange = test.failure.exchange if test.failure else ()
    return {
        "id": test.id,
        "stage": test.stage,
        "title": test.title,
        "kind": test.kind,
        "outcome": test.outcome,
        "message": printable(_message(test)),
        "why": "" if passed else test.why,
        "hint": "" if passed else test.hint,
        "exchange": [
            {message.direction: shorten(message.data, MESSAGE_LIMIT)} for message in exchange
        ],
        **more,
    }


def _failure_to_dict(failure: Failure) -> dict[str, Any]:
    """Return what else there is to say about a failed test, apart from its message.

    What went wrong is called `failure`, because `kind` says whether the rule is a requirement.
    """
    pointer = failure.pointer
    return {
        "failure": failure.kind,
        "facts": {
            name: printable(value) if isinstance(value, str) else value
            for name, value in failure.facts.items()
        },
        "expected": printable(failure.expected),
        "got": printable(failure.got),
        "pointer": pointer
        and {"line": shorten(pointer.line, MESSAGE_LIMIT), "index": pointer.index},
        "ending": failure.ending,
        "command": printable(failure.command),
        "output": printable(failure.output),
    }


def _message(test: CheckResult) -> str:
    """Return what is wrong in one sentence, with the likely cause if there is one."""
    if test.outcome == "skipped":
        return f"not run: {test.skipped}"
    if test.failure is None or test.outcome != "failed":
        return ""
    likely = f" ({test.failure.likely})" if test.failure.likely else ""
    return test.failure.message + likely


def ladder_to_dict(result: LadderResult) -> dict[str, Any]:
    """Return how far an attempt gets, as the contract's JSON object."""
    return {
        "attempt": result.attempt,
        "reached": result.reached,
        "tries": result.tries,
        "seed": result.seed,
        "seconds": round(result.seconds, 3),
        "stages": [stage_to_dict(stage) for stage in result.stages],
        **SURROUNDINGS,
    }


def write_json(result: StageResult | LadderResult, path: str) -> None:
    """Write a result as JSON to the file `path`, or to standard output if it is `-`."""
    data = ladder_to_dict(result) if isinstance(result, LadderResult) else stage_to_dict(result)
    # ASCII only: every reader gets the same, whatever the encoding of the output.
    text = json.dumps(data, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        Path(path).write_text(text, encoding="ascii")
