"""`python -m tester.workshop VERB`: one door for everything that only maintainers run."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from tester.arguments import OneLineParser

VERBS = {
    "bench": ("bench", "how long a verdict takes"),
    "carry": ("carry", "make the change in one stage's server in all later ones too"),
    "fuzz": ("fuzz.hunt", "made-up requests, read by our server and by other readers"),
    "learn": ("learn", "learn by what the known mistakes are recognised"),
    "map": ("carry", "write stages/README.md"),
    "mutants": ("mutants.grade", "does the grader notice changes that a machine makes?"),
    "peers": ("peers.command", "stage 18's server beside other people's, under load"),
    "picture": ("picture", "draw the README's failed check"),
    "soak": ("soak", "grade again and again while the cores are busy"),
    "stress": ("stress.command", "stage 18's server under load and attack"),
}
"""Each verb's module in this room, and what it is for."""
HAVE_SUBCOMMANDS = ("carry", "map")  # One parser reads both, and their options.
INTERRUPTED = 130  # The exit code after Ctrl-C.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that `arguments` begin with; return its exit code, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = OneLineParser(
        prog="python -m tester.workshop",
        description="Tools for maintainers.",
        epilog="\n".join(f"  {verb:9} {what}" for verb, (_, what) in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="one of these:")
    verb = parser.parse_args(words[:1]).verb
    module = importlib.import_module(f"tester.workshop.{VERBS[verb][0]}")
    try:
        return module.main(words if verb in HAVE_SUBCOMMANDS else words[1:]) or 0
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
