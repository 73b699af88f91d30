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

from agegenderemo import Analyzer, FaceTracker
from agegenderemo.imaging.draw import annotate
from agegenderemo.web.charts import class_figure


def main() -> None:
    analyzer = Analyzer.from_checkpoint()

    def read(
        frame: NDArray[np.uint8] | None, tracker: FaceTracker | None
    ) -> tuple[NDArray[np.uint8] | None, go.Figure | None, FaceTracker | None]:
        if frame is None:
            return None, None, tracker
        tracker = tracker or analyzer.tracker()
        faces = [one.face for one in tracker.update(frame, time.monotonic())]
        chart = class_figure(faces[0], analyzer.tasks) if faces else None
        return annotate(frame, faces), chart, tracker

    with gr.Blocks(analytics_enabled=False) as demo:
        camera = gr.Image(sources=["webcam"], streaming=True, type="numpy", elem_id="camera")
        picture, chart, tracker = gr.Image(elem_id="answer"), gr.Plot(), gr.State(None)
        camera.stream(
            read,
            [camera, tracker],
            [picture, chart, tracker],
            stream_every=0.03,
            concurrency_limit=1,
        )
    demo.launch()


if __name__ == "__main__":
    main()
