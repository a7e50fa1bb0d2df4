"""The bodies of requests: how many bytes of them are held, for whom, and how slowly they may come."""

import asyncio
import time
from collections import Counter

from fastapi import Request

from pipeline.server.refusals import RefusedError

MIB = 2**20
WINDOW_S = 5.0  # the first byte comes within it, and in every further one at least WINDOW_S * LEAST_RATE bytes
LEAST_RATE = 8 * 2**10  # bytes a second
SMALL_BYTES = 2**20  # a body up to it may use the last quarter of the room, which larger ones leave
LARGE_SHARE, CLIENT_SHARE = 0.75, 0.5  # of the room: for all large bodies together, and for those of one client


class Room:
    """The bytes of bodies held at once: what has arrived counts, not what was announced."""

    def __init__(self, mib: float) -> None:
        self._most = mib * MIB
        self._of: Counter[str] = Counter()
        self.held = 0

    def take(self, client: str, size: int, body: int) -> None:
        """Hold `size` more bytes of a client's body, which is `body` long with them; RefusedError 503 without room."""
        share = 1.0 if body <= SMALL_BYTES else LARGE_SHARE
        if self.held + size > share * self._most or self._of[client] + size > CLIENT_SHARE * self._most:
            raise RefusedError(503, "too many bodies at once", 1)
        self.held += size
        self._of[client] += size

    def give_back(self, client: str, size: int) -> None:
        """Hold so many bytes fewer."""
        self.held -= size
        self._of[client] -= size
        if not self._of[client]:
            del self._of[client]


class Body:
    """One request's body as it arrives."""

    def __init__(self, request: Request, client: str, room: Room, limit_mib: float) -> None:
        self._request, self._client, self._room, self._limit_mib = request, client, room, limit_mib
        self.size = 0

    async def read(self) -> list[bytes] | None:
        """The body in pieces, or None when the client leaves before its end.

        Raises RefusedError: 413 as soon as it is known to be too long, 503 when there is no room, 408 when it comes
        too slowly.
        """
        announced = self._request.headers.get("content-length", "")
        if announced.isdigit() and int(announced[:20]) > self._limit_mib * MIB:
            raise RefusedError(413, f"a body of {announced[:20]} bytes is over the limit of {self._limit_mib:g} MiB")
        pieces: list[bytes] = []
        ends, due = time.monotonic() + WINDOW_S, 1
        while True:
            try:
                async with asyncio.timeout(ends - time.monotonic()):
                    message = await self._request.receive()
            except TimeoutError:
                if due > 0:
                    raise RefusedError(408, "the body comes too slowly: its first byte within "
                                       f"{WINDOW_S:g} s, then {LEAST_RATE} bytes a second") from None  # fmt: skip
                ends, due = time.monotonic() + WINDOW_S, round(WINDOW_S * LEAST_RATE)
                continue
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            self._count(len(pieces[-1]))
            due -= len(pieces[-1])
            if not message.get("more_body", False):
                return pieces

    def _count(self, size: int) -> None:
        if self.size + size > self._limit_mib * MIB:
            raise RefusedError(413, f"the body is more than the limit of {self._limit_mib:g} MiB")
        self._room.take(self._client, size, self.size + size)
        self.size += size

    def release(self) -> None:
        """Give the bytes back."""
        self._room.give_back(self._client, self.size)
        self.size = 0
