"""``python -m agegenderemo``, where the package is not installed: the command ``agegenderemo``."""

import sys

from agegenderemo.cli import main

if __name__ == "__main__":
    sys.exit(main())
