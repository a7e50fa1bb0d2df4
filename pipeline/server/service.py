"""The HTTP service: the competition's contract, readiness, metrics and the page."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core.errors import InputError
from core.stages import NotFiniteOutputError
from pipeline.memory import release_free_memory
from pipeline.server.limits import Instance, LimitsConfig, RefusedError, parse_request
from pipeline.server.queueing import Queue, QueueConfig, Work

MIB = 2**20
RELEASE_S = 2.0  # between two times that freed memory is handed back
CLIENT_CLOSED = 499  # nginx's status for a client that left; nobody reads it but the metrics


class Measures:
    """The service's own Prometheus registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("grounder_requests", "Requests to /identify", ["status"], registry=self.registry)
        self.seconds = Histogram("grounder_request_seconds", "Time to answer /identify", registry=self.registry)
        self.batch = Histogram(
            "grounder_batch_instances", "Instances a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self.work = Histogram("grounder_batch_seconds", "Models' time a batch", registry=self.registry)
        self.stage = Histogram("grounder_stage_seconds", "A stage's time a batch", ["stage"], registry=self.registry)
        self.waiting = Gauge("grounder_waiting_instances", "Instances in the queue", registry=self.registry)
        self.buffered = Gauge("grounder_buffered_bytes", "Bytes of bodies held", registry=self.registry)


@dataclass
class Service:
    """The state behind the routes."""

    work: Work
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    queueing: QueueConfig = field(default_factory=QueueConfig)
    fallback_box: Sequence[float] | None = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        self.measures, self.draining, self.buffered = Measures(), False, 0
        self.queue = Queue(self.work, self.queueing)
        self.queue.on_batch = self._note_batch
        self.measures.waiting.set_function(lambda: self.queue.waiting)
        self.measures.buffered.set_function(lambda: self.buffered)
        self.answered = self._ended = 0  # the second counts requests and batches, abandoned ones too

    def _note_batch(self, size: int, seconds: float) -> None:
        self.measures.batch.observe(size)
        self.measures.work.observe(seconds)
        self._ended += 1

    async def identify(self, request: Request) -> Response:
        """Answer one request, count it and time it."""
        started = time.monotonic()
        held = Held(self)
        try:
            response = await self._identify(request, held, started + self.queueing.deadline_s)
        except RefusedError as error:
            later = {"retry-after": str(error.retry_after_s)} if error.retry_after_s is not None else None
            response = JSONResponse({"error": error.message}, error.status, later)
        finally:
            held.release()
            self._ended += 1
        if self.draining:
            response.headers["connection"] = "close"
        self.answered += response.status_code == 200
        self.measures.requests.labels(str(response.status_code)).inc()
        self.measures.seconds.observe(time.monotonic() - started)
        return response

    async def release_memory(self) -> None:
        """For ever: after every few seconds with work, hand back what it has freed."""
        seen = 0
        while True:
            await asyncio.sleep(RELEASE_S)
            if self._ended != seen:
                seen = self._ended
                await asyncio.to_thread(release_free_memory)

    async def _identify(self, request: Request, held: "Held", expires: float) -> Response:
        self.queue.refuse_when_full()
        held.announce(request.headers.get("content-length"), self.limits.body_mib)
        try:
            async with asyncio.timeout(expires - time.monotonic()):
                body = await self._read(request, held)
        except TimeoutError:
            raise RefusedError(408, "the body did not arrive in time") from None
        if body is None:
            return Response(status_code=CLIENT_CLOSED)
        instances = parse_request(body, self.limits)
        del body
        if not instances:
            return JSONResponse({"predictions": []})
        return await self._wait(request, instances, expires)

    async def _read(self, request: Request, held: "Held") -> bytes | None:
        """The body, or None when the client leaves before its end; refused as soon as it is too long."""
        pieces: list[bytes] = []
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            held.count(len(pieces[-1]), self.limits.body_mib)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def _wait(self, request: Request, instances: list[Instance], expires: float) -> Response:
        """The queue's answer, unless the deadline passes or the client leaves first."""
        future = self.queue.put(instances, expires)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            waited: set[asyncio.Future[Any]] = {future, gone}
            await asyncio.wait(waited, timeout=expires - time.monotonic(), return_when="FIRST_COMPLETED")
        finally:
            gone.cancel()
            if not future.done():
                future.cancel()
        if future.cancelled():
            left = gone.done() and not gone.cancelled()
            return Response(status_code=CLIENT_CLOSED) if left else _too_late(self.queueing.deadline_s)
        error = future.exception()
        if isinstance(error, NotFiniteOutputError):
            return JSONResponse({"error": str(error)}, 500)
        if isinstance(error, InputError):
            raise RefusedError(400, str(error))
        if error is not None:
            return JSONResponse({"error": "the pipeline failed; its log says how"}, 500)
        boxes = [list((self.fallback_box or ()) if box is None else box) for box in future.result()]
        return Response(json.dumps({"predictions": boxes}), media_type="application/json")


class Held:
    """The bytes that one request holds, of all that the service may hold."""

    def __init__(self, service: Service) -> None:
        self._service, self._reserved, self._read = service, 0, 0

    def announce(self, content_length: str | None, limit_mib: float) -> None:
        """Reserve what the client says it will send."""
        length = int(content_length) if content_length is not None and content_length.isdigit() else 0
        if length > limit_mib * MIB:
            raise RefusedError(413, f"a body of {length} bytes is more than the limit of {limit_mib:g} MiB")
        self._reserve(length)

    def count(self, size: int, limit_mib: float) -> None:
        """Note bytes that arrived; a body without an announced length is reserved as it comes."""
        self._read += size
        if self._read > limit_mib * MIB:
            raise RefusedError(413, f"the body is more than the limit of {limit_mib:g} MiB")
        if self._read > self._reserved:
            self._reserve(self._read)

    def _reserve(self, total: int) -> None:
        more = total - self._reserved
        if self._service.buffered + more > self._service.queueing.buffered_mib * MIB:
            raise RefusedError(503, "too many bodies at once", 1)
        self._service.buffered += more
        self._reserved = total

    def release(self) -> None:
        """Give the bytes back."""
        self._service.buffered -= self._reserved
        self._reserved = 0


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_late(deadline_s: float) -> Response:
    return JSONResponse({"error": f"no answer within {deadline_s:g} s"}, 504)


def make_app(service: Service) -> FastAPI:
    """The application of one service."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.queue.start()
        releasing = asyncio.create_task(service.release_memory())
        yield
        releasing.cancel()
        await service.queue.stop()

    app = FastAPI(title="Grounder", lifespan=lifespan, docs_url=None, redoc_url=None)
    page = files("pipeline.server").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"message": "health ok"}

    @app.get("/ready")
    async def ready() -> Response:
        if service.draining or not service.queue.alive:
            return JSONResponse({"message": "draining" if service.draining else "the worker has stopped"}, 503)
        return JSONResponse({"message": "ready"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.measures.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    app.add_route("/identify", service.identify, methods=["POST"])
    return app
