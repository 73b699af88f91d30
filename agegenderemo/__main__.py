"""``python -m agegenderemo``."""

import sys

from agegenderemo.cli import main

if __name__ == "__main__":
    sys.exit(main())
