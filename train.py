"""Trains a network by a named recipe: ``python train.py --help``."""

import sys

from agegenderemo.cli import train_main

if __name__ == "__main__":
    sys.exit(train_main())
