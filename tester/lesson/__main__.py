"""`python -m tester.lesson run|open`: runs the notebooks, or opens them in JupyterLab."""

import sys

from tester.lesson.keep import main

if __name__ == "__main__":
    sys.exit(main())
