"""One request to a server, on the standard library: bounded in time and size, and never sent on to another address."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any

MOST_BYTES = 16 * 2**20  # of an answer; a longer one is no answer of a chat


class StatusError(Exception):
    """The server answered with a status other than 200; `code`, and the beginning of its words as the message."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(told)
        self.code = code


def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> bytes:
    """The whole answer to a POST, which may take `timeout_s` from its first byte to its last.

    Raises StatusError, TimeoutError, ValueError for an answer of more than MOST_BYTES, and what `urllib` raises for a
    server that is not there or breaks off. Redirects are not followed: the key is for the address that was given.
    """
    request = urllib.request.Request(url, body, headers)
    with _Deadline(timeout_s) as deadline:
        opener = urllib.request.build_opener(_NoRedirect, _Http(deadline), _Https(deadline))
        try:
            with opener.open(request, timeout=timeout_s) as response:
                return _read(response, deadline)
        except urllib.error.HTTPError as error:
            raise StatusError(error.code, _words(error)) from None
        except Exception as error:  # a connection that was cut breaks in whatever the reader was about
            late = deadline.is_over or isinstance(getattr(error, "reason", error), TimeoutError)
            if late and not isinstance(error, TimeoutError):
                raise TimeoutError from None
            raise


def _read(response: HTTPResponse, deadline: "_Deadline") -> bytes:
    pieces, size = [], 0
    while piece := response.read1(2**16):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise ValueError(f"an answer of more than {MOST_BYTES // 2**20} MiB")
        if deadline.is_over:
            break
    if deadline.is_over:  # what was cut off may look like an end
        raise TimeoutError
    if response.length:  # the rest that its header promised
        raise IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _words(error: urllib.error.HTTPError) -> str:
    """The beginning of what an error's body says, and where a redirect leads."""
    told = ""
    with error, contextlib.suppress(Exception):  # the status is known; a body may hang or break off
        told = error.read(300).decode(errors="replace")
    where = error.headers.get("Location") if 300 <= error.code < 400 else None
    return f"it redirects to {where}, which is not followed" if where else " ".join(told.split())


class _Deadline:
    """Cuts the connections that it watches when the time is over, however slowly the server goes on."""

    def __init__(self, seconds: float) -> None:
        self._end, self._timers = time.monotonic() + seconds, list[threading.Timer]()

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def watch(self, sock: socket.socket) -> None:
        timer = threading.Timer(max(0.0, self._end - time.monotonic()), _cut, [sock])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def __enter__(self) -> "_Deadline":
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of an encrypted one the connection beneath


def _timed(kind: Any, deadline: _Deadline) -> Any:
    class Timed(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    return Timed


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_timed(HTTPConnection, self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_timed(HTTPSConnection, self._deadline), req)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the status stands as the answer."""
