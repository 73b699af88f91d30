"""The networks of one app: each has pages of its own, and links lead from one to the other."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.inference.graph import graph_file
from agegenderemo.model_info import Precision
from agegenderemo.resources import shipped_checkpoints
from agegenderemo.web.words import plain

ENDPOINT = "analyze"
"""Of the first network; others have their name in it."""

_LONGEST = 20  # characters of a name in addresses


Named = str | os.PathLike[str]
"""What `Analyzer.from_checkpoint` takes."""


def open_networks(named: Named | Sequence[Named], precision: Precision) -> list[Analyzer]:
    """An analyzer for each network that is named; where none is, for each that comes with the
    package, the usual one first. Of those only the usual one must have this precision.

    Raises CheckpointError for one that cannot be used.
    """
    each = [named] if isinstance(named, str | os.PathLike) else list(named)
    if not each:
        usual, *others = shipped_checkpoints()
        each = [usual, *(one for one in others if graph_file(one, precision).is_file())]
    return [Analyzer.from_checkpoint(os.fspath(one), precision=precision) for one in each]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pages of one network are: its ``name`` for people, the ``slug`` that stands for it
    in addresses, the ``path`` of its page (empty for the first) and its public endpoint."""

    name: str
    slug: str
    path: str
    endpoint: str


def places_of(analyzers: Sequence[Analyzer]) -> list[Place]:
    """A place for each network, in their order; no two are the same."""
    places: list[Place] = []
    for name in _names(analyzers):
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:_LONGEST] or "network"
        taken = {one.slug for one in places}
        if slug in taken:
            slug = next(f"{slug}_{n}" for n in count(2) if f"{slug}_{n}" not in taken)
        first = not places
        path = "" if first else f"with-{slug}"
        endpoint = ENDPOINT if first else f"{ENDPOINT}_with_{slug}"
        places.append(Place(name, slug, path, endpoint))
    return places


def _names(analyzers: Sequence[Analyzer]) -> list[str]:
    """What people call the networks: as their files, with the folder where several files are named
    alike, as those of training runs are."""
    names = [str(one.network.get("model") or one.info.model) for one in analyzers]
    files = [one.origin.path if one.origin else None for one in analyzers]
    alike = Counter(name for name, _ in set(zip(names, files, strict=True)))
    return [
        f"{file.parent.name}/{name}" if file and alike[name] > 1 else name
        for name, file in zip(names, files, strict=True)
    ]


def choice_html(places: Sequence[Place], analyzers: Sequence[Analyzer], current: Place) -> str:
    """Links to the pages of all networks, of which one is this; nothing where there is no other."""
    if len(places) < 2:
        return ""
    links = "".join(
        f'<a href="{one.path or "./"}"{" aria-current=page" if one is current else ""}>'
        f"<b>{escape(one.name)}</b> {escape(_said(analyzer))}</a>"
        for one, analyzer in zip(places, analyzers, strict=True)
    )
    return f'<nav class="networks" aria-label="Network">{links}</nav>'


def _said(analyzer: Analyzer) -> str:
    """How large a network is, and how far off its numbers are, where that was measured."""
    size = f"{analyzer.info.parameters / 1e6:.1f} million parameters"
    measured = (analyzer.card.get("figures") or {}).values()
    figures = [own["tasks"] for own in measured if "tasks" in own]
    errors = [
        f"{plain(spec.name)} off by {tasks[spec.name]['mae']:.1f} {spec.unit}"
        for spec in analyzer.tasks
        if spec.kind == "regression"
        for tasks in figures
        if "mae" in tasks.get(spec.name, {})
    ]
    return ", ".join([*errors[:1], size])
