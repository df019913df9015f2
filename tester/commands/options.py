"""Reads the values of options, strictly."""

from __future__ import annotations

import argparse

from tester.ladder.stages import STAGES

MOST_MEMORY = 1_000_000  # Megabytes.


def stage_number(text: str) -> int:
    """Return the stage number in `text`. Raises argparse.ArgumentTypeError."""
    if text.isdecimal() and text.isascii() and 1 <= int(text) <= len(STAGES):
        return int(text)
    raise argparse.ArgumentTypeError(
        f"there is no stage {text!r}: give a number from 1 to {len(STAGES)}"
    )


def positive_seconds(text: str) -> float:
    """Return the number of seconds in `text`. Raises argparse.ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if 0 < seconds <= 3600:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3,600")


def megabytes(text: str) -> int:
    """Return the number of megabytes in `text`. Raises argparse.ArgumentTypeError."""
    if text.isdecimal() and text.isascii() and 0 < int(text) <= MOST_MEMORY:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a number of megabytes from 1 to {MOST_MEMORY:,}"
    )
