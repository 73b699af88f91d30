"""Plotly figures. Transparent, in mid-grey type, so that they read on light and on dark pages."""

import plotly.graph_objects as go

from agegenderemo.labels import EMOTIONS
from agegenderemo.palette import EMOTION_COLORS
from agegenderemo.records import Face

INK = "#767676"
"""Grey with a contrast above 4:1 on white and on near-black."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def emotion_figure(face: Face) -> go.Figure:
    """The eight emotion probabilities of one face as horizontal bars, in percent."""
    percent = [100 * face.emotions[name] for name in EMOTIONS]
    bars = go.Bar(
        x=percent,
        y=list(EMOTIONS),
        orientation="h",
        marker={"color": [EMOTION_COLORS[name] for name in EMOTIONS]},
        text=[f"{p:.0f} %" for p in percent],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    figure = go.Figure(bars, layout=_plain_layout())
    figure.update_layout(
        height=300,
        bargap=0.35,
        xaxis={"range": [0, 112], "visible": False, "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
    )
    return figure


def _plain_layout() -> go.Layout:
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
