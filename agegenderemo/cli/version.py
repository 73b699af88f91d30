"""``agegenderemo --version``: the package, the network that it uses, and both licences."""

import argparse
from typing import Any

CODE_LICENCE = "MIT"
WEIGHTS_LICENCE = "non-commercial research"


def version_text() -> str:
    """Four lines; the digest is the SHA-256 of the weights' file."""
    from agegenderemo import __version__
    from agegenderemo.inference.graph import read_graph
    from agegenderemo.resources import default_checkpoint

    info, _, _, digest = read_graph(default_checkpoint())
    return (
        f"agegenderemo {__version__}\n"
        f"model: {info.model}, {info.parameters:,} parameters\n"
        f"weights: sha256 {digest}\n"
        f"licence: {CODE_LICENCE} (code), {WEIGHTS_LICENCE} (weights)"
    )


class VersionAction(argparse.Action):
    """As argparse's own, but the text is made only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str, **_: Any) -> None:
        super().__init__(
            option_strings,
            argparse.SUPPRESS,
            nargs=0,
            default=argparse.SUPPRESS,
            help="package, model, digest of the weights, and licences",
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(version_text())
        parser.exit()
