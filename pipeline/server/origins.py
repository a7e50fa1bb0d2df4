"""Which pages may ask: a server on loopback is open to its user's programs, not to every web site that the user visits.

A page of another site can post to 127.0.0.1 (its Origin tells), and one whose name is bound anew to 127.0.0.1 can read
the answers too (its Host tells).
"""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def allowed_at(host: str, listed: Sequence[str] | None) -> tuple[str, ...] | None:
    """The hosts that requests may name at this address to listen at; None: any.

    On loopback its names and what is listed; elsewhere what is listed, and all where nothing is.
    """
    if not is_loopback(host):
        return None if listed is None else tuple(listed)
    return (*LOOPBACK_NAMES, f"[{host}]" if ":" in host else host, *(listed or ()))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OriginCheck:
    """Refuses with 403 what names another Host, or comes from a page of another Origin than the server's own."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app, self._allowed = app, {name.lower() for name in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": refusal}, 403)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        hosts, origins = ([value.decode("latin-1").lower() for name, value in scope["headers"] if name == wanted]
                          for wanted in (b"host", b"origin"))  # fmt: skip
        for host in hosts:
            if not self._knows(host):
                return f"Host {host[:100]!r} is not among the setting allowed_hosts"
        for origin in origins:
            place = _place(origin)
            if place not in hosts and place not in self._allowed:
                return f"Origin {origin[:100]!r} is neither this server's own page nor among the setting allowed_hosts"
        return None

    def _knows(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        bare = name if colon and port.isdecimal() else host
        return host in self._allowed or bare in self._allowed


def _place(origin: str) -> str:
    """The host and port of an origin; empty for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
