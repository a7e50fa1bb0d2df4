"""One HTTP connection, whose client can neither send nor withhold without end before a route sees its request.

uvicorn's parser bounds neither the target, nor the headers and trailers, nor the time that they take: 100 MiB of small
headers are a gigabyte of Python objects. What arrives of a body is bounded by the service.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 2**16  # of bytes in a row that neither end a head nor belong to a body; h11's limit in uvicorn
HEAD_S = 20.0  # from the connection, or from a request's first byte, to the end of its head


class BoundedConnection(HttpToolsProtocol):
    """Closes with 431 what sends too much around its bodies, and what does not end its head in time."""

    _around, _useful = 0, False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what was neither a body nor the end of a head."""
        self._useful = False
        super().data_received(data)
        self._around = 0 if self._useful else self._around + len(data)
        if self._around > HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Await the head of the next request on this connection."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Leave the rest to the service and its deadline."""
        self._useful = True
        self._head_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Leave the body's length to the service."""
        self._useful = True
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head_came()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_came()
        self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
                                 b"content-length: 0\r\nconnection: close\r\n\r\n")  # fmt: skip
        self.transport.close()
