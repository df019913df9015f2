"""A job: what to grade, and how; a value that can travel."""

from __future__ import annotations

from dataclasses import dataclass

from tester.attempt.limits import MEMORY_LIMIT
from tester.attempt.server import STARTUP_TIMEOUT


@dataclass(frozen=True)
class Grading:
    """What to grade, and how."""

    path: str | None
    command: str | None = None
    seed: int = 0
    startup_timeout: float = STARTUP_TIMEOUT
    memory_limit: int = MEMORY_LIMIT
    """Megabytes."""
    is_copy: bool = False
    """Whether another process of ours runs the same attempt, and only one can have some port."""

    @property
    def label(self) -> str:
        """What the attempt is called in reports."""
        return self.command or self.path or "."
