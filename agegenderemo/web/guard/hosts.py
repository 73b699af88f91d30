"""Which names the server answers to: DNS rebinding and posts from other sites end here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from agegenderemo.web.guard.refusal import Refusal

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_SPACE_FRAMES = "https://huggingface.co https://*.huggingface.co https://*.hf.space"


def is_zero_gpu(environment: Mapping[str, str]) -> bool:
    """Whether this is a Space that lends a graphics card (ZeroGPU), as its environment says."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


@dataclass(frozen=True, slots=True)
class HostRules:
    """``names`` are allowed besides loopback. ``literals`` allows every bare IP address, for a
    server that is bound beyond loopback: rebinding needs a name."""

    names: frozenset[str] = frozenset()
    literals: bool = False
    frames: str = ""
    """Sites that may show the page in a frame, as CSP writes them."""
    token: bool = False
    """Whether a request's ``X-IP-Token`` goes on: a ZeroGPU Space says by it whose quota the time
    on a card is."""

    @classmethod
    def of_server(
        cls, bound: str, allowed: Iterable[str] = (), environment: Mapping[str, str] | None = None
    ) -> "HostRules":
        """For a server bound to ``bound``; a Space's own name and frame are allowed there."""
        environment = environment or {}
        names = {name.strip().lower() for name in allowed if name.strip()}
        space = "SPACE_ID" in environment
        if space:
            names |= {name.strip().lower() for name in environment.get("SPACE_HOST", "").split(",")}
        names.discard("")
        frames = _SPACE_FRAMES if space else ""
        token = space and is_zero_gpu(environment)
        return cls(frozenset(names), not _is_loopback(bound), frames, token)

    def check_host(self, host: str | None) -> None:
        """Raises Refusal for a name that is not this server's."""
        name = _name(host or "")
        if name is None or not (_is_loopback(name) or name in self.names or self._literal(name)):
            raise Refusal(
                421, "This server does not answer to that name; --allowed-host NAME adds one."
            )

    def check_origin(self, origin: str | None, host: str | None) -> None:
        """Raises Refusal where a page of another site sends this; none (curl, gradio_client) is
        fine."""
        if origin is None:
            return
        parts = urlsplit(origin) if origin.isascii() else urlsplit("")
        same = parts.netloc.lower() == (host or "").lower() and parts.scheme in ("http", "https")
        if not (parts.netloc and (same or _name(parts.netloc) in self.names)):
            raise Refusal(403, "Pages of other sites may not send this.")

    def _literal(self, name: str) -> bool:
        return self.literals and _address(name) is not None


def _name(host: str) -> str | None:
    """The name of a Host header in small letters, without its port; None for what is none."""
    match = _HOST.fullmatch(host)
    return match[1].lower().removesuffix(".") if match else None


def _address(name: str) -> str | None:
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return name == "localhost" or (address is not None and ip_address(address).is_loopback)
