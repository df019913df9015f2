"""`python -m tester`."""

import sys

from tester.cli import main

if __name__ == "__main__":
    sys.exit(main())
