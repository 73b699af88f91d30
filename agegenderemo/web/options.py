"""How the page looks and where it listens: theme, styles and addresses."""

import os
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from agegenderemo.web import assets
from agegenderemo.web.guard import Limits
from agegenderemo.web.guard.server import first_free_port
from agegenderemo.web.sharing import SharedHead

QUEUE_SIZE = 64
PORTS = range(7860, 7960)


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


def page_options(limits: Limits) -> dict[str, Any]:
    """Keyword arguments for ``gradio.mount_gradio_app``."""
    return {
        "theme": theme(),
        "head": f"<style>{assets.styles()}</style>",
        "favicon_path": assets.FOLDER / "favicon.png",
        "footer_links": [],
        "run_history": False,
        "max_file_size": limits.zip_bytes,  # the page's own check; the guard has the real one
        "enable_monitoring": False,
        "mcp_server": False,  # whatever the environment says: agegenderemo.web.mcp_tool has another
        "ssr_mode": False,
        "pwa": False,
        "app_kwargs": {"middleware": [Middleware(SharedHead)]},
    }


def listening_address(host: str | None = None, port: int | None = None) -> tuple[str, int]:
    """Host and free port to listen on; what is not given comes from gradio's environment variables.

    Without those it is this machine only, except on Spaces, which reach the app from outside its
    container. Raises OSError for a port that is taken.
    """
    everywhere = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"
    host = host or os.environ.get("GRADIO_SERVER_NAME") or everywhere
    if port is None and (named := os.environ.get("GRADIO_SERVER_PORT")):
        if not named.isdecimal():
            raise OSError(f"GRADIO_SERVER_PORT is {named!r}, not a port.")
        port = int(named)
    return host, first_free_port(host, PORTS if port is None else range(port, port + 1))
