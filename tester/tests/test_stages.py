"""The ladder against the rules: every stage holds its own, and not yet the next one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tester.ladder import STAGES, Stage, get_stage
from tester.tests.conftest import failed, grade

SERVERS = Path(__file__).parent / "servers"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.slug)
def test_a_stage_holds_every_rule_in_force(stage: Stage) -> None:
    """Requirements and edge cases: all of them."""
    result = grade(stage.server, stage=stage.number)
    assert not failed(result)
    assert result["passed"]
    assert result["error"] is None


@pytest.mark.parametrize("stage", STAGES[:-1], ids=lambda stage: stage.slug)
def test_a_stage_does_not_hold_the_next_ones_rules(stage: Stage) -> None:
    """Otherwise the next stage's rules would teach nothing."""
    result = grade(stage.server, stage=stage.number + 1)
    new = [
        test
        for test in result["tests"]
        if test["stage"] == stage.number + 1
        and test["kind"] == "requirement"
        and test["outcome"] == "failed"
    ]
    assert new
    assert not result["passed"]


# Not all: grading all eighteen stages takes a while. On both sides of what differs: the way of
# starting changes at 12, keep-alive comes at 15.
FAR = [get_stage(number) for number in (3, 7, 9, 11, 12, 14, 15, 18)]


@pytest.mark.parametrize("stage", FAR, ids=lambda stage: stage.slug)
def test_a_stage_has_come_as_far_as_its_number(stage: Stage) -> None:
    """Grading without `--stage` finds it."""
    result = grade(stage.server)
    assert result["reached"] == stage.number
    assert [one["stage"] for one in result["stages"]] == list(range(1, 19))


@pytest.mark.parametrize("name", ["asyncio", "selectors", "http"])
def test_a_server_of_another_make_passes_the_last_stage(name: str) -> None:
    """The rules ask for nothing but HTTP and the contract: not for our way of doing it."""
    result = grade(SERVERS / f"{name}_server.py", stage=18)
    assert not failed(result)
    assert result["passed"]
