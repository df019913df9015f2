"""Runs other programs that talk to a lesson's server: curl."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

from tester.lesson.servers import Running, check_kind, find_running
from tester.lesson.views import Row, View, rows_html, rows_text

TIMEOUT = 5  # Seconds until curl gives up.
BARE = re.compile(r"[\w%+=:,./@-]+", re.ASCII)  # Characters that mean nothing special to any shell.


def curl(*words: str, server: Running | None = None) -> View:
    """Run curl against the server that runs, and show what it prints.

    A word that begins with `/` is a path on that server: `curl("-i", "/echo/hi")`. The last line is
    curl's exit code. Raises LessonError if no server runs, or if a word is not a text.
    """
    for word in words:
        check_kind(word, str, 'text, as in curl("-i", "/")')
    url = find_running(server).url
    arguments = [url + word if word.startswith("/") else word for word in words]
    said = " ".join(["curl", *map(quote, arguments)])
    if not shutil.which("curl"):
        return View("<p>curl is not on this machine: skipped.</p>", "curl is not on this machine")
    command = ["curl", "-sS", "--max-time", str(TIMEOUT), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stdout.decode("utf-8", "backslashreplace").replace("\r", "")
    errors = done.stderr.decode("utf-8", "backslashreplace")
    rows = [Row(f"$ {said}", "side")]
    rows += [Row(line) for line in text.splitlines()]
    rows += [Row(line, "note") for line in errors.splitlines()]
    # As readers type it: their own server is on the usual port.
    rows = [Row(row.text.replace(url, "http://localhost:4221"), row.kind) for row in rows]
    code = done.returncode
    end = f"■ curl's exit code is {code}: {'an error' if code else 'no error'}"
    rows.append(Row(end, "surplus" if code else "note"))
    return View(rows_html(rows), rows_text(rows))


def quote(word: str) -> str:
    """Return a word as one types it in a shell, in quotes if it needs them.

    >>> quote("Connection: close"), quote("Anna's phone")
    ("'Connection: close'", '"Anna\'s phone"')
    """
    if BARE.fullmatch(word):
        return word
    if "'" not in word:
        return f"'{word}'"
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'
