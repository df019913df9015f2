"""`python -m tester`."""

import contextlib
import importlib.util
import os
import signal
import sys
from pathlib import Path

NEEDED = ("psutil", "pytest", "rich")
OWN_PYTHON = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"


def ensure_libraries() -> None:
    """Go on with the project's own Python where this one lacks what the tester needs."""
    if all(map(importlib.util.find_spec, NEEDED)):
        return
    if OWN_PYTHON.exists() and Path(sys.prefix) != OWN_PYTHON.parent.parent:
        os.execv(OWN_PYTHON, [str(OWN_PYTHON), "-m", "tester", *sys.argv[1:]])
    print("python -m tester: run `make setup` first, once", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    try:
        ensure_libraries()
        from tester.commands.main import main

        sys.exit(main())
    except KeyboardInterrupt as error:
        by = f" by {signal.Signals(error.args[0]).name}" if error.args else ""
        print(f"\nStopped{by.removesuffix(' by SIGINT')}.", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(130)  # All is cleaned up. One more Ctrl-C on Python's own way out would change it.
