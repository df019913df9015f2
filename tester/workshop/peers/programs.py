"""Which programs are measured, how each is started, and where their packages live meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tester.attempt.locate import Attempt
from tester.ladder.stages import get_stage

SERVERS = Path(__file__).resolve().parent / "servers"
OURS, FLOOR = "stage 18", "the floor"
PYTHON, C, NONE = "Python", "C", "none"  # What a parser is written in.
# Run by the environment's own Python, with names of packages: prints their versions as JSON.
ASK_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class PeersError(Exception):
    """Why there is nothing to show, in one line that says what to do."""


@dataclass(frozen=True)
class Program:
    """A server that is measured."""

    name: str
    parser: str
    """What reads its requests: `Python`, `C` or `none`."""
    path: Path
    arguments: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """What pip installs for it; nothing where Python brings all of it."""

    def attempt(self, python: str) -> Attempt:
        """Return how the program is started by the Python at the path `python`."""
        return Attempt(self.name, (python, "-u", str(self.path), *self.arguments))


# Ours hangs up on silent clients after 5 s, as by itself: the tester would tell it 1.
PROGRAMS = (
    Program(OURS, PYTHON, get_stage(18).server, ("--quiet", "--idle-timeout", "5")),
    Program(FLOOR, NONE, SERVERS / "run_floor.py"),
    Program("http.server", PYTHON, SERVERS / "run_http_server.py"),
    Program("cheroot", PYTHON, SERVERS / "run_cheroot.py", (), ("cheroot",)),
    Program("waitress", PYTHON, SERVERS / "run_waitress.py", (), ("waitress",)),
    Program("gunicorn (gthread)", PYTHON, SERVERS / "run_gunicorn.py", (), ("gunicorn",)),
    Program("hypercorn", PYTHON, SERVERS / "run_hypercorn.py", (), ("hypercorn", "h11")),
    Program("tornado", PYTHON, SERVERS / "run_tornado.py", (), ("tornado",)),
    Program("aiohttp", C, SERVERS / "run_aiohttp.py", (), ("aiohttp",)),
    Program("uvicorn (h11)", PYTHON, SERVERS / "run_uvicorn.py", (), ("uvicorn", "h11")),
    Program(
        "uvicorn (httptools, uvloop)",
        C,
        SERVERS / "run_uvicorn.py",
        ("--fast",),
        ("uvicorn", "httptools", "uvloop"),
    ),
)


@dataclass(frozen=True)
class Environment:
    """A Python with the peers' packages."""

    python: str
    """The path of its program."""
    versions: dict[str, str]
    """By the names of the packages that were asked for."""


@contextlib.contextmanager
def make_environment(packages: list[str]) -> Iterator[Environment]:
    """Make a folder with a Python of its own and `packages` in it; it is removed at the end.

    Raises PeersError where Python or pip can't do so.
    """
    with tempfile.TemporaryDirectory(prefix="http-peers-") as folder:
        python = os.path.join(folder, "venv", "bin", "python")
        _run("python -m venv", [sys.executable, "-m", "venv", os.path.join(folder, "venv")], folder)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run("pip install", [*pip, *packages], folder)
        versions = _run("Python", [python, "-c", ASK_VERSIONS, *packages], folder)
        yield Environment(python, json.loads(versions))


def _run(name: str, command: list[str], scratch: str) -> str:
    """Run `command`, return what it printed. Raises PeersError with the last line of its errors.

    It has `scratch` for what it stores meanwhile; whatever it starts ends when we are interrupted.
    """
    process = subprocess.Popen(
        command,
        env=os.environ | {"TMPDIR": scratch},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # Ends when none of them has our pipe any more.
        raise
    if process.returncode:
        lines = (errors or output).strip().splitlines() or ["it did not say why"]
        last = next((line for line in reversed(lines) if "ERROR" in line), lines[-1])
        raise PeersError(f"{name} failed, so the peers can't be installed: {last}")
    return output
