"""The ladder against the rules: every stage holds its own, and not yet the next one's."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tester.grading.alone import run_alone
from tester.ladder.rule import checks_of, read_rule
from tester.ladder.stages import STAGES, Stage, get_stage
from tester.tests.helpers import TESTS, WriteAttempt, failed, fixed_port, grade

SERVERS = TESTS / "servers"


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
    rules = map(read_rule, checks_of(get_stage(stage.number + 1)))
    required = [rule.name for rule in rules if rule.kind == "requirement"]
    failures = filter(
        None, (run_alone(stage.server, stage.number + 1, name, 1) for name in required)
    )
    assert any(not failure.message.startswith("the check itself") for failure in failures)


# Not all: grading all eighteen stages takes a while. On both sides of where the way of starting
# changes, and at the end.
FAR = [get_stage(number) for number in (11, 12, 18)]


@pytest.mark.parametrize("stage", FAR, ids=lambda stage: stage.slug)
def test_a_stage_has_come_as_far_as_its_number(stage: Stage) -> None:
    """Grading without `--stage` finds it."""
    result = grade(stage.server)
    assert result["reached"] == stage.number
    assert [one["stage"] for one in result["stages"]] == list(range(1, 19))


@pytest.mark.parametrize(
    "name", ["asyncio", "selectors", "http", "socketserver", "odd", "dripping"]
)
def test_a_server_of_another_make_passes_the_last_stage(name: str) -> None:
    """The rules ask for nothing but HTTP and the contract: not for our way of doing it."""
    result = grade(SERVERS / f"{name}_server.py", stage=18)
    assert not failed(result)
    assert result["passed"]
    assert result["looks_like"] == ""


def test_a_server_with_a_port_of_its_own_passes_the_last_stage(write_attempt: WriteAttempt) -> None:
    """It can't run twice, so its checks have their turns one after the other."""
    source = (SERVERS / "selectors_server.py").read_text(encoding="utf-8")
    default = 'int(os.environ.get("PORT", "4221"))'
    assert default in source
    result = grade(write_attempt(source.replace(default, str(fixed_port()))), stage=18)
    assert not failed(result)
    assert result["passed"]


@pytest.mark.parametrize("start", ["exec ", ""], ids=["in its place", "as its child"])
def test_a_server_behind_a_shell_script_passes_the_last_stage(
    write_attempt: WriteAttempt, start: str
) -> None:
    """Wherever the script's own process stays."""
    server = get_stage(18).server
    script = f'#!/bin/sh\n{start}"{sys.executable}" -u "{server}" "$@"\nexit $?\n'
    result = grade(write_attempt(script, "my server"), stage=18)
    assert not failed(result)
    assert result["passed"]


def test_a_server_in_another_language_passes_the_last_stage() -> None:
    """Node's own parser reads the requests: it knows nothing of us."""
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    result = grade(SERVERS, "--command", "node node_server.js", stage=18)
    assert result["requirements"]["passed"] == result["requirements"]["total"]
    assert result["passed"]


def test_a_folder_for_codecrafters_has_come_as_far_as_it_claims(tmp_path: Path) -> None:
    """With their script and a port of its own, which is another one here: tests run at once."""
    folder = tmp_path / "codecrafters"
    shutil.copytree(SERVERS / "codecrafters", folder)
    program = folder / "app" / "main.py"
    source = program.read_text(encoding="utf-8")
    program.write_text(source.replace("4221", str(fixed_port())), encoding="utf-8")
    assert grade(folder)["reached"] == 12
