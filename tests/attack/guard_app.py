"""A small gradio app behind the real guard and server, for tests of the guard itself."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import fastapi
import gradio as gr
import httpx
from guard_picture import Picture
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from agegenderemo.web.guard import Guard, HostRules, Limits, Store
from agegenderemo.web.guard.address import TrustedProxies
from agegenderemo.web.guard.server import running


class Long:
    """Calls of ``long``: each says that it started, and ends with a word put into ``ends``."""

    def __init__(self) -> None:
        self.started: SimpleQueue[None] = SimpleQueue()
        self.ends: SimpleQueue[str] = SimpleQueue()


LONG = Long()
META = {"_type": "gradio.FileData"}
WEB = httpx.Client()
"""One client: each call of `httpx.get` would read all certificates of the system."""


class Served(NamedTuple):
    """A running server and what is behind it."""

    url: str
    store: Store
    demo: gr.Blocks
    web: fastapi.FastAPI
    component: int


def small_demo(store: Store) -> tuple[gr.Blocks, int]:
    """A public ``analyze`` that tells a file's size, a ``long`` that ends when a test wants it to,
    and a Live component that echoes."""

    def analyze(path: str | None) -> dict[str, Any]:
        if path is None:
            raise gr.Error("No picture was sent.", print_exception=False)
        with store.open(path) as file:
            return {"file": Path(path).name, "size": len(file.read())}

    def long() -> str:
        LONG.started.put(None)
        return LONG.ends.get(timeout=20)

    def read_frame(message: Any) -> dict[str, Any]:
        return {"echo": message}

    with gr.Blocks(analytics_enabled=False) as demo:
        picture = Picture(type="filepath")
        shown = gr.HTML()
        result = gr.JSON()
        live = gr.HTML(html_template="<p>live</p>", server_functions=[read_frame])
        gr.Button().click(analyze, picture, result, api_name="analyze")
        gr.Button().click(
            long, None, shown, api_name="long", concurrency_id="long", concurrency_limit=2
        )
        picture.change(lambda path: "seen", picture, shown, api_visibility="private")
    demo.queue(max_size=64, api_open=False)
    return demo, live._id


@contextmanager
def guarded(
    folder: Path,
    limits: Limits | None = None,
    *,
    mount: str = "/",
    proxies: tuple[str, ...] = (),
    allowed: tuple[str, ...] = (),
    device: ASGIApp | None = None,
) -> Iterator[Served]:
    """Serve the small demo behind the guard, mounted under ``mount``."""
    store = Store(limits, folder)
    old = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(store.folder)
    try:
        demo, component = small_demo(store)
        web = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        options: dict[str, Any] = {"ssr_mode": False, "run_history": False, "footer_links": []}
        rules = HostRules.of_server("127.0.0.1", allowed)
        if mount == "/":
            app: Any = gr.mount_gradio_app(web, demo, mount, **options)
            app = Guard(app, demo, store, rules, TrustedProxies(proxies), device=device)
        else:
            middleware = [_entry(demo, store, rules)]
            app = gr.mount_gradio_app(
                web, demo, mount, app_kwargs={"middleware": middleware}, **options
            )
        with running(app) as url:
            yield Served(url, store, demo, web, component)
    finally:
        store.close()
        if old is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = old


def _entry(demo: gr.Blocks, store: Store, rules: HostRules) -> Middleware:
    return Middleware(Guard, demo=demo, store=store, rules=rules)


def upload(url: str, content: bytes, name: str = "a.jpg", **options: Any) -> httpx.Response:
    return WEB.post(f"{url}gradio_api/upload", files={"files": (name, content)}, **options)


def join(url: str, path: object, **more: Any) -> httpx.Response:
    body = {"data": [{"path": path, "meta": META}], "fn_index": 0, "session_hash": "abc"}
    return WEB.post(f"{url}gradio_api/queue/join", content=json.dumps({**body, **more}))


def files_in(served: Served) -> list[Path]:
    return [path for path in served.store.folder.rglob("*") if path.is_file()]
