"""An input that hands over the path. gradio writes a stub (ignored by git) beside this file."""

import gradio as gr
from gradio.data_classes import ImageData


class Picture(gr.Image):
    """Hands over the path, as the Photo page's input does."""

    is_template = True

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None
