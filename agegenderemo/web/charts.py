"""Plotly figures. Transparent, in mid-grey type, so that they read on light and on dark pages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agegenderemo.imaging.palette import class_colors
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import Face
from agegenderemo.web.words import categorical, percent

if TYPE_CHECKING:
    import plotly.graph_objects as go

INK = "#767676"
"""Grey with a contrast above 4:1 on white and on near-black."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

_ROW, _EDGE = 35.5, 16  # pixels


def class_figure(face: Face, tasks: Sequence[TaskSpec]) -> "go.Figure":
    """The class probabilities of one face as horizontal bars, in percent: those of its categorical
    tasks, one below the other with a gap between."""
    import plotly.graph_objects as go  # a fifth of a second that only a first chart should cost

    record = face.to_dict()
    labels: list[str] = []
    colors: list[str] = []
    shares: list[float] = []
    places: list[int] = []
    for index, spec in enumerate(categorical(tasks)):
        by_class: dict[str, float] = record[spec.probabilities_key]
        places += range(len(shares) + index, len(shares) + index + len(by_class))
        labels += by_class
        shares += by_class.values()
        colors += class_colors(spec).values()
    bars = go.Bar(
        x=[100 * share for share in shares],
        # By number: two tasks may have a class of one name.
        y=places,
        orientation="h",
        marker={"color": colors},
        text=[percent(share) for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertext=labels,
        hovertemplate="%{hovertext}: %{x:.1f} %<extra></extra>",
    )
    figure = go.Figure(bars, layout=_plain_layout())
    figure.update_layout(
        height=round(_ROW * (1 + max(places, default=0))) + _EDGE,
        bargap=0.35,
        xaxis={"range": [0, 124], "visible": False, "fixedrange": True},
        yaxis={
            "range": [max(places, default=0) + 0.5, -0.5],
            "fixedrange": True,
            "ticklabelstandoff": 8,
            "tickvals": places,
            "ticktext": labels,
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure


def _plain_layout() -> Any:
    import plotly.graph_objects as go

    # An empty template: Plotly's default one weighs seven kilobytes in every reply.
    return go.Layout(
        template=go.layout.Template(),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 14, "color": INK},
        margin={"l": 84, "r": 12, "t": 8, "b": 8},
        showlegend=False,
        dragmode=False,
    )
