"""The command line: grade, watch, show, diff, serve.

Exit codes: 0 passed, 1 not passed, 2 something is wrong with the command, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from tester.arguments import OneLineParser
from tester.attempt.limits import MEMORY_LIMIT
from tester.attempt.locate import UsageError
from tester.attempt.server import STARTUP_TIMEOUT
from tester.commands.diff import command_diff
from tester.commands.grade import command_grade, grading_of
from tester.commands.options import megabytes, positive_seconds, stage_number
from tester.commands.serve import command_serve
from tester.ladder.stages import LadderError, get_stage

OVERVIEW = """\
Grades your HTTP server, stage by stage.

  python -m tester grade ATTEMPT             how far does it get?
  python -m tester grade --stage 7 ATTEMPT   does it pass stage 7?
  python -m tester watch ATTEMPT             grade it again whenever you save
  python -m tester show 7                    what does stage 7 ask for?
  python -m tester diff 7                    what does stage 7 change in our own server?
  python -m tester serve 7                   run our own server of stage 7

ATTEMPT is your program: a .py file, anything executable, or a folder.
Start here: python -m tester show 1
"""


def build_parser() -> OneLineParser:
    """Return the parser of the whole command line."""
    parser = OneLineParser(
        prog="python -m tester", description="Grades HTTP servers, stage by stage."
    )
    commands = parser.add_subparsers(
        dest="command_name", metavar="COMMAND", parser_class=OneLineParser
    )
    grade = commands.add_parser(
        "grade", help="grade one stage, or find out how far an attempt gets"
    )
    watch = commands.add_parser("watch", help="grade again whenever you save")
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
            help="how long it may take to listen (default %(default)g)",
        )
        command.add_argument(
            "--memory-limit",
            type=megabytes,
            default=MEMORY_LIMIT,
            metavar="MB",
            help="memory for it and everything that it starts (default %(default)d)",
        )
        command.add_argument(
            "-v", "--verbose", action="store_true", help="show every failure in full"
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


def command_watch(options: argparse.Namespace) -> int:
    """Grade again at every save, until Ctrl-C or until stage 18 is passed."""
    from tester.commands.watch import watch
    from tester.grading.grade import prepare_process

    prepare_process()
    return watch(grading_of(options), stage=options.stage, verbose=options.verbose)


def command_show(options: argparse.Namespace) -> int:
    """Print the rules of a stage."""
    from tester.commands.show import print_rules
    from tester.report.terminal import make_console

    print_rules(get_stage(options.stage), make_console())
    return 0


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
    except BrokenPipeError:  # Nobody reads any further, as in `… | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
