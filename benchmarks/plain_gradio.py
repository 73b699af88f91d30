"""The pipeline that gradio's own parts make, for `live.py` to compare with: a streamed webcam
picture in, an annotated picture and a Plotly chart out, by the same analyzer."""

import sys
import time
from pathlib import Path

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.analyzer import Analyzer
from agegenderemo.charts import emotion_figure
from agegenderemo.drawing import annotate
from agegenderemo.tracking import Tracks


def main() -> None:
    analyzer = Analyzer.from_checkpoint()

    def read(
        frame: NDArray[np.uint8] | None, tracks: Tracks
    ) -> tuple[NDArray[np.uint8] | None, go.Figure | None, Tracks]:
        if frame is None:
            return None, None, tracks
        tracks, people = analyzer.follow(frame, tracks, time.monotonic())
        faces = [face for _, face in people]
        return annotate(frame, faces), emotion_figure(faces[0]) if faces else None, tracks

    with gr.Blocks(analytics_enabled=False) as demo:
        camera = gr.Image(sources=["webcam"], streaming=True, type="numpy", elem_id="camera")
        picture, chart, tracks = gr.Image(elem_id="answer"), gr.Plot(), gr.State(Tracks())
        camera.stream(
            read, [camera, tracks], [picture, chart, tracks], stream_every=0.03, concurrency_limit=1
        )
    demo.launch()


if __name__ == "__main__":
    main()
