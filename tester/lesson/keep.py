"""Runs the notebooks, keeps what they show, and opens them.

    python -m tester.lesson run           run all notebooks, and keep their outputs: `make lessons`
    python -m tester.lesson run 07 10     only these; with --fresh, keep no old output at all
    python -m tester.lesson open          open the start page in JupyterLab: `make notebooks`

Where an output differs only in what changes from run to run (times, ports, dates, pictures of
measurements), the old output stays. So running a lesson again, here or in JupyterLab, changes
nothing in git, and a real change stands out.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import nbformat
import nbformat.sign
from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tester.arguments import OneLineParser
from tester.ladder.stages import ROOT, STAGES
from tester.masks import hide_dates

NOTEBOOKS = ROOT / "notebooks"
START = "00-start-here.ipynb"
NAMES = (START, *(stage.lesson.name for stage in STAGES))
CELL_TIMEOUT = 60  # Seconds: only so that no run hangs forever.
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
INTERRUPTED = 130  # The exit code after Ctrl-C.
YOURS = "yours"
"""The tag of a cell whose output depends on the learner's own server: the old output stays."""
VARIES = "varies"
"""The tag of a cell whose text depends on the machine, such as on curl's version."""
NEWS = "@jupyterlab/apputils-extension:announcements"
"""The extension that asks, before the first lesson, whether one wants news about Jupyter."""
PICTURES = ("image/svg+xml", "image/png")
MASKS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\b(127\.0\.0\.1|localhost|\[::1\]):\d+", r"\1:PORT"),
        (r"\bport \d{4,5}\b", "port PORT"),
        (r"\bseed \d+", "seed SEED"),
        (r"\b\d+(\.\d+)? ?(ms|s|seconds)\b", "TIME"),
        (r"\b0x[0-9a-f]{6,}\b", "ADDRESS"),
        (r"\bcurl/[\d.]+", "curl/VERSION"),
        (r"\r\n", "\n"),  # JupyterLab drops each CR that was printed.
        (r" +", " "),
    )
)

# --- What is kept ---------------------------------------------------------------------------------


def mask(text: str) -> str:
    """Return text with a word in place of everything that changes from run to run."""
    text = hide_dates(text, "DATE")
    for pattern, words in MASKS:
        text = pattern.sub(words, text)
    return text


def _as_text(value: Any) -> str:
    """Return a text of a notebook, which may be stored as a list of lines."""
    return "".join(value) if isinstance(value, list) else str(value)


def signature(outputs: Iterable[Any], *, varies: bool = False) -> list[Any]:
    """Return the part of a cell's outputs that counts: if it is equal, two runs are equal.

    Of a picture, only its kind counts; if the cell `varies`, that is true of all outputs.
    """
    found: list[Any] = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            text = _as_text(output["text"])
            if found and found[-1][:2] == [kind, output["name"]]:
                text = found.pop()[2] + text  # How a text is cut into pieces is chance.
            found.append([kind, output["name"], text])
        elif kind == "error":
            found.append([kind, output["ename"], mask(output["evalue"])])
        else:
            data = output["data"]
            drawn = any(name in data for name in PICTURES)
            texts = {} if drawn else {name: mask(_as_text(data[name])) for name in data}
            found.append([kind, sorted(data), texts])
    if varies:
        return [each[:2] for each in found]
    # Only a whole text can be masked: a cut may fall into a date, or between two spaces.
    return [[*each[:2], mask(each[2])] if each[0] == "stream" else each for each in found]


def same_outputs(old: Any, new: Any) -> bool:
    """Return whether two runs of a cell have shown the same, in the part that counts."""
    tags = old.get("metadata", {}).get("tags", [])
    if YOURS in tags:
        return True
    varies = VARIES in tags
    return signature(old["outputs"], varies=varies) == signature(new["outputs"], varies=varies)


def keep(old: Any, new: Any) -> None:
    """Put the outputs of `old` back into the notebook `new`, wherever they are the same.

    Both are notebooks as JSON has them. A cell that was not run keeps its outputs too.
    """
    before = {cell.get("id"): cell for cell in old["cells"]}
    for cell in new["cells"]:
        known = before.get(cell.get("id"))
        if known is None or known["cell_type"] != cell["cell_type"]:
            continue
        if _as_text(known["source"]) != _as_text(cell["source"]):
            continue
        cell["metadata"] = known["metadata"]
        if cell["cell_type"] != "code":
            continue
        idle = cell["execution_count"] is None and not cell["outputs"]
        if idle or (known["outputs"] or not cell["outputs"]) and same_outputs(known, cell):
            cell["outputs"] = known["outputs"]
            cell["execution_count"] = known["execution_count"]
    new["metadata"] = old["metadata"]


def keep_before_save(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Call `keep` whenever JupyterLab saves a lesson: `ContentsManager.pre_save_hook`."""
    file = Path(contents_manager.root_dir, path)
    if _is_lesson(file, model) and file.exists():
        keep(nbformat.read(file, as_version=4), model["content"])


def _is_lesson(file: Path, model: dict[str, Any]) -> bool:
    """Return whether `model` is a lesson with its contents, as JupyterLab reads or saves it."""
    here = file.parent.resolve() == NOTEBOOKS and file.name in NAMES
    return here and model.get("type") == "notebook" and bool(model.get("content"))


class LessonFiles(AsyncLargeFileManager):
    """Hands the lessons to JupyterLab: the files as they are, with one addition.

    A lesson does not keep what the kernel says about its language, which includes Python's version.
    JupyterLab would add it, and would call a lesson changed that nobody has touched. So we add it.
    """

    async def get(self, path: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        """Read what is at `path`, and add to a lesson what JupyterLab would add."""
        model: dict[str, Any] = await super().get(path, *arguments, **more)
        if _is_lesson(Path(self.root_dir, path.strip("/")), model):
            model["content"]["metadata"]["language_info"] = dict(IPythonKernel.language_info)
        return model


# --- Running --------------------------------------------------------------------------------------


def run_notebook(
    path: Path, folder: Path, times: int = 1, more: Sequence[str] = ()
) -> tuple[Any, list[Any]]:
    """Run a notebook on a fresh kernel in `folder`, once or more, and then the code `more`.

    Returns it as it was stored, and as it is after each run. Raises CellExecutionError.
    """
    kept = nbformat.read(path, as_version=4)
    runs = []
    book = copy.deepcopy(kept)
    with (
        tempfile.TemporaryDirectory() as place,
        make_client(book, folder, Path(place, "socket")) as client,
    ):
        for _ in range(times):
            for index, cell in enumerate(book.cells):
                client.execute_cell(cell, index)
            runs.append(copy.deepcopy(book))
        for code in more:
            book.cells.append(nbformat.v4.new_code_cell(code))
            client.execute_cell(book.cells[-1], len(book.cells) - 1)
    return kept, runs


@contextlib.contextmanager
def make_client(book: Any, folder: Path, socket: Path) -> Iterator[NotebookClient]:
    """Start a kernel in `folder`, and return a client that runs the cells of `book`.

    The two talk over Unix sockets whose names begin with `socket`: a port that is free when a
    kernel is started may be taken when it listens.
    """
    client = NotebookClient(
        book,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # Otherwise it warns of its own sockets.
        resources={"metadata": {"path": str(folder)}},
    )
    manager = client.create_kernel_manager()
    manager.transport, manager.ip = "ipc", str(socket)
    with client.setup_kernel(env=kernel_environment(folder)):
        yield client


def kernel_environment(folder: Path) -> dict[str, str]:
    """Return the environment for a kernel: it uses this tester, and `folder` for its own files.

    Colours are off, so that a text is the same on every terminal.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "TMPDIR": str(folder),
        "NO_COLOR": "1",
        "IPYTHONDIR": str(folder / ".ipython"),  # Not the user's own configuration.
    }


def tidy(book: Any) -> None:
    """Remove from a notebook what differs from machine to machine, and number its cells."""
    book["metadata"] = METADATA
    count = 0
    for cell in book["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            for output in cell["outputs"]:
                output.pop("transient", None)
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count


def run_and_keep(path: Path, *, fresh: bool = False) -> bool:
    """Run a notebook, and store its outputs; return whether anything has changed.

    If `fresh`, no old output stays. Raises CellExecutionError.
    """
    before = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="http-tester-run-") as folder:
        kept, (book,) = run_notebook(path, Path(folder))
    if not fresh:
        keep(kept, book)
    tidy(book)
    after = nbformat.writes(book) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def find_notebooks(numbers: Sequence[str] = ()) -> list[Path]:
    """Return all notebooks, or those with these numbers.

    Raises ValueError if there is no notebook of that number.
    """
    there = [NOTEBOOKS / name for name in NAMES if (NOTEBOOKS / name).exists()]
    if not numbers:
        return there
    by_number = {int(path.name[:2]): path for path in there}
    missing = [each for each in numbers if not each.isdigit() or int(each) not in by_number]
    if missing:
        known = ", ".join(f"{number:02}" for number in by_number)
        raise ValueError(f"there is no lesson {missing[0]}: there are {known}")
    return [by_number[int(each)] for each in numbers]


def run(numbers: Sequence[str], *, fresh: bool = False) -> int:
    """Run notebooks, say which have changed, and return the exit code."""
    for path in find_notebooks(numbers):
        try:
            changed = run_and_keep(path, fresh=fresh)
        except CellExecutionError as error:
            last = [line for line in str(error).splitlines() if line.strip()][-1]
            print(f"{path.name}: a cell failed: {last}", file=sys.stderr)
            return 1
        print(f"{path.name}: {'changed' if changed else 'unchanged'}")
    return 0


# --- Opening --------------------------------------------------------------------------------------


def open_lessons(options: Sequence[str]) -> NoReturn:
    """Replace this process by JupyterLab, at the start page; `options` are JupyterLab's own.

    The outputs of the lessons were made by the code beside them, which is about to run anyway. So
    we mark them as trusted, in a database of their own.

    JupyterLab refuses to run as root unless an option allows it. In a container one is root anyway.
    There it does no harm: it listens only on this machine, and nobody gets in without its token.
    """
    data = ROOT / ".venv" / "share" / "lessons"
    data.mkdir(parents=True, exist_ok=True)
    notary = nbformat.sign.NotebookNotary(data_dir=str(data))
    for path in find_notebooks():
        notary.sign(nbformat.read(path, as_version=4))
    notary.store.close()
    config = data / "labconfig" / "page_config.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps({"disabledExtensions": {NEWS: True}}), encoding="utf-8")
    folders = [str(data), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    environment = os.environ | {
        "PYTHONPATH": kernel_environment(data)["PYTHONPATH"],
        "JUPYTER_CONFIG_PATH": os.pathsep.join(folders),
    }
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    command = [
        sys.executable,
        *("-m", "jupyterlab"),
        *["--allow-root"] * root,
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/notebooks/{START}",
        f"--NotebookNotary.data_dir={data}",
        "--ServerApp.contents_manager_class=tester.lesson.keep.LessonFiles",
        "--ContentsManager.pre_save_hook=tester.lesson.keep.keep_before_save",
        *options,
    ]
    os.execve(sys.executable, command, environment)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` say, and return the exit code: 1 if a cell failed, 2 for an error."""
    parser = OneLineParser(prog="python -m tester.lesson", description="The lessons.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    runs = commands.add_parser("run", help="run notebooks and keep their outputs")
    runs.add_argument("numbers", nargs="*", metavar="NN", help="which ones (default: all)")
    runs.add_argument("--fresh", action="store_true", help="keep nothing, new pictures too")
    commands.add_parser(
        "open",
        help="open the start page in JupyterLab",
        usage="python -m tester.lesson open [-h] [JupyterLab's own options]",
        description="Open the start page in JupyterLab. Options of JupyterLab's own may follow, "
        "such as --no-browser or --port=9000.",
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command == "run":
        parser.error(f"unknown option: {rest[0]}")
    try:
        if options.command == "open":
            open_lessons(rest)
        return run(options.numbers, fresh=options.fresh)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
