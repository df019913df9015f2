"""`python -m tester.workshop VERB`: every verb is there, and a mistyped one is told in one line."""

from __future__ import annotations

import importlib

import pytest

from tester.workshop.__main__ import VERBS, main


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it does, and does nothing."""
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"python -m tester.workshop {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["sock"]], ids=["no verb", "a mistyped verb"])
def test_another_word_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with exit code 2."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m tester.workshop: ")


def test_ctrl_c_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell."""

    def interrupt(_: object) -> None:
        """Do as Ctrl-C does."""
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("tester.workshop.bench"), "main", interrupt)
    assert main(["bench"]) == 130
