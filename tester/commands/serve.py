"""`python -m tester serve`."""

from __future__ import annotations

import argparse
import os
import sys

from tester.ladder.stages import ROOT, get_stage

SERVE_PORT = "4221"
FIRST_WITH_FILES = 12  # The stage from which on servers take --directory.


def command_serve(options: argparse.Namespace) -> int:
    """Become our own server of a stage, on port 4221 unless PORT says otherwise."""
    stage = get_stage(options.stage)
    port = os.environ.get("PORT") or SERVE_PORT
    words = [sys.executable, "-u", str(stage.server)]
    address = f"http://127.0.0.1:{port}/"
    if stage.number >= FIRST_WITH_FILES:
        words += ["--directory", str(ROOT / "stages" / "public")]
    if stage.number > FIRST_WITH_FILES:  # From then on a browser is told what the files are.
        address += "files/index.html"
    print(f"Stage {stage.number}, {stage.title}. Ctrl-C stops it. Try it: {address}", flush=True)
    os.chdir(ROOT / "stages")
    os.execve(words[0], words, os.environ | {"PORT": port})
