"""The inputs of the Photo and Many pages.

They have a file of their own because gradio writes a stub (``.pyi``, ignored by git) beside every
module that defines a component, and mypy would read that in place of the page.
"""

import gradio as gr
from gradio.data_classes import FileData, ImageData, ListFiles


class PictureFile(gr.Image):
    """An image input that hands over the path of the uploaded file.

    gr.Image would decode it first: it converts 16 bit and transparency its own way, and fails with
    a traceback where `read_picture` has a sentence.
    """

    is_template = True

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None


class FilesInput(gr.File):
    """A file input that hands over the paths of the uploaded files; gr.File would copy them."""

    is_template = True

    def preprocess(self, payload: ListFiles | FileData | None) -> list[str]:
        if payload is None:
            return []
        return [payload.path] if isinstance(payload, FileData) else [one.path for one in payload]
