"""Grades one stage, or all eighteen, with a worker for each run."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from tester.grading.grade import Collided, grade_stage, grade_stages
from tester.grading.job import Grading
from tester.grading.run import Run
from tester.grading.worker import Crew, Hit, Worker, working
from tester.ladder.stages import LAST_STAGE, STAGES, get_stage
from tester.results import LadderResult, StageResult


def keep_stage(grading: Grading, stage: int) -> StageResult:
    """Grade one stage, 1 to 18, and come to a verdict whatever happens. Raises UsageError."""
    began = time.monotonic()
    try:
        with working() as crew:
            return crew.finish(crew.start(lambda _: grade_stage(grading, stage)))
    except Hit as hit:
        return _ungraded(grading, range(stage, stage + 1), began, str(hit))[0]


def keep_ladder(grading: Grading) -> LadderResult:
    """Grade all stages; each check runs once for each way of starting. Raises UsageError.

    An attempt that takes the port it is given runs in both ways at once: most of the time is spent
    waiting.
    """
    began = time.monotonic()
    with_files = next(stage.number for stage in STAGES if stage.has_files)
    ways = range(1, with_files), range(with_files, LAST_STAGE + 1)
    results: list[StageResult] = []
    try:
        with working() as crew:
            plain = crew.start(lambda worker: _grade_plain(grading, ways[0], worker))
            crew.wait(lambda: plain.reports or plain.ended)
            beside = None
            if plain.reports and not plain.reports[0]["is_alone"]:
                copy = replace(grading, is_copy=True)
                beside = crew.start(lambda _: grade_stages(copy, ways[1]))
            results += crew.finish(plain)
            results += _finish_files(crew, beside, grading, ways[1])
    except Hit as hit:
        left = range(len(results) + 1, LAST_STAGE + 1)
        results += _ungraded(grading, left, began, str(hit))
    seconds = round(time.monotonic() - began, 3)
    return LadderResult(grading.label, grading.seed, seconds, tuple(results))


def _grade_plain(grading: Grading, stages: range, worker: Worker) -> list[StageResult]:
    """Grade the stages without files, and report when the attempt listens."""

    def tell(run: Run) -> None:
        """Report whether a copy of the attempt can run beside it."""
        worker.report(is_alone=run.server.is_alone)

    return grade_stages(grading, stages, started=tell)


def _finish_files(
    crew: Crew, beside: Worker | None, grading: Grading, stages: range
) -> list[StageResult]:
    """Return the verdicts on the stages with files, graded anew where a copy could not run."""
    if beside is not None:
        with contextlib.suppress(Collided):
            return crew.finish(beside)
    return crew.finish(crew.start(lambda _: grade_stages(grading, stages)))


def _ungraded(grading: Grading, stages: range, began: float, error: str) -> list[StageResult]:
    """Return the verdicts on stages that could not be graded."""
    seconds = round(time.monotonic() - began, 3)
    return [
        StageResult(
            stage=stage,
            title=get_stage(stage).title,
            attempt=grading.label,
            seed=grading.seed,
            seconds=seconds,
            error=error,
        )
        for stage in stages
    ]
