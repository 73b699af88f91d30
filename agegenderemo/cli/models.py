"""``agegenderemo models``: the networks that a recipe may name."""

import argparse

from agegenderemo.cli.common import Arguments, Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def _run(args: Arguments) -> int:
    from agegenderemo.models.checkpoint import parameter_count
    from agegenderemo.models.registry import create_model, get_spec, model_names
    from agegenderemo.tasks import DEFAULT_TASKS

    for name in model_names():
        size = get_spec(name).input.size
        count = parameter_count(create_model(name, DEFAULT_TASKS))
        print(f"{name:24} {count:12,} parameters  {size}×{size} pixels")
    return 0


COMMAND = Command(
    "models", "list the networks that can be trained", _add_arguments, _run, extra="train"
)
