"""One HTTP connection, whose client can neither send nor withhold without end before a route sees its request.

uvicorn's parser bounds neither the target, nor the headers and trailers, nor the requests that wait on a connection,
nor the time that they take: 100 MiB of small headers are a gigabyte of Python objects, and so are 8 MiB of requests
without headers. What arrives of a body is bounded by the service.
"""

import asyncio
import contextlib
import json
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 2**16  # of bytes in a row that neither end a head nor belong to a body; h11's limit in uvicorn
HEAD_S = 20.0  # from the connection, or from a request's first byte, to the end of its head
UNREAD_S = 60.0  # that a client may leave more than 64 KiB of answers unread
FLUSH_S = 5.0  # from closing to what is left of the answer being thrown away
ANSWERED_BYTES = 2**26  # taken and thrown away after an answer, of a body that nobody reads any more
HOP_BY_HOP = {b"connection", b"upgrade", b"http2-settings"}


class SecondRequestError(Exception):
    """A request that begins before the one before it on this connection is answered."""


class BoundedConnection(HttpToolsProtocol):
    """Closes with 431 what sends too much around its bodies, and what does not end its head in time.

    One request at a time: when the next begins before the answer, the connection reads no more and closes behind that
    answer, as a server may (RFC 9112, 9.6). The idle time counts from an answer to the end of the next head, whatever
    comes meanwhile. An upgrade, which this server has none of, is passed over (RFC 9110, 7.8).
    """

    _around = _since = 0
    _useful = _ended = _upgrading = False
    _late: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what was neither a body nor the end of a head."""
        if self._ended or self.transport.is_closing():
            return
        self._useful = False
        self._parse(data)
        self._around = 0 if self._useful else self._around + len(data)
        self._since += len(data)
        if self._around > HEAD_BYTES:
            self.refuse(431, "more than 64 KiB around a body")
        elif self._since > ANSWERED_BYTES and self.cycle is not None and self.cycle.response_complete:
            self._close()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._ended:
                self.refuse(400, "no valid HTTP request")

    def on_message_begin(self) -> None:
        """Await the head of the next request on this connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._ended, self.cycle.keep_alive = True, False
            self.flow.pause_reading()
            raise SecondRequestError  # the parser goes no further
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Leave the rest to the service and its deadline."""
        self._useful = True
        self._cancel()
        self._upgrading = self.parser.should_upgrade()
        if not self._upgrading:
            self._since = 0
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Leave the body's length to the service."""
        self._useful = True
        if not self._upgrading:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request's body."""
        if not self._upgrading:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the idle time, which only the end of another head ends."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._since = 0
        if not self.transport.is_closing():
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close)

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on; the client reads."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._cancel()
        super().connection_lost(exc)

    def _pass_over(self, rest: bytes) -> None:
        """Go on as if the client had not asked for another protocol; the parser has stopped behind the head."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.refuse(400, "this server is no proxy")
            return
        headers = [(name, value) for name, value in self.headers if name not in HOP_BY_HOP]
        head = [b"%b %b HTTP/1.1" % (method, self.url), *(b"%b: %b" % header for header in headers), b"", b""]
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"\r\n".join(head) + rest)

    def _await_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(HEAD_S, self._close)

    def _cancel(self) -> None:
        for timer in (self._late, self._idle):
            if timer is not None:
                timer.cancel()
        self._late = self._idle = None

    def refuse(self, status: int, message: str) -> None:
        """Answer without the service, unless an answer is on its way, and close."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": message}).encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (status, HTTPStatus(status).phrase.encode(), len(body), body)
            )
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self.loop.call_later(FLUSH_S, self.transport.abort)
