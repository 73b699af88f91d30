"""What the static page takes from the network: the same sources as the server's pages."""

import json
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from agegenderemo.model_info import ModelInfo
from agegenderemo.web import words
from agegenderemo.web.assets import described_tasks, tasks_attribute
from agegenderemo.web.live import live_html


def page_pieces(info: ModelInfo, about: str, examples: Sequence[str]) -> dict[str, str]:
    """What stands for ``@names@``, ``@counted@``, ``@live@``, ``@about@`` and ``@examples@`` in the
    page.

    ``about`` is HTML, ``examples`` the paths of example photos.
    """
    described = {
        **described_tasks(info.tasks),
        "specs": [spec.to_dict() for spec in info.tasks],
    }
    live = live_html(info.tasks, where="Its frames stay on this device.")
    return {
        "names": escape(words.names_of(info.tasks)),
        "counted": escape(words.counted(info.tasks)),
        "live": live.replace(tasks_attribute(info.tasks), quote(json.dumps(described))),
        "about": about,
        "examples": "".join(map(_example, examples)),
    }


def _example(path: str) -> str:
    """A button; the file's name has a hash before its suffix."""
    told = path.split("/")[-1].rpartition("-")[0].replace("-", " ")
    address = escape(path)
    return (
        f'<button type="button" class="example" data-example="{address}" '
        f'aria-label="Example: {escape(told)}"><img src="{address}" alt="" loading="lazy"></button>'
    )
