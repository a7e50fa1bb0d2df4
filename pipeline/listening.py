"""uvicorn around a service: one process, drained on SIGTERM."""

import asyncio
import socket
from types import FrameType

import uvicorn

from pipeline.service import Service, make_app


class DrainingServer(uvicorn.Server):
    """On SIGTERM or SIGINT: not ready any more, newcomers answered a little longer, then the accepted ones, then out.

    A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service, linger_s: float) -> None:
        super().__init__(config)
        self._service, self._linger_s = service, linger_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; uvicorn's own handler closes idle connections at once, under clients about to send."""
        if self._service.draining:
            self.force_exit = self.should_exit = True
            return
        self._service.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._linger_s, self._close)

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
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=round(service.queueing.deadline_s) + 5,
            timeout_keep_alive=75,
            ws="none",
            backlog=2048,
        )
        DrainingServer(config, service, linger_s).run([listener])
