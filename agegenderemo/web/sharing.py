"""The head of the page: what other sites show of a link to it (a title, a sentence and a picture
that are ours), and scripts that run before gradio's.

gradio writes a description of its own into the page, the first of which counts, and adds what it is
told to add only when it runs; so the page is changed on its way out.
"""

import re
from html import escape

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agegenderemo.imaging.formats import IMAGE_SUFFIXES
from agegenderemo.web import assets

TITLE = "AgeGenderEmo"
SENTENCE = (
    "Look into the camera or drop in a photo: what one small network guesses from each face, live. "
    "Nothing is kept."
)
SCRIPTS = (("english",), ("addresses",), ("examples",), ("pictures",), ("said", "paste"))
PREVIEW = "preview.jpg"
"""The picture, 1200×630 pixels, beside this file and in the address."""

_METAS = re.compile(rb'\s*<meta\s+(?:property="og:|name="twitter:)[^>]*>')


class SharedHead:
    """ASGI middleware around gradio's app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].endswith(f"/{PREVIEW}"):
            await FileResponse(assets.FOLDER / PREVIEW)(scope, receive, send)
        else:
            await self._app(scope, receive, _Rewriter(send, _address(scope)))


class _Rewriter:
    """A ``send`` that gives an HTML page our head; other answers pass."""

    def __init__(self, send: Send, address: str) -> None:
        self._send, self._address = send, address
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        self._start = None
        body = with_head(bytes(self._body), self._address)
        if self._body:  # HEAD has none, and a length that is not ours to say
            MutableHeaders(scope=start)["content-length"] = str(len(body))
        else:
            del MutableHeaders(scope=start)["content-length"]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def with_head(html: bytes, address: str) -> bytes:
    """A page of gradio whose description is ours; ``address`` is that of the page, with a slash at
    its end."""
    facts = {
        'property="og:title"': TITLE,
        'property="og:type"': "website",
        'property="og:url"': address,
        'property="og:description"': SENTENCE,
        'property="og:image"': address + PREVIEW,
        'property="og:image:width"': "1200",
        'property="og:image:height"': "630",
        'name="description"': SENTENCE,
        'name="twitter:card"': "summary_large_image",
    }
    metas = "".join(f'<meta {name} content="{escape(text)}" />\n' for name, text in facts.items())
    scripts = "".join(f"<script>{{{assets.script(*modules)}}}</script>\n" for modules in SCRIPTS)
    scripts = scripts.replace("@suffixes@", " ".join(sorted(IMAGE_SUFFIXES)))
    own = _METAS.sub(b"", html)
    return own.replace(b"<head>", f"<head>\n{metas}{scripts}".encode(), 1)


def _is_page(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/html")


def _address(scope: Scope) -> str:
    """Of the page, as its visitor wrote it: the guard lets only names of this server through."""
    headers = Headers(scope=scope)
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    host = headers.get("x-forwarded-host") or headers.get("host", "")
    root = str(scope.get("root_path", "")).rstrip("/")
    return f"{scheme}://{host}{root}/"
