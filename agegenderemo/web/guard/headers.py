"""The headers of every answer."""

from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from agegenderemo.web.guard.hosts import HostRules
from agegenderemo.web.guard.refusal import Refusal

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


_PASSED = frozenset(
    (b"host", b"connection", b"content-type", b"content-length", b"transfer-encoding", b"accept",
     b"accept-encoding", b"accept-language", b"user-agent", b"origin", b"referer", b"range",
     b"if-none-match", b"if-modified-since", b"x-forwarded-proto", b"x-forwarded-host",
     b"mcp-protocol-version", b"mcp-method", b"mcp-name")
)  # fmt: skip
"""What gradio sees of a request. It builds the page's own address from several others, by which a
stranger could put his into a page that some cache keeps."""


def passed_headers(
    headers: Iterable[tuple[bytes, bytes]], rules: HostRules
) -> list[tuple[bytes, bytes]]:
    """The headers of a request that go on; a forwarded name only where it is this server's."""
    passed = _PASSED | {b"x-ip-token"} if rules.token else _PASSED
    kept = [(name, value) for name, value in headers if name.lower() in passed]
    return [(name, value) for name, value in kept if _is_ours(name.lower(), value, rules)]


def _is_ours(name: bytes, value: bytes, rules: HostRules) -> bool:
    if name == b"x-forwarded-proto":
        return value in (b"http", b"https")
    if name == b"x-forwarded-host":
        try:
            rules.check_host(value.decode("latin-1"))
        except Refusal:
            return False
    return True


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
