"""How the page looks and how the server runs: theme, styles and launch options."""

import os
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from agegenderemo.web import assets
from agegenderemo.web.limits import LiveBodyLimit
from agegenderemo.web.live import MAX_FRAME_BYTES

KEEP_SECONDS = 30 * 60
"""Uploads and results older than this are deleted from the temporary folder."""

SWEEP_SECONDS = 5 * 60
QUEUE_SIZE = 64
MAX_UPLOAD = "500mb"


def theme() -> gr.themes.Base:
    """One accent, system fonts (nothing is fetched), calm greys."""
    sans = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    mono = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.zinc,
        radius_size=gr.themes.sizes.radius_lg,
        font=sans,
        font_mono=mono,
    )


def launch_options(host: str | None = None, port: int | None = None) -> dict[str, Any]:
    """Keyword arguments for ``Blocks.launch``; without a host or port, gradio's environment
    variables and defaults count."""
    options: dict[str, Any] = {
        "theme": theme(),
        "head": f"<style>{assets.styles()}</style>",
        "favicon_path": assets.FOLDER / "favicon.png",
        "footer_links": [],
        "run_history": False,
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        # Twice the frame: base64 adds a third, and the call some names around it.
        "app_kwargs": {"middleware": [Middleware(LiveBodyLimit, limit=2 * MAX_FRAME_BYTES)]},
    }
    # Spaces reach the app from outside its container.
    if host is None and "SPACE_ID" in os.environ and "GRADIO_SERVER_NAME" not in os.environ:
        host = "0.0.0.0"
    if host is not None:
        options["server_name"] = host
    if port is not None:
        options["server_port"] = port
    return options
