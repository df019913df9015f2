"""`python -m tester serve`: runs our own server of a stage."""

from __future__ import annotations

import argparse
import os
import sys

from tester.ladder.stages import ROOT, get_stage

SERVE_PORT = "4221"


def command_serve(options: argparse.Namespace) -> int:
    """Replace this process by our own server of a stage, on port 4221 or the one in PORT."""
    stage = get_stage(options.stage)
    port = os.environ.get("PORT") or SERVE_PORT
    words = [sys.executable, "-u", str(stage.server)]
    address = f"http://127.0.0.1:{port}/"
    if stage.has_files:
        words += ["--directory", str(ROOT / "stages" / "public")]
    if stage.tells_types:
        address += "files/index.html"
    print(f"Stage {stage.number}, {stage.title}. Ctrl-C stops it. Try it: {address}", flush=True)
    os.chdir(ROOT / "stages")
    os.execve(words[0], words, os.environ | {"PORT": port})
