"""``agegenderemo models``: the networks that a recipe may name."""

import argparse
from typing import TYPE_CHECKING

from agegenderemo.cli.common import Arguments, Command

if TYPE_CHECKING:
    from agegenderemo.models.heads import MultiTaskNet


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="one network, timm:NAME too; default: all")
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the face; default: the design's, 224"
    )


def _run(args: Arguments) -> int:
    from agegenderemo.models.registry import (
        check_size,
        create_model,
        folded,
        get_spec,
        model_names,
        model_prefixes,
    )
    from agegenderemo.tasks import DEFAULT_TASKS

    if args.size is not None and args.size < 32:
        raise ValueError(f"--size must be at least 32 pixels, not {args.size}.")
    names = (args.name,) if args.name else model_names()
    size = args.size or max(get_spec(name).input.size for name in names)
    print(f"{'name':28} {'parameters':>12} {'GMAC':>7} {'folded':>12} {'GMAC':>7}")
    for name in names:
        model = create_model(name, DEFAULT_TASKS)
        check_size(model, name, size)
        smaller, _ = folded(model.eval(), name, {})
        line = f"{name:28} {_cost(model, size)}"
        print(line if smaller is model else f"{line} {_cost(smaller, size)}")
    if not args.name:
        print(*(f"{prefix}NAME: {text}" for prefix, text in model_prefixes().items()), sep="\n")
    tasks = ", ".join(spec.name for spec in DEFAULT_TASKS)
    print(
        f"\nFor {tasks}, one face of {size}×{size} pixels. "
        "GMAC: thousand millions of multiplications\nwith their addition, in convolutions and "
        "matrix products alone. Folded: as the network is deployed."
    )
    return 0


def _cost(model: "MultiTaskNet", size: int) -> str:
    from agegenderemo.models.checkpoint import parameter_count
    from agegenderemo.models.cost import multiply_adds

    return f"{parameter_count(model):12,} {multiply_adds(model, size) / 1e9:7.3f}"


COMMAND = Command(
    "models", "list the networks that can be trained", _add_arguments, _run, extra="train"
)
