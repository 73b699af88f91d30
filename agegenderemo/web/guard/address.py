"""Whom a request is counted against."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers

UNKNOWN = "unknown"
ADDRESS = "agegenderemo.address"
"""Key of a request's scope that says the same to what stands behind the guard."""


class TrustedProxies:
    """The peers whose ``X-Forwarded-For`` is believed: addresses or networks.

    Raises ValueError for what is neither.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ip_network(one, strict=False) for one in networks]

    @classmethod
    def of_environment(
        cls, environment: Mapping[str, str], networks: Iterable[str] = ()
    ) -> "TrustedProxies":
        """Those that are named; on Spaces every peer is their proxy."""
        everyone = ("0.0.0.0/0", "::/0") if "SPACE_ID" in environment else ()
        return cls((*networks, *everyone))

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def client_address(scope: Mapping[str, Any], proxies: TrustedProxies) -> str:
    """The peer, or the last ``X-Forwarded-For`` where the peer is a trusted proxy: what stands
    before the last was written by the client. An IPv6 client is its /64, which is what one
    household or one rented machine has."""
    peer = _parse(scope["client"][0]) if scope.get("client") else None
    if peer is not None and peer in proxies:
        forwarded = ",".join(Headers(raw=scope["headers"]).getlist("x-forwarded-for"))
        peer = _parse(forwarded.rpartition(",")[2]) or peer
    if peer is None:
        return UNKNOWN
    if isinstance(peer, IPv6Address):
        return str(ip_network((peer, 64), strict=False))
    return str(peer)


def connection_address(peer: str, proxies: TrustedProxies) -> str | None:
    """Whom an open connection counts against; None for a proxy, which brings many people."""
    parsed = _parse(peer)
    if parsed is not None and parsed in proxies:
        return None
    return client_address({"client": (peer, 0), "headers": []}, TrustedProxies())


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Also ``[::1]:8080`` and ``1.2.3.4:8080``, as proxies write them."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
