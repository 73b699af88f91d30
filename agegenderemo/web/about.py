"""About: what the model is, how well it does, where it fails, and what happens to a picture."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.tasks import TaskSpec
from agegenderemo.web.about_text import article
from agegenderemo.web.guard import Limits
from agegenderemo.web.privacy import privacy_sentence


def about_page(analyzer: Analyzer, limits: Limits) -> None:
    """Lay out the About tab."""
    html = about_html(analyzer.card, analyzer.tasks, limits)
    gr.HTML(html, apply_default_css=False, elem_id="about-page")


def about_html(card: Mapping[str, Any], tasks: Sequence[TaskSpec], limits: Limits) -> str:
    """The text of the page; every figure in it comes from the checkpoint's ``card``."""
    what_happens = f"""\
<p>It goes to the server that runs this page, and to no one else.
{escape(privacy_sentence(limits))} Until then they lie in a temporary folder so that you can look at
them and download them. There is no log of pictures, no history, no account and no tracking, and the
page asks no other host for anything.</p>"""
    return article(card, tasks, what_happens)
