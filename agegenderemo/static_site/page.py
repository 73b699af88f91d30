"""What is made for the site beside its modules and networks: the head of the page, the manifest of
an installed app, its icons, and the description of a Space."""

import io
import json
from html.parser import HTMLParser
from itertools import pairwise
from math import cos, pi, sin

from PIL import Image, ImageDraw

from agegenderemo.errors import AgeGenderEmoError

TITLE = "AgeGenderEmo"
SENTENCE = (
    "Look into the camera or drop in a photo: what one small network guesses from each face, live. "
    "Nothing leaves this device."
)
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "style-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The content security policy; frame-ancestors cannot stand in a page."""

ICONS = {"icons/icon-192.png": 192, "icons/icon-512.png": 512, "icons/maskable-512.png": 512}

_PAPER, _ACCENT = "#f7f7f8", "#0f766e"

# The mark of the app (web/live.html), as lines of points on 48×48.
_CORNERS = (0, 90, 180, 270)
_WIDTH = 4.0
_MOUTH = ((16, 29), (24, 37), (32, 29))  # a quadratic curve
_EYES = (17, 31)


def with_head(page: str) -> str:
    """The page with policy, description, manifest and icons in its head.

    Raises AgeGenderEmoError where the policy would not let it work: for scripts, styles or handlers
    within it.
    """
    inline = _Inline()
    inline.feed(page)
    if inline.found:
        raise AgeGenderEmoError(f"browser/index.html has an inline {inline.found[0]}.")
    if "<head>" not in page:
        raise AgeGenderEmoError("browser/index.html has no <head>.")
    lines = [f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">']
    if 'name="description"' not in page:
        lines.append(f'<meta name="description" content="{SENTENCE}">')
    if 'rel="manifest"' not in page:
        lines.append('<link rel="manifest" href="./manifest.webmanifest">')
    if 'rel="icon"' not in page:
        lines.append('<link rel="icon" type="image/png" href="./icons/icon-192.png">')
        lines.append('<link rel="apple-touch-icon" href="./icons/icon-192.png">')
    charset = '<meta charset="utf-8">'  # within the first bytes
    rest = page.replace(charset, "", 1)
    return rest.replace("<head>", "\n".join(("<head>", charset, *lines)), 1)


class _Inline(HTMLParser):
    """Finds what a policy without 'unsafe-inline' forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if (tag == "script" and "src" not in names) or tag == "style":
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


def manifest() -> bytes:
    """The web app manifest."""
    icons = [
        {
            "src": f"./{path}",
            "sizes": f"{size}x{size}",
            "type": "image/png",
            "purpose": "maskable" if "maskable" in path else "any",
        }
        for path, size in ICONS.items()
    ]
    return _json(
        {
            "id": "./",
            "name": TITLE,
            "short_name": TITLE,
            "description": SENTENCE,
            "start_url": "./",
            "scope": "./",
            "display": "standalone",
            "background_color": _PAPER,
            "theme_color": _ACCENT,
            "icons": icons,
        }
    )


def icons() -> dict[str, bytes]:
    """The icons by path: the mark of the app, whole for a launcher that cuts a circle out."""
    found = {}
    for path, size in ICONS.items():
        maskable = "maskable" in path
        image = Image.new("RGBA", (size, size), _PAPER if maskable else (0, 0, 0, 0))
        mark = _mark(round(size * (0.56 if maskable else 0.94)))
        at = (size - mark.width) // 2
        image.alpha_composite(mark, (at, at))
        data = io.BytesIO()
        image.save(data, "PNG", optimize=True)
        found[path] = data.getvalue()
    return found


def _mark(size: int) -> Image.Image:
    """Four corners and a face, drawn four times as large and made smaller."""
    scale = 4 * size / 48
    image = Image.new("RGBA", (4 * size, 4 * size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for corner in _CORNERS:
        _stroke(draw, [_turned(x, y, corner) for x, y in _corner()], scale)
    for x in _EYES:
        _stroke(draw, [(x, 18), (x, 21)], scale)
    (x0, y0), (x1, y1), (x2, y2) = _MOUTH
    steps = [step / 24 for step in range(25)]
    curve = [
        (
            (1 - t) ** 2 * x0 + 2 * t * (1 - t) * x1 + t**2 * x2,
            (1 - t) ** 2 * y0 + 2 * t * (1 - t) * y1 + t**2 * y2,
        )
        for t in steps
    ]
    _stroke(draw, curve, scale)
    return image.resize((size, size), Image.Resampling.BOX)


def _corner() -> list[tuple[float, float]]:
    """The left upper one: a line, an arc of radius 6, a line."""
    angles = [pi + step / 16 * pi / 2 for step in range(17)]
    return [(4, 15), *((10 + 6 * cos(a), 10 + 6 * sin(a)) for a in angles), (15, 4)]


def _turned(x: float, y: float, degrees: int) -> tuple[float, float]:
    for _ in range(degrees // 90):
        x, y = 48 - y, x
    return x, y


def _stroke(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], scale: float) -> None:
    """A line with round ends and joints: a disk every half pixel of the small picture."""
    radius = _WIDTH / 2 * scale
    for (x0, y0), (x1, y1) in pairwise(points):
        steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) * scale / 2))
        for step in range(steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in ((x0, x1), (y0, y1)))
            box = [x * scale - radius, y * scale - radius, x * scale + radius, y * scale + radius]
            draw.ellipse(box, fill=_ACCENT)


def readme(network: str, precision: str, version: str) -> bytes:
    """The description of a static Space, which its front matter makes one."""
    return f"""---
title: {TITLE}
emoji: 🪞
colorFrom: gray
colorTo: green
sdk: static
app_file: index.html
license: other
license_name: non-commercial-research
short_description: Faces read live, wholly in your browser
---

# {TITLE}

{SENTENCE}

These files are the whole page: any host of static files serves them, and after the first visit it
works without a network. They were made by `agegenderemo static`, version {version}, with the
network {network} in {precision}.

The code is under the MIT licence; the weights are for non-commercial research. ONNX Runtime, by
Microsoft, is under the MIT licence (its text is in `files/`).
""".encode()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
