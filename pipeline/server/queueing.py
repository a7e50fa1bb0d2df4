"""A bounded queue before one worker: requests are admitted or refused at once, take turns, and are batched."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import InputError
from pipeline.server.limits import Instance
from pipeline.server.refusals import RefusedError
from pipeline.server.turns import Job, Turns

if TYPE_CHECKING:
    from pipeline.server.answering import Boxes

Work = Callable[[Sequence[Sequence[Instance]]], "Sequence[Boxes | InputError]"]
LOG = logging.getLogger("grounder.server")


@dataclass
class QueueConfig:
    """How requests wait for the models."""

    batch: int = 32  # most instances that go through the models together
    batch_pixels: int = 25_000_000  # most pixels of their images, where it is more than one image
    batch_wait_s: float = 0.0  # wait so long for more requests; 0: whatever has gathered while the models worked
    waiting: int = 256  # most instances that wait; beyond it the answer is 503 with Retry-After
    waiting_pixels: int = 4_800_000_000  # most pixels that wait; beyond it the answer is 503 too
    client_header: str = ""  # of a proxy that sets it to the client's address; by default the connection's counts
    buffered_mib: float = 256.0  # MiB of bodies held at once; beyond it the answer is 503 too
    deadline_s: float = 60.0  # an answer that takes longer is given up with 504


class Queue:
    """Admits jobs, batches them for the worker thread, and hands each its own answer."""

    def __init__(self, work: Work, config: QueueConfig) -> None:
        self._work, self.config = work, config
        self._turns, self._news = Turns(), asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._task: asyncio.Task[None] | None = None
        self._seconds_each = 0.01  # a running mean, from which Retry-After is guessed
        self.waiting = self._cost = 0  # instances, and what their images cost
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self._task = asyncio.create_task(self._run())

    @property
    def alive(self) -> bool:
        """Whether the worker can answer."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """End the worker; what still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=True, cancel_futures=True)

    def refuse_when_full(self, client: str) -> None:
        """Raise RefusedError 503 when nothing more of this client would fit."""
        heaviest = self._turns.heaviest()
        if heaviest is None or self.waiting < self.config.waiting:
            return
        if self._turns.load(client) >= self._turns.load(heaviest.client):
            raise self._full()

    def _full(self) -> RefusedError:
        return RefusedError(503, "the queue is full", max(1, math.ceil(self.waiting * self._seconds_each)))

    def put(self, instances: list[Instance], client: str) -> "asyncio.Future[Boxes]":
        """Queue a request; its future gets the boxes, an InputError, or is cancelled by whoever gives up waiting."""
        job = Job(instances, client, asyncio.get_running_loop().create_future())
        self._make_room(job)
        self.waiting += len(instances)
        self._cost += job.cost
        job.future.add_done_callback(lambda _: self._left(job))
        self._turns.add(job)
        self._news.set()
        return job.future

    def _make_room(self, job: Job) -> None:
        """Refuse a request that does not fit, or push out the newest of a client that has more waiting than this one.

        Large requests leave a quarter of the room to small ones.
        """
        most = self.config.waiting_pixels * (1.0 if job.cost <= self.config.waiting_pixels / 64 else 0.75)
        while self.waiting and (
            self.waiting + len(job.instances) > self.config.waiting or self._cost + job.cost > most
        ):
            heaviest = self._turns.heaviest()
            mine = self._turns.load(job.client) + job.cost
            if heaviest is None or self._turns.load(heaviest.client) <= mine:
                raise self._full()
            heaviest.future.set_exception(self._full())
            self._left(heaviest)

    def _left(self, job: Job) -> None:
        """Forget a request; one that was given up has its images let go of as well."""
        self.waiting -= len(job.instances)
        self._cost -= job.cost
        job.instances, job.cost = [], 0
        job.parts.clear()
        self._turns.remove(job)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._gather()
            batch = self._turns.next_batch(self.config.batch, self.config.batch_pixels)
            if not batch:
                continue
            started, size = time.monotonic(), sum(len(p.instances) for p in batch)
            answers = await loop.run_in_executor(self._thread, self._answer, [p.instances for p in batch])
            spent = time.monotonic() - started
            self._seconds_each += 0.2 * (spent / max(1, size) - self._seconds_each)
            self._turns.charge(batch, spent)
            self.on_batch(size, spent)
            for part, answer in zip(batch, answers, strict=True):
                if part.job.future.done():
                    continue
                if isinstance(answer, Exception):
                    part.job.future.set_exception(answer)
                else:
                    part.job.take(part, answer)

    async def _gather(self) -> None:
        """Wait for a request, and `batch_wait_s` longer for as many as fit a batch."""
        while not self._turns.ready():
            self._news.clear()
            await self._news.wait()
        ends = time.monotonic() + self.config.batch_wait_s
        while self._turns.ready() < self.config.batch and (left := ends - time.monotonic()) > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    def _answer(self, requests: list[list[Instance]]) -> "Sequence[Boxes | Exception]":
        """The worker's answers; when a batch fails, each request alone, so that only the guilty one fails."""
        try:
            return self._work(requests)
        except Exception as error:
            LOG.exception("a batch of %d requests failed", len(requests))
            if len(requests) == 1:
                return [error]
            return [self._answer([request])[0] for request in requests]
