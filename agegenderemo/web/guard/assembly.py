"""Putting a gradio page, its guard and its server together."""

import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from starlette.types import ASGIApp

from agegenderemo.web.guard.address import TrustedProxies
from agegenderemo.web.guard.hosts import HostRules
from agegenderemo.web.guard.middleware import Guard
from agegenderemo.web.guard.server import server
from agegenderemo.web.guard.store import Store
from agegenderemo.web.guard.sweeper import Sweeper

_log = logging.getLogger(__name__)

_SESSIONS = 512  # of which gradio keeps what their states hold, in about 100 kB each

_NEVER = 2**62


def close_shortcuts(demo: Any) -> None:
    """Nothing of a Blocks runs but through its queue, and it remembers few sessions. Also without
    the guard, as in an app that others mount. ``demo.queue()`` must have been called before."""
    for function in demo.fns.values():
        function.queue = True
    demo.api_open = False
    demo.state_session_capacity = _SESSIONS
    # With each call gradio would make a table of the last 10,000, for a page that is closed here.
    queue = demo._queue
    queue.ANALYTICS_MAX_EVENTS, queue.ANAYLTICS_CACHE_FREQUENCY = 1, _NEVER


def mount(
    web: Any, demo: Any, store: Store, page: Mapping[str, Any], path: str, rules: HostRules
) -> None:
    """Put the page, with its guard around it, under ``path`` of somebody's own FastAPI app, which
    has to keep a `Sweeper` of the store running."""
    from starlette.middleware import Middleware

    close_shortcuts(demo)
    inner = dict(page.get("app_kwargs") or {})
    inner["middleware"] = [
        Middleware(Guard, demo=demo, store=store, rules=rules),
        *inner.get("middleware", ()),
    ]
    _put(web, demo, path, {**page, "app_kwargs": inner})
    demo.is_running = demo.has_launched = True


def _put(web: Any, demo: Any, path: str, page: Mapping[str, Any]) -> None:
    import gradio as gr

    with warnings.catch_warnings():
        # Of several pages gradio says that it does not render them on the server: nobody asked.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(web, demo, path, **page)


def guarded(
    demo: Any,
    store: Store,
    page: Mapping[str, Any],
    *,
    host: str,
    allowed_hosts: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    tool: ASGIApp | None = None,
    device: ASGIApp | None = None,
) -> ASGIApp:
    """The page behind its guard, as an ASGI app.

    ``page`` are keyword arguments of ``gradio.mount_gradio_app`` (theme, head, favicon_path, …);
    ``host`` is what the server will be bound to; ``tool`` answers assistants, if they are to be;
    ``device`` has the files with which browsers read frames themselves.
    ``GRADIO_TEMP_DIR`` must have been the store's folder when ``demo`` was built. Raises
    ValueError for a proxy that is no address.
    """
    import fastapi

    close_shortcuts(demo)
    web = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _put(web, demo, "/", page)
    # launch() would say so; gradio then looks at paths itself too, and keeps its streams alive.
    demo.is_running = demo.has_launched = True
    rules = HostRules.of_server(host, allowed_hosts, os.environ)
    known = TrustedProxies.of_environment(os.environ, trusted_proxies)
    return Guard(web, demo, store, rules, known, tool, device)


def serve(app: ASGIApp, store: Store, host: str, port: int) -> NoReturn:
    """Serve until SIGINT or SIGTERM, leave no file behind, and end the process at once: threads
    that still read a picture would otherwise be torn down under the network's library."""
    status = 1
    sweeper = Sweeper(store)

    def end() -> NoReturn:
        sweeper.stop()
        store.close()
        for process in multiprocessing.active_children():  # no exit handler ends them below
            process.terminate()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def late() -> None:
        nonlocal status
        status = 0
        end()

    # uvicorn ends well on a signal and then sends it to the process once more.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sweeper.start()
    try:
        server(app, host, port, announce=_announce, late=late).run()
        status = 0
    except KeyboardInterrupt:
        status = 0
    except Exception:
        _log.exception("The server ended.")
    finally:
        end()


def _announce(url: str) -> None:
    print(f"* Running on local URL:  {url}", flush=True)
