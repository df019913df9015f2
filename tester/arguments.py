"""What all our command lines share: they complain in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        """Print one line, and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")
