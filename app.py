"""The demo: ``python app.py`` opens it on localhost."""

import gc
import os
import signal
from tempfile import TemporaryDirectory

# What is imported stays: looking for garbage in it, again and again, takes a fifth of the start.
gc.disable()

import gradio as gr

from agegenderemo.analyzer import Analyzer
from agegenderemo.web.about import about_page
from agegenderemo.web.batch import batch_page
from agegenderemo.web.live import live_page
from agegenderemo.web.options import KEEP_SECONDS, QUEUE_SIZE, SWEEP_SECONDS, launch_options
from agegenderemo.web.photo import photo_page

gc.enable()

_HEADER = """
<header class="site-header">
  <svg viewBox="0 0 48 48" aria-hidden="true"><path d="M4 15V10a6 6 0 0 1 6-6h5M33 4h5a6 6 0 0 1 6
    6v5M44 33v5a6 6 0 0 1-6 6h-5M15 44h-5a6 6 0 0 1-6-6v-5M17 18v3M31 18v3M16 29q8 8 16 0"/></svg>
  <div>
    <h1>AgeGenderEmo</h1>
    <p>Age, gender and emotion of every face, guessed by one small network.</p>
  </div>
</header>
"""


def build_demo(analyzer: Analyzer) -> gr.Blocks:
    """The page around an analyzer, which all sessions share."""
    demo: gr.Blocks = gr.Blocks(
        title="AgeGenderEmo",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEEP_SECONDS),
    )
    with demo:
        gr.HTML(_HEADER, apply_default_css=False)
        with gr.Tabs(elem_id="pages"):
            with gr.Tab("Live", id="live"):
                live_page(analyzer)
            with gr.Tab("Photo", id="photo"):
                photo_page(analyzer)
            with gr.Tab("Many photos", id="many"):
                batch_page(analyzer)
            with gr.Tab("About", id="about"):
                about_page(analyzer)
    demo.queue(max_size=QUEUE_SIZE)
    return demo


def main() -> None:
    """Serve the page until it is stopped, and leave no file behind."""
    # A service manager stops it with SIGTERM: end as with Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # gradio cleans its own folder up only when no page is open at the end.
    with TemporaryDirectory(prefix="agegenderemo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        demo = build_demo(Analyzer.from_checkpoint())
        gc.freeze()  # nor is any of this ever garbage, and a search of it would hold up a frame
        demo.launch(**launch_options())


if __name__ == "__main__":
    main()
