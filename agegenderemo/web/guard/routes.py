"""The allow-list: what is answered, by method and path, and what is known and closed.

The templates are spelled as gradio spells its routes, so that a test can walk them and fail on one
that nobody decided. What stands in neither list is closed too.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "page", "asset", "open", "stream", "join", "call", "small", "live", "upload", "progress",
    "file", "tool", "device",
]  # fmt: skip
"""How the guard treats a route: "open" stays open as long as a page does."""

TOKEN = r"[A-Za-z0-9-]{1,64}"
"""A session's name, as pages and clients make them."""

_SEGMENT = r"[A-Za-z0-9_@~+-][A-Za-z0-9_.@~+-]{0,200}"

_PARTS = {
    "{session_hash}": TOKEN,
    "{event_id}": r"[0-9a-f]{32}",
    "{api_name}": r"[a-z0-9_]{1,40}",
    "{network}": r"[a-z0-9_]{1,40}",
    "{path:path}": rf"(?:{_SEGMENT}/){{0,8}}{_SEGMENT}",
    "{path_or_url:path}": r".{1,4096}",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One open route; ``query`` names the parameters that reach gradio, others are dropped."""

    methods: tuple[str, ...]
    template: str
    kind: Kind = "page"
    query: tuple[str, ...] = ()

    def pattern(self) -> re.Pattern[str]:
        """What matches the whole path."""
        text = re.escape(self.template)
        for part, expression in _PARTS.items():
            text = text.replace(re.escape(part), f"({expression})")
        return re.compile(text, re.DOTALL)


_GET, _LOOK, _POST = ("GET",), ("GET", "HEAD"), ("POST",)

OPEN = (
    Route(_LOOK, "/"),
    Route(_LOOK, "/with-{network}"),
    Route(_GET, "/config"),
    Route(_GET, "/theme.css", "asset", ("v",)),
    Route(_GET, "/assets/{path:path}", "asset"),
    Route(_GET, "/static/{path:path}", "asset"),
    Route(_GET, "/favicon.ico", "asset"),
    Route(_GET, "/robots.txt", "asset"),
    Route(_LOOK, "/preview.jpg", "asset"),
    Route(_GET, "/gradio_api/theme.css", "asset"),
    Route(_GET, "/gradio_api/info", query=("serialize",)),
    Route(_GET, "/gradio_api/app_id"),
    Route(_GET, "/gradio_api/startup-events"),
    Route(_GET, "/gradio_api/heartbeat/{session_hash}", "open"),
    Route(_GET, "/gradio_api/queue/data", "stream", ("session_hash",)),
    Route(_GET, "/gradio_api/call/{api_name}/{event_id}", "stream"),
    Route(_POST, "/gradio_api/queue/join", "join"),
    Route(_POST, "/gradio_api/call/{api_name}", "call"),
    Route(_POST, "/gradio_api/call/{api_name}/", "call"),
    Route(_POST, "/gradio_api/cancel", "small"),
    Route(_POST, "/gradio_api/reset", "small"),
    Route(_POST, "/gradio_api/component_server", "live"),
    Route(_POST, "/gradio_api/component_server/", "live"),
    Route(_POST, "/gradio_api/upload", "upload"),
    Route(_GET, "/gradio_api/upload_progress", "progress"),
    Route(_LOOK, "/gradio_api/file={path_or_url:path}", "file"),
    Route(("POST", "GET", "DELETE"), "/mcp", "tool"),
    Route(_LOOK, "/device/{path:path}", "device"),
)

CLOSED = (
    "/config/",  # the slash alone; nobody asks so
    "/docs",
    "/docs/oauth2-redirect",
    "/gradio_api/api/{api_name}",
    "/gradio_api/api/{api_name}/",
    "/gradio_api/app_id/",
    "/gradio_api/call/v2/{api_name}",
    "/gradio_api/call/v2/{api_name}/",
    "/gradio_api/call/v2/{api_name}/{event_id}",
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}",
    "/gradio_api/deep_link",
    "/gradio_api/dev/reload",
    "/gradio_api/file/{path:path}",
    "/gradio_api/info/",
    "/gradio_api/login_check",
    "/gradio_api/login_check/",
    "/gradio_api/openapi.json",
    "/gradio_api/process_recording",
    "/gradio_api/profiling/clear",
    "/gradio_api/profiling/summary",
    "/gradio_api/profiling/traces",
    "/gradio_api/proxy={url_path:path}",
    "/gradio_api/queue/status",
    "/gradio_api/reset/",
    "/gradio_api/run-history/buckets",
    "/gradio_api/run-history/connect",
    "/gradio_api/run-history/records",
    "/gradio_api/run-history/records/{endpoint}/{record_id}/assets/{asset_id}",
    "/gradio_api/run/{api_name}",
    "/gradio_api/run/{api_name}/",
    "/gradio_api/runs",
    "/gradio_api/runs/",
    "/gradio_api/stream/{event_id}",
    "/gradio_api/stream/{event_id}/close",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
    "/gradio_api/token",
    "/gradio_api/token/",
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/undo-vibe-edit/",
    "/gradio_api/user",
    "/gradio_api/user/",
    "/gradio_api/vibe-code",
    "/gradio_api/vibe-code/",
    "/gradio_api/vibe-edit",
    "/gradio_api/vibe-edit/",
    "/gradio_api/vibe-starter-queries",
    "/gradio_api/vibe-starter-queries/",
    "/login",
    "/login/",
    "/logout",
    "/manifest.json",
    "/monitoring",
    "/monitoring/summary",
    "/monitoring/{key}",
    "/openapi.json",
    "/pwa_icon",
    "/pwa_icon/{size}",
    "/redoc",
    "/svelte/{path:path}",
)

_TABLE = tuple((route, route.pattern()) for route in OPEN)


def find_route(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The open route of a request and what stands for its parts; None is closed."""
    for route, pattern in _TABLE:
        if method in route.methods and (match := pattern.fullmatch(path)):
            return route, match.groups()
    return None
