"""The picture input of the Photo page.

It has a file of its own because gradio writes a stub (``.pyi``, ignored by git) beside every module
that defines a component, and mypy would read that in place of the page.
"""

import gradio as gr
from gradio.data_classes import ImageData


class PictureFile(gr.Image):
    """An image input that hands over the path of the uploaded file.

    gr.Image would decode it first: it converts 16 bit and transparency its own way, and fails with
    a traceback where `load_image` has a sentence.
    """

    is_template = True

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None
