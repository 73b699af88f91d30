"""The demo as a whole: its pages in one place, and the server that shows them.

Gradio and the network are imported when they are needed, so that a command line which only names
the demo stays quick.
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from html import escape
from importlib.util import find_spec
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, NoReturn

from agegenderemo.errors import AgeGenderEmoError, MissingExtraError

if TYPE_CHECKING:
    import gradio as gr

    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.model_info import Precision
    from agegenderemo.web.guard import Limits, Store
    from agegenderemo.web.networks import Place

CHECKPOINT_VARIABLE = "AGEGENDEREMO_CHECKPOINT"
MCP_VARIABLE = "AGEGENDEREMO_MCP"

_HEADER = """
<header class="site-header">
  <svg viewBox="0 0 48 48" aria-hidden="true"><path d="M4 15V10a6 6 0 0 1 6-6h5M33 4h5a6 6 0 0 1 6
    6v5M44 33v5a6 6 0 0 1-6 6h-5M15 44h-5a6 6 0 0 1-6-6v-5M17 18v3M31 18v3M16 29q8 8 16 0"/></svg>
  <div>
    <h1>AgeGenderEmo</h1>
    <p>@names@ of every face, guessed by one small network.</p>
  </div>
  @networks@
</header>
<p id="said" role="status"></p>
"""


def build_demo(
    analyzer: "Analyzer | Sequence[Analyzer]",
    store: "Store",
    *,
    mcp: bool = False,
    on_device: bool = False,
) -> "gr.Blocks":
    """The page around an analyzer, which all sessions share; a page for each where there are
    several, with links from one to the other. Uploads and results lie in the store, whose folder
    must be ``GRADIO_TEMP_DIR`` by now, and which removes them. ``mcp`` says that the server answers
    assistants, with the first network, so that the Code tab tells how; ``on_device``, that it has
    what browsers load to read frames themselves, see `agegenderemo.web.on_device`.

    Raises MissingExtraError where gradio or plotly is not installed.
    """
    with _extra():
        import gradio as gr

    from agegenderemo.web.networks import choice_html, places_of
    from agegenderemo.web.options import QUEUE_SIZE

    demo: gr.Blocks = gr.Blocks(title="AgeGenderEmo", analytics_enabled=False)
    analyzers = [analyzer] if not isinstance(analyzer, Sequence) else list(analyzer)
    places = places_of(analyzers)
    for one, place in zip(analyzers, places, strict=True):
        if place.path:
            demo.route(place.name, place.path, show_in_navbar=False)
        with demo:
            links = choice_html(places, analyzers, place)
            _pages(one, place, store, links, mcp=mcp and not place.path, on_device=on_device)
    demo.queue(max_size=QUEUE_SIZE, api_open=False)
    return demo


def _pages(
    analyzer: "Analyzer", place: "Place", store: "Store", links: str, *, mcp: bool, on_device: bool
) -> None:
    """Lay out all tabs of one network; ``links`` lead to the others."""
    import gradio as gr

    from agegenderemo.web.about import about_page
    from agegenderemo.web.from_code import code_page
    from agegenderemo.web.live import live_page
    from agegenderemo.web.many import many_page
    from agegenderemo.web.on_device import address_of
    from agegenderemo.web.photo import photo_page
    from agegenderemo.web.privacy import privacy_html
    from agegenderemo.web.video import video_page
    from agegenderemo.web.words import names_of

    header = _HEADER.replace("@names@", escape(names_of(analyzer.tasks)))
    gr.HTML(header.replace("@networks@", links), apply_default_css=False)
    with gr.Tabs(elem_id="pages"):
        with gr.Tab("Live", id="live"):
            live_page(analyzer, address_of(place) if on_device else None)
        with gr.Tab("Photo", id="photo"):
            photo_page(analyzer, store, place.endpoint)
        with gr.Tab("Many", id="many"):
            many_page(analyzer, store)
        if find_spec("av"):
            with gr.Tab("Video", id="video"):
                video_page(analyzer, store)
        with gr.Tab("Code", id="code"):
            code_page(analyzer, place, mcp=mcp)
        with gr.Tab("About", id="about"):
            about_page(analyzer, store.limits)
    gr.HTML(privacy_html(store.limits), apply_default_css=False, elem_id="privacy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the demo: what `serve` takes."""
    parser.add_argument(
        "--model",
        "--checkpoint",
        dest="checkpoint",
        metavar="NAME|FILE|hf://USER/REPO",
        action="append",
        help="a network to show, one of this package, a file or one of the Hugging Face Hub; may "
        f"be repeated, for a choice; default: ${CHECKPOINT_VARIABLE}, or those of this package",
    )
    parser.add_argument(
        "--precision",
        choices=("float", "int8"),
        default="float",
        help="what the network computes convolutions in; default: float",
    )
    parser.add_argument("--host", help="address to listen on; default: this machine only")
    parser.add_argument(
        "--port", type=int, help="port to listen on; default: the first free one from 7860"
    )
    parser.add_argument(
        "--allowed-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that the server answers to, as behind a reverse proxy; may be repeated",
    )
    parser.add_argument(
        "--trusted-proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        type=_network,
        help="address or network of a proxy whose X-Forwarded-For is true; may be repeated",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        default=os.environ.get(MCP_VARIABLE, "").lower() in ("1", "true"),
        help="offer the reading of pictures to assistants, by the Model Context Protocol at /mcp; "
        f"also by ${MCP_VARIABLE}",
    )
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-device",
        nargs="?",
        const="",
        metavar="FILE|DIR",
        help="offer to read Live's frames in the visitor's own browser, so that none is sent, by "
        "the npm package onnxruntime-web: a .tgz, an unpacked folder, or fetched once; default: "
        "where it has been fetched before",
    )


def _network(text: str) -> str:
    return str(ip_network(text, strict=False))


def serve(
    checkpoint: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    host: str | None = None,
    port: int | None = None,
    *,
    precision: "Precision" = "float",
    allowed_hosts: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    mcp: bool = False,
    on_device: str | None = None,
    limits: "Limits | None" = None,
) -> NoReturn:
    """Serve the page until it is stopped, leave no file behind, and end the process.

    ``checkpoint`` is what `Analyzer.from_checkpoint` takes, or several such, between which the page
    offers a choice; without one, those that come with the package, as far as they have this
    precision.
    ``allowed_hosts`` are names that the server answers to besides its own, ``trusted_proxies``
    addresses or networks whose ``X-Forwarded-For`` is believed; ``mcp`` offers the reading of
    pictures to assistants, at ``/mcp``; ``on_device`` is what `on_device.find_for_app` takes.

    Raises MissingExtraError where gradio, plotly or the SDK of ``mcp`` is not installed,
    CheckpointError for a checkpoint that cannot be used, OSError for a port that is taken,
    ValueError for a proxy that is no address.
    """
    # A service manager stops it with SIGTERM: end as with Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What is imported stays: looking for garbage in it, again and again, takes a fifth of the
    # start.
    gc.disable()
    with _extra():
        from agegenderemo.web.options import listening_address, page_options

    from agegenderemo.web.guard import Store, assembly
    from agegenderemo.web.guard.memory import give_back_large_blocks
    from agegenderemo.web.mcp_tool import mcp_app
    from agegenderemo.web.networks import open_networks, places_of
    from agegenderemo.web.on_device import DeviceFiles, find_for_app
    from agegenderemo.web.zero_gpu import report_start

    give_back_large_blocks()
    host, port = listening_address(host, port)
    with closing(Store(limits)) as store:
        os.environ["GRADIO_TEMP_DIR"] = str(store.folder)
        analyzers = open_networks(checkpoint, precision)
        runtime = find_for_app(on_device)
        files = {
            place.slug: one.origin.path
            for place, one in zip(places_of(analyzers), analyzers, strict=True)
            if one.origin is not None
        }
        device = DeviceFiles(files, runtime) if runtime else None
        demo = build_demo(analyzers, store, mcp=mcp, on_device=device is not None)
        app = assembly.guarded(
            demo,
            store,
            page_options(store.limits),
            host=host,
            allowed_hosts=allowed_hosts,
            trusted_proxies=trusted_proxies,
            tool=mcp_app(analyzers[0], store) if mcp else None,
            device=device,
        )
        gc.freeze()  # nor is any of this ever garbage, and a search of it would hold up a frame
        gc.enable()
        report_start(demo, port)
        assembly.serve(app, store, host, port)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``app.py`` with these arguments and return the exit status: 2 where it cannot start."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="Serve the page on this machine.", allow_abbrev=False
    )
    add_arguments(parser)
    try:
        serve(**serve_options(parser.parse_args(argv)))
    except (AgeGenderEmoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before it was up
        return 130


def serve_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `serve` takes, from the options of `add_arguments`."""
    return {
        "checkpoint": args.checkpoint or _named_by_environment(),
        "host": args.host,
        "port": args.port,
        "precision": args.precision,
        "allowed_hosts": args.allowed_host,
        "trusted_proxies": args.trusted_proxy,
        "mcp": args.mcp,
        "on_device": args.on_device,
    }


def _named_by_environment() -> list[str]:
    named = os.environ.get(CHECKPOINT_VARIABLE)
    return [named] if named else []


@contextmanager
def _extra() -> Iterator[None]:
    """Turns the absence of the page's own packages into one sentence."""
    try:
        yield
        if find_spec("plotly") is None:  # it is imported with the first chart
            raise ModuleNotFoundError(name="plotly")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("gradio", "plotly"):
            raise
        raise MissingExtraError("The page", "app") from error
