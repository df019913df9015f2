"""The page that says which check asks for what: it names every check, where it belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tester.ladder.rule import all_checks, checks_of
from tester.ladder.stages import ROOT, get_stage

PAGE = ROOT / "tester" / "rules" / "README.md"
SECTION = re.compile(r"^## Stages (\d+) to (\d+)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(test_\w+)`")


def read_sections() -> Iterator[tuple[range, str]]:
    """Yield which stages a section is about, and its text."""
    for first, last, text in SECTION.findall(PAGE.read_text(encoding="utf-8")):
        yield range(int(first), int(last) + 1), text


SECTIONS = dict(read_sections())


def test_the_sections_are_about_all_stages() -> None:
    """One after the other, each stage once."""
    assert [number for stages in SECTIONS for number in stages] == list(range(1, 19))


@pytest.mark.parametrize("stages", SECTIONS, ids=lambda one: f"{one[0]} to {one[-1]}")
def test_a_section_names_the_checks_of_its_stages(stages: range) -> None:
    """All of them, and no others: a check that is not there is one that nobody will find."""
    named = set(NAME.findall(SECTIONS[stages]))
    if not SECTIONS[stages].strip():
        pytest.skip("nothing is written there yet")
    assert named == {check.__name__ for number in stages for check in checks_of(get_stage(number))}


def test_every_name_on_the_page_exists() -> None:
    """Checks are renamed, and pages forget."""
    assert set(NAME.findall(PAGE.read_text(encoding="utf-8"))) <= all_checks().keys()
