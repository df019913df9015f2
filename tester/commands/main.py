"""The command line: grade, watch, show, diff, serve.

Exit codes: 0 passed, 1 not passed, 2 something was wrong with the command, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tester.arguments import OneLineParser
from tester.attempt import STARTUP_TIMEOUT, UsageError
from tester.ladder import ROOT, STAGES, LadderError, diff_text, get_stage
from tester.limits import MEMORY_LIMIT

if TYPE_CHECKING:
    from tester.grading import Grading

SERVE_PORT = "4221"
MOST_MEMORY = 1_000_000  # Megabytes.
FIRST_WITH_FILES = 12  # The stage from which on servers take --directory.
OVERVIEW = """\
Grades your HTTP server, stage by stage.

  python -m tester grade ATTEMPT             how far has it come?
  python -m tester grade --stage 7 ATTEMPT   does it pass stage 7?
  python -m tester watch ATTEMPT             grade it again whenever you save
  python -m tester show 7                    what does stage 7 ask for?
  python -m tester diff 7                    what does stage 7 change in our own server?
  python -m tester serve 7                   run our own server of stage 7

ATTEMPT is your program: a .py file, anything executable, or a folder.
Begin here: python -m tester show 1
"""


def stage_number(text: str) -> int:
    """Return the stage number that `text` says. Raises argparse.ArgumentTypeError."""
    if text.isdecimal() and text.isascii() and 1 <= int(text) <= len(STAGES):
        return int(text)
    raise argparse.ArgumentTypeError(
        f"there is no stage {text!r}: give a number from 1 to {len(STAGES)}"
    )


def positive_seconds(text: str) -> float:
    """Return the seconds that `text` says. Raises argparse.ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if 0 < seconds <= 3600:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")


def megabytes(text: str) -> int:
    """Return the megabytes that `text` says. Raises argparse.ArgumentTypeError."""
    if text.isdecimal() and text.isascii() and 0 < int(text) <= MOST_MEMORY:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a number of megabytes from 1 to {MOST_MEMORY}"
    )


def build_parser() -> OneLineParser:
    """Return the parser of the whole command line."""
    parser = OneLineParser(
        prog="python -m tester", description="Grades HTTP servers, stage by stage."
    )
    commands = parser.add_subparsers(
        dest="command_name", metavar="COMMAND", parser_class=OneLineParser
    )
    grade = commands.add_parser(
        "grade", help="grade one stage, or find how far an attempt has come"
    )
    watch = commands.add_parser("watch", help="grade again at every save")
    for command in (grade, watch):
        command.add_argument("attempt", nargs="?", metavar="ATTEMPT", help="a file or a folder")
        command.add_argument("--stage", type=stage_number, help="1 to 18")
        command.add_argument("--command", help='start it by a command, such as "go run ."')
        command.add_argument("--seed", type=int, help="repeat the random words of an earlier run")
        command.add_argument(
            "--startup-timeout",
            type=positive_seconds,
            default=STARTUP_TIMEOUT,
            metavar="SECONDS",
            help="until it must listen (default %(default)g)",
        )
        command.add_argument(
            "--memory-limit",
            type=megabytes,
            default=MEMORY_LIMIT,
            metavar="MB",
            help="that it may take with all that it starts (default %(default)d)",
        )
        command.add_argument(
            "-v", "--verbose", action="store_true", help="show every failure whole"
        )
    grade.add_argument("--json", metavar="FILE", help="write the result as JSON; - for the screen")
    grade.add_argument("--junit", metavar="FILE", help="write the result as JUnit XML")
    show = commands.add_parser("show", help="what a stage asks for")
    show.add_argument("stage", type=stage_number, metavar="N")
    diff = commands.add_parser("diff", help="what a stage changes in our own server")
    diff.add_argument("stages", type=stage_number, nargs="+", metavar="N", help="N, or M and N")
    serve = commands.add_parser("serve", help="run our own server of a stage, on port 4221")
    serve.add_argument("stage", type=stage_number, metavar="N")
    return parser


def command_grade(options: argparse.Namespace) -> int:
    """Grade, and report in the ways that are asked for; return the exit code."""
    from tester.grading import prepare_process  # Slow: late.
    from tester.keeper import keep_ladder, keep_stage
    from tester.report.machine import write_json, write_junit
    from tester.report.terminal import make_console, print_ladder, print_stage
    from tester.watch import Untouched

    prepare_process()
    check_targets(options.json, options.junit)
    grading = grading_of(options)
    untouched = Untouched(grading.path)
    result = keep_stage(grading, options.stage) if options.stage else keep_ladder(grading)
    result = untouched.check(result)
    if options.json != "-":
        console = make_console()
        if options.stage:
            print_stage(result, console, options.verbose)
        else:
            print_ladder(result, console, options.verbose)
    if options.json:
        write_json(result, options.json)
    if options.junit:
        write_junit(result, options.junit)
    if told := untouched.tell_own():
        print(f"python -m tester: {told}", file=sys.stderr)
    passed = result.passed if options.stage else result.reached == len(STAGES)
    return 0 if passed else 1


def grading_of(options: argparse.Namespace) -> Grading:
    """Return what to grade, and how. Raises UsageError where neither path nor command is given."""
    from tester.grading import Grading

    if options.attempt is None and options.command is None:
        raise UsageError(
            f"which server? For example: python -m tester {options.command_name} my_server.py"
        )
    seed = secrets.randbelow(100_000) if options.seed is None else options.seed
    return Grading(
        options.attempt, options.command, seed, options.startup_timeout, options.memory_limit
    )


def check_targets(*paths: str | None) -> None:
    """Raise UsageError for a file that can't be written, before all the work is done."""
    if paths[1] == "-":
        raise UsageError("--junit needs the name of a file: --junit result.xml")
    for path in filter(None, paths):
        folder = Path(path).parent
        if path != "-" and (Path(path).is_dir() or not os.access(folder, os.W_OK)):
            raise UsageError(
                f"can't write to {path}: name a file in a folder that you may write to"
            )


def command_watch(options: argparse.Namespace) -> int:
    """Grade again at every save, until Ctrl-C."""
    from tester.grading import prepare_process
    from tester.watch import watch

    prepare_process()
    return watch(grading_of(options), stage=options.stage, verbose=options.verbose)


def command_show(options: argparse.Namespace) -> int:
    """Print what a stage asks for."""
    from tester.report.terminal import make_console
    from tester.show import print_rules

    print_rules(get_stage(options.stage), make_console())
    return 0


def command_diff(options: argparse.Namespace) -> int:
    """Print what a stage changed since the one before it, or since another."""
    if len(options.stages) > 2:
        raise UsageError("diff takes one stage or two: python -m tester diff 7")
    newer = options.stages[-1]
    older = options.stages[0] if len(options.stages) == 2 else newer - 1
    text = diff_text(older, newer)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        from rich.syntax import Syntax

        from tester.report.terminal import make_console

        make_console().print(Syntax(text, "diff", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)
    return 0


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


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "grade": command_grade,
    "watch": command_watch,
    "show": command_show,
    "diff": command_diff,
    "serve": command_serve,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Raises KeyboardInterrupt at Ctrl-C."""
    options = build_parser().parse_args(arguments)
    if options.command_name is None:
        print(OVERVIEW, end="")
        return 0
    try:
        return COMMANDS[options.command_name](options)
    except (UsageError, LadderError) as error:
        print(f"python -m tester: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # Nobody reads on, as in `… | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
