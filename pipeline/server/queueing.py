"""A bounded queue before one worker: requests are admitted or refused at once, batched, and answered by a deadline."""

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
from pipeline.server.limits import Instance, RefusedError

if TYPE_CHECKING:
    from pipeline.server.answering import Boxes

Work = Callable[[Sequence[Sequence[Instance]]], "Sequence[Boxes | InputError]"]
LOG = logging.getLogger("grounder.server")


@dataclass
class QueueConfig:
    """How requests wait for the models."""

    batch: int = 32  # most instances that go through the models together
    batch_wait_s: float = 0.0  # wait so long for more requests; 0: whatever has gathered while the models worked
    waiting: int = 256  # most instances that wait; beyond it the answer is 503 with Retry-After
    buffered_mib: float = 256.0  # MiB of bodies held at once; beyond it the answer is 503 too
    deadline_s: float = 60.0  # an answer that takes longer is given up with 504


@dataclass(eq=False)
class Job:
    """One request in the queue."""

    instances: list[Instance]
    future: "asyncio.Future[Boxes]"
    expires: float


class Queue:
    """Admits jobs, batches them for the worker thread, and hands each its own answer."""

    def __init__(self, work: Work, config: QueueConfig) -> None:
        self._work, self.config = work, config
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._left_over: Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._seconds_each = 0.01  # a running mean, from which Retry-After is guessed
        self.waiting = 0
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

    def refuse_when_full(self, extra: int = 1) -> None:
        """Raise RefusedError 503 when `extra` more instances would not fit."""
        if self.waiting and self.waiting + extra > self.config.waiting:
            raise RefusedError(503, "the queue is full", max(1, math.ceil(self.waiting * self._seconds_each)))

    def put(self, instances: list[Instance], expires: float) -> "asyncio.Future[Boxes]":
        """Queue a request; its future gets the boxes, an InputError, or is cancelled by whoever gives up waiting."""
        self.refuse_when_full(len(instances))
        job = Job(instances, asyncio.get_running_loop().create_future(), expires)
        self.waiting += len(instances)
        job.future.add_done_callback(lambda _: self._left(job))
        self._jobs.put_nowait(job)
        return job.future

    def _left(self, job: Job) -> None:
        self.waiting -= len(job.instances)
        job.instances = []  # a request that was given up may still stand in the queue; its images need not

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [j for j in await self._gather() if not j.future.done() and j.expires > time.monotonic()]
            if not batch:
                continue
            started, size = time.monotonic(), sum(len(j.instances) for j in batch)
            answers = await loop.run_in_executor(self._thread, self._answer, [j.instances for j in batch])
            spent = time.monotonic() - started
            self._seconds_each += 0.2 * (spent / max(1, size) - self._seconds_each)
            self.on_batch(size, spent)
            for job, answer in zip(batch, answers, strict=True):
                if job.future.done():
                    continue
                if isinstance(answer, Exception):
                    job.future.set_exception(answer)
                else:
                    job.future.set_result(answer)

    async def _gather(self) -> list[Job]:
        """The next batch: at least one job, and further ones while they fit."""
        first = self._left_over or await self._jobs.get()
        self._left_over = None
        batch, size = [first], len(first.instances)
        ends = time.monotonic() + self.config.batch_wait_s
        while size < self.config.batch:
            try:
                left = ends - time.monotonic()
                more = self._jobs.get_nowait() if left <= 0 else await asyncio.wait_for(self._jobs.get(), left)
            except (asyncio.QueueEmpty, TimeoutError):
                break
            if size + len(more.instances) > self.config.batch:
                self._left_over = more
                break
            batch.append(more)
            size += len(more.instances)
        return batch

    def _answer(self, requests: list[list[Instance]]) -> "Sequence[Boxes | Exception]":
        """The worker's answers; when a batch fails, each request alone, so that only the guilty one fails."""
        try:
            return self._work(requests)
        except Exception as error:
            LOG.exception("a batch of %d requests failed", len(requests))
            if len(requests) == 1:
                return [error]
            return [self._answer([request])[0] for request in requests]
