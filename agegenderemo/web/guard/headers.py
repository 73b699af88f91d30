"""The headers of every answer."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from agegenderemo.web.guard.hosts import HostRules

# gradio's page needs inline and evaluated scripts. What the policy is worth: nothing goes to, or
# comes from, another host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-src 'self' blob:; manifest-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors "
)
_PERMISSIONS = "camera=(self), microphone=(), geolocation=(), display-capture=(), usb=(), midi=()"


def security_headers(rules: HostRules) -> dict[str, str]:
    """Names and values. Framing is allowed to the page's own host, and to Spaces on a Space."""
    return {
        "content-security-policy": _POLICY + f"'self' {rules.frames}".strip(),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "permissions-policy": _PERMISSIONS,
        "cross-origin-opener-policy": "same-origin",
        "x-dns-prefetch-control": "off",
    }


def with_headers(send: Send, headers: dict[str, str]) -> Send:
    """A ``send`` that adds the headers; those of the answer itself win."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = MutableHeaders(scope=message)
            for name, value in headers.items():
                present.setdefault(name, value)
        await send(message)

    return send_with_headers
