"""What the guard must know of a gradio app, read in this one place (gradio is pinned)."""

from collections.abc import Callable, Mapping
from typing import Any

from agegenderemo.web.guard.events import Function, InputKind

_KINDS: Mapping[str, InputKind] = {
    "image": "file",
    "file": "files",
    "dataset": "index",
    "state": "nothing",
    "checkbox": "flag",
    "slider": "number",
    "number": "number",
    "dropdown": "text",
    "radio": "text",
    "textbox": "text",
}
"""Inputs that can be checked, by the name of their component."""

LiveFunction = Callable[[Any], Any]


def functions_of(demo: Any) -> tuple[Function, ...]:
    """Every function of a Blocks that a browser may ask the server for.

    Raises ValueError for an input whose component nobody has decided how to check.
    """
    return tuple(
        Function(
            index,
            one.api_name if one.api_visibility == "public" and one.api_name else None,
            tuple(_kind(block) for block in one.inputs),
            str(one.concurrency_id),
            # Without a number of its own gradio answers one call of a function at a time.
            one.concurrency_limit if isinstance(one.concurrency_limit, int) else 1,
        )
        for index, one in demo.fns.items()
        if one.fn is not None
    )


def _kind(block: Any) -> InputKind:
    name = block.get_block_name()
    if name not in _KINDS:
        raise ValueError(f"The guard does not know how to check an input of {name!r}.")
    # A choice of one file sends no list.
    single = name == "file" and block.file_count == "single"
    return "file" if single else _KINDS[name]


def live_functions_of(demo: Any) -> dict[tuple[int, str], LiveFunction]:
    """The server functions of HTML components, by the component's number and their own name."""
    return {
        (number, function.__name__): function
        for number, block in demo.blocks.items()
        for function in getattr(block, "server_fns", None) or ()
    }
