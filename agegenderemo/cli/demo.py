"""``agegenderemo demo``: the page, on this machine."""

import argparse

from agegenderemo.cli.common import Arguments, Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from agegenderemo.web.app import add_arguments

    add_arguments(parser)


def _run(args: Arguments) -> int:
    from agegenderemo.web.app import serve, serve_options

    serve(**serve_options(args))


COMMAND = Command("demo", "serve the page on this machine", _add_arguments, _run, extra="app")
