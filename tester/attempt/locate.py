"""Finds out how to run an attempt: turns a path or a command into an `Attempt`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER_PROGRAMS = ("server.py", "your_program.sh", "your_server.sh", "app/main.py")


class UsageError(Exception):
    """A value from the command line can't be used. The text is one line that says what to do."""


@dataclass(frozen=True)
class Attempt:
    """A program to grade, and how to start it."""

    label: str
    """What the user called it, to be shown in reports."""
    command: tuple[str, ...]
    folder: Path | None = None
    """Where it must run; `None` for the scratch folder."""


def locate(path: str | None, command: str | None = None) -> Attempt:
    """Find out how to run the attempt at `path`, or `command` in the folder `path`.

    Raises UsageError with one line that says what to do.
    """
    place = Path(path or ".").expanduser()
    if not place.exists():
        raise UsageError(f"there is no {path}: give the path of your server's file or folder")
    place = place.resolve()
    if command is not None:
        return _command_attempt(command, place)
    if place.is_dir():
        return _folder_attempt(path or ".", place)
    if place.suffix == ".py":
        return Attempt(path or ".", (sys.executable, "-u", str(place)))
    if os.access(place, os.X_OK):
        return Attempt(path or ".", (str(place),))
    raise UsageError(f"{path} is neither a .py file nor executable: run chmod +x on it first")


def _command_attempt(command: str, place: Path) -> Attempt:
    """Return the attempt that `command` starts: in the folder `place`, or in that of the file."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--command can't be read ({error}): check its quotes") from None
    if not words:
        raise UsageError('--command is empty: write, for example, --command "go run ."')
    folder = place if place.is_dir() else place.parent
    if not shutil.which(words[0], path=None) and not (folder / words[0]).exists():
        raise UsageError(f"--command: there is no program {words[0]!r} on this machine")
    return Attempt(command, words, folder)


def _folder_attempt(path: str, place: Path) -> Attempt:
    """Return the attempt in the folder `place`: the first known program name that is in it."""
    for name in FOLDER_PROGRAMS:
        program = place / name
        if not program.is_file():
            continue
        if name == "server.py":
            return Attempt(path, (sys.executable, "-u", str(program)))
        if name == "app/main.py":
            return Attempt(path, (sys.executable, "-u", "-m", "app.main"), place)
        shell = (str(program),) if os.access(program, os.X_OK) else ("sh", str(program))
        return Attempt(path, shell, place)
    names = ", ".join(FOLDER_PROGRAMS[:-1])
    raise UsageError(
        f"{path} holds no program: it needs {names} or {FOLDER_PROGRAMS[-1]}; or use --command"
    )


def first_line_advice(command: tuple[str, ...], wants_one: bool) -> str:
    """Return what is wrong with the first line of the script that `command` runs, or nothing."""
    try:
        with open(command[0], "rb") as file:
            line = file.readline(200)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        advice = (
            "its first line does not name an interpreter: it should begin with #!, for example"
            " #!/bin/sh"
        )
        return advice if wants_one else ""
    program = line[2:].split(maxsplit=1)[0].decode(errors="replace") if line[2:].split() else ""
    if line.endswith(b"\r\n"):
        return (
            f"its first line names {program + chr(13)!r}, a program that does not exist: its lines"
            " end in CR LF. Save it with LF alone (in an editor, or with dos2unix)"
        )
    if Path(program).exists():
        return ""
    return f"its first line names {program!r}, a program that does not exist"
