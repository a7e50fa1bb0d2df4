"""The HTTP service: the competition's contract, readiness, metrics and the page."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from core.apart import Apart
from core.errors import InputError
from core.stages import NotFiniteOutputError
from pipeline.memory import release_free_memory
from pipeline.server.bodies import Body, Room
from pipeline.server.limits import Instance, LimitsConfig, parse_request
from pipeline.server.origins import OriginCheck
from pipeline.server.queueing import Queue, QueueConfig, Work
from pipeline.server.refusals import RefusedError

RELEASE_S = 2.0  # between two times that freed memory is handed back, when anything was answered meanwhile
RELEASE_ANYWAY_S = 30.0  # and whatever was asked
INLINE_BYTES = 2**20  # of a body that is unfolded here; larger ones in another process, as a thread holds all others
PARSE_S = 10.0  # for one of them
CLIENT_CLOSED = 499  # nginx's status for a client that left; nobody reads it but the metrics

_parse_apart = Apart("pipeline.server.limits:parse_pieces", nice=10)


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
    unsure_below: float = 0.5  # a probability below it is told to be unsure
    allowed_hosts: Sequence[str] | None = None  # that requests may name as Host or Origin; None: any

    def __post_init__(self) -> None:
        self.measures, self.draining = Measures(), False
        self.room = Room(self.queueing.buffered_mib)
        self._parsers = ThreadPoolExecutor(2, thread_name_prefix="parsing")
        self.queue = Queue(self.work, self.queueing)
        self.queue.on_batch = self._note_batch
        self.measures.waiting.set_function(lambda: self.queue.waiting)
        self.measures.buffered.set_function(lambda: self.room.held)
        self.answered = self._ended = 0  # the second counts requests and batches, abandoned ones too

    def _note_batch(self, size: int, seconds: float) -> None:
        self.measures.batch.observe(size)
        self.measures.work.observe(seconds)
        self._ended += 1

    async def identify(self, request: Request) -> Response:
        """Answer one request, count it and time it."""
        started = time.monotonic()
        client = self._client(request)
        body = Body(request, client, self.room, self.limits.body_mib)
        try:
            response = await self._identify(request, client, body, started + self.queueing.deadline_s)
        except RefusedError as error:
            later = {"retry-after": str(error.retry_after_s)} if error.retry_after_s is not None else None
            response = JSONResponse({"error": error.message}, error.status, later)
        finally:
            body.release()
            self._ended += 1
        if self.draining:
            response.headers["connection"] = "close"
        self.answered += response.status_code == 200
        self.measures.requests.labels(str(response.status_code)).inc()
        self.measures.seconds.observe(time.monotonic() - started)
        return response

    def _client(self, request: Request) -> str:
        """Who asks: the connection's address, or what the proxy in front says (of a list the part it has added)."""
        told = request.headers.get(self.queueing.client_header, "") if self.queueing.client_header else ""
        return told.rpartition(",")[2].strip()[:100] or (request.client.host if request.client else "")

    async def release_memory(self) -> None:
        """For ever: hand back what was freed, soon after any work and every half minute anyway."""
        seen, last = 0, time.monotonic()
        while True:
            await asyncio.sleep(RELEASE_S)
            if self._ended != seen or time.monotonic() - last >= RELEASE_ANYWAY_S:
                seen, last = self._ended, time.monotonic()
                await asyncio.to_thread(release_free_memory)

    async def _identify(self, request: Request, client: str, body: Body, expires: float) -> Response:
        self.queue.refuse_when_full(client)
        try:
            async with asyncio.timeout(expires - time.monotonic()):
                pieces = await body.read()
                instances = None if pieces is None else await self._parse(pieces, body.size)
        except TimeoutError:
            raise RefusedError(408, "the body did not arrive in time") from None
        del pieces
        if instances is None:
            return Response(status_code=CLIENT_CLOSED)
        if not instances:
            return JSONResponse({"predictions": []})
        return await self._wait(request, client, instances, expires)

    async def _parse(self, pieces: list[bytes], size: int) -> list[Instance]:
        if size <= INLINE_BYTES:
            return parse_request(b"".join(pieces), self.limits)
        asked = partial(_parse_apart, pieces, self.limits, limit_s=PARSE_S)
        try:
            found: list[Instance] = await asyncio.get_running_loop().run_in_executor(self._parsers, asked)
        except TimeoutError:
            raise RefusedError(413, f"the body cannot be read within {PARSE_S:g} s") from None
        except ChildProcessError as error:
            raise RefusedError(413, f"the body cannot be read: {error}") from None
        return found

    async def _wait(self, request: Request, client: str, instances: list[Instance], expires: float) -> Response:
        """The queue's answer, unless the deadline passes or the client leaves first."""
        future = self.queue.put(instances, client)
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
        if isinstance(error, RefusedError):
            raise error
        if isinstance(error, NotFiniteOutputError):
            return JSONResponse({"error": str(error)}, 500)
        if isinstance(error, InputError):
            raise RefusedError(400, str(error))
        if error is not None:
            return JSONResponse({"error": "the pipeline failed; its log says how"}, 500)
        return Response(json.dumps(self._message(future.result())), media_type="application/json")

    def _message(self, answers: Sequence[Any]) -> dict[str, Any]:
        """The contract's boxes and, for a request that asked for more, what is known of each."""
        plain = [getattr(one, "answer", one) for one in answers]
        boxes = [list((self.fallback_box or ()) if box is None else box) for box in plain]
        if not any(hasattr(one, "probability") for one in answers):
            return {"predictions": boxes}
        details = [
            {
                "score": one.score, "probability": one.probability,
                "unsure": one.probability is None or one.probability < self.unsure_below,
                "runners_up": [{"box": list(box), "score": s, "probability": p} for box, s, p in one.runners_up],
            }
            for one in answers
        ]  # fmt: skip
        return {"predictions": boxes, "details": details, "unsure_below": self.unsure_below}


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_late(deadline_s: float) -> Response:
    return JSONResponse({"error": f"no answer within {deadline_s:g} s"}, 504)


async def _refused(_: Request, error: Exception) -> Response:
    """The form of every refusal, for the routes that there are not and for our own defects."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
    return JSONResponse({"error": "the server failed; its log says how"}, 500)


def make_app(service: Service) -> FastAPI:
    """The application of one service."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.queue.start()
        releasing = asyncio.create_task(service.release_memory())
        yield
        releasing.cancel()
        await service.queue.stop()

    app = FastAPI(title="Grounder", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _refused)
    if service.allowed_hosts is not None:
        app.add_middleware(OriginCheck, allowed=service.allowed_hosts)
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
