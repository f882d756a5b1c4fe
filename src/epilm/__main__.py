"""`python -m epilm`: the command line without an installed script."""

import sys

from epilm.cli import main

if __name__ == "__main__":
    sys.exit(main())
