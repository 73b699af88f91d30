"""A timeline of a film: a lane a person, by Plotly as an interactive page, by Pillow as a PNG.

People come as plain JSON types, as `Person.to_dict` gives, each with its ``runs``: start and end in
seconds, and the class that was shown.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from agegenderemo.imaging.palette import NEUTRAL_COLOR, class_colors
from agegenderemo.tasks import TaskSpec, speaks_alone
from agegenderemo.video.people import Person, shown_task
from agegenderemo.web import words
from agegenderemo.web.charts import FONT, INK

if TYPE_CHECKING:
    import plotly.graph_objects as go

PersonRecord = Mapping[str, Any]

_LANE, _EDGE = 46, 44  # pixels of a person, and of the axis and the margin
_THICKNESS = 0.5  # of a lane
_SHOWN = 40  # people; a crowd that passes would make a page without end
_PICTURE_WIDTH, _SCALE = 1200, 2


def with_runs(person: Person) -> dict[str, Any]:
    """A person as the functions below want it."""
    runs = [[round(run.start, 3), round(run.end, 3), run.label] for run in person.runs]
    return person.to_dict() | {"runs": runs}


def longest_seen(people: Sequence[PersonRecord]) -> list[PersonRecord]:
    """Those whom a timeline shows, in the order of their numbers."""
    seen = sorted(people, key=lambda person: -person["seconds"])[:_SHOWN]
    return sorted(seen, key=lambda person: person["track_id"])


def summary(person: PersonRecord, tasks: Sequence[TaskSpec], *, ranges: bool = True) -> str:
    """What was seen of someone, in a line of plain text; with ``ranges``, between which values the
    true numbers probably lie."""
    return " · ".join(_told(spec, person, ranges) for spec in tasks)


def _told(spec: TaskSpec, person: PersonRecord, ranges: bool) -> str:
    name = "" if speaks_alone(spec) else f"{words.plain(spec.name)}: "
    record = dict(person)
    if spec.kind == "regression":
        ends = words.interval(spec, record) if ranges else ""
        unit = f" {spec.unit}" if spec.unit else ""
        return f"{name}{words.number(spec, person[spec.name])}{unit}" + (
            f", {ends}" if ends else ""
        )
    if spec.kind == "binary":
        return f"{name}{words.hedged(spec, record)}"
    shares = person[f"{spec.name}_shares"]
    top = max(shares, key=shares.get)
    return f"{name}{top} {words.percent(shares[top])}"


def timeline_figure(
    people: Sequence[PersonRecord],
    tasks: Sequence[TaskSpec],
    seconds: float,
    *,
    ranges: bool = True,
) -> "go.Figure":
    """A lane a person over the ``seconds`` of the film, in the colours of the classes that were
    seen. ``ranges`` as for `summary`; lines without them fit on a phone."""
    import plotly.graph_objects as go

    people = longest_seen(people)
    figure = go.Figure(layout=go.Layout(template=go.layout.Template()))
    for label, color in _colors(people, tasks).items():
        runs = [(lane, run) for lane, person in enumerate(people) for run in person["runs"]
                if run[2] == label]  # fmt: skip
        figure.add_bar(
            x=[end - start for _, (start, end, _) in runs],
            base=[start for _, (start, _, _) in runs],
            y=[lane for lane, _ in runs],
            orientation="h",
            width=_THICKNESS,
            marker={"color": color, "line": {"width": 0}},
            name=label or "seen",
            hovertext=[f"{start:.1f} to {end:.1f} s" for _, (start, end, _) in runs],
            hovertemplate="%{hovertext}<extra>" + (label or "seen") + "</extra>",
        )
    for lane, person in enumerate(people):
        figure.add_annotation(
            x=0, xref="paper", y=lane - 0.48, yanchor="middle", xanchor="left", showarrow=False,
            text=f"<b>{person['track_id']}</b>  {summary(person, tasks, ranges=ranges)}",
        )  # fmt: skip
    figure.update_layout(
        height=_LANE * len(people) + _EDGE + 40,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 8, "r": 16, "t": 8, "b": 36},
        barmode="overlay",
        dragmode=False,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0, "itemclick": False,
                "itemdoubleclick": False},
        xaxis={"range": [0, max(seconds, 0.1)], "fixedrange": True, "ticksuffix": " s",
               "showgrid": True, "gridcolor": "rgba(118,118,118,0.25)", "zeroline": False},
        yaxis={"range": [len(people) - 0.5, -0.9], "fixedrange": True, "visible": False},
    )  # fmt: skip
    return figure


def timeline_picture(
    people: Sequence[PersonRecord], tasks: Sequence[TaskSpec], seconds: float
) -> Image.Image:
    """The same as a picture on white."""
    people = longest_seen(people)
    colors = _colors(people, tasks)
    height = _EDGE + _LANE * max(1, len(people)) + _EDGE
    picture = Image.new("RGB", (_SCALE * _PICTURE_WIDTH, _SCALE * height), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13 * _SCALE)
    left, right = 16, _PICTURE_WIDTH - 24

    def at(time: float) -> float:
        return _SCALE * (left + (right - left) * time / max(seconds, 0.1))

    x = float(left)
    for label, color in colors.items():
        draw.rectangle([_SCALE * x, _SCALE * 14, _SCALE * (x + 12), _SCALE * 26], fill=color)
        draw.text((_SCALE * (x + 18), _SCALE * 20), label or "seen", "#333333", font, "lm")
        x += 34 + draw.textlength(label or "seen", font) / _SCALE
    top = _EDGE
    for person in people:
        text = f"{person['track_id']}  {summary(person, tasks)}"
        draw.text((_SCALE * left, _SCALE * (top + 8)), text, "#333333", font, "lm")
        for start, end, label in person["runs"]:
            box = [at(start), _SCALE * (top + 18), at(end), _SCALE * (top + 38)]
            draw.rectangle(box, fill=colors[label])
        top += _LANE
    for number in range(11):
        time = seconds * number / 10
        place = (at(time), _SCALE * (top + 14))
        draw.text(place, f"{time:.1f} s", INK, font, "mm" if 0 < number < 10 else
                  ("rm" if number else "lm"))  # fmt: skip
    return picture


def _colors(people: Sequence[PersonRecord], tasks: Sequence[TaskSpec]) -> dict[str, str]:
    """Of the classes that were seen, in the order of their task."""
    seen = {run[2] for person in people for run in person["runs"]}
    spec = shown_task(tasks)
    known = class_colors(spec) if spec else {"": NEUTRAL_COLOR}
    return {label: color for label, color in known.items() if label in seen}
