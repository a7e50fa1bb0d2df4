"""uvicorn around a service: one process, drained on SIGTERM."""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
from types import FrameType

import uvicorn

from pipeline.server.connection import BoundedConnection
from pipeline.server.service import Service, make_app

# Classic BPF over a segment's TCP header: drop those that open a connection (SYN without ACK), let the others pass.
DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
SO_ATTACH_FILTER = 26  # Linux; Python has no name for it
SETTLE_S = 0.2  # what was connecting when newcomers stopped is accepted and asks within this time


class DrainingServer(uvicorn.Server):
    """On SIGTERM or SIGINT: not ready any more, newcomers answered a little longer, then the accepted ones, then out.

    Closing a listening socket resets connections that wait to be accepted. So newcomers are first kept from connecting
    (their systems try again and are refused), and it closes when those that had connected are in. A second signal ends
    it at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service, listener: socket.socket, linger_s: float) -> None:
        super().__init__(config)
        self._service, self._listener, self._linger_s = service, listener, linger_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; uvicorn's own handler closes idle connections at once, under clients about to send."""
        if self._service.draining:
            os._exit(128 + sig)  # a thread in the midst of an image would be waited for otherwise
        self._service.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._linger_s, self._stop_newcomers)

    def _stop_newcomers(self) -> None:
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in DROP_SYN))
        filter_program = struct.pack("HP", len(DROP_SYN), ctypes.addressof(program))
        with contextlib.suppress(OSError):  # not Linux: a connection made in the last moment may be reset
            self._listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_program)
        self._loop.call_later(SETTLE_S, self._close)

    def _close(self) -> None:
        self.should_exit = True

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)


def serve(service: Service, host: str, port: int, linger_s: float) -> None:
    """Listen and answer until SIGTERM or SIGINT; OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        print(f"listening at http://{host}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            make_app(service),
            http=BoundedConnection,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=round(service.queueing.deadline_s) + 5,
            timeout_keep_alive=75,
            ws="none",
            backlog=2048,
        )
        DrainingServer(config, service, listener, linger_s).run([listener])
