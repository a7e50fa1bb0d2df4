"""What waits for the models, by client and request, and whose turn is next.

Requests are taken apart by image, so that a large one is never between a small one and the models for longer than one
image. What waits is counted in pixels, what was answered in seconds of the models.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.server.limits import Instance

if TYPE_CHECKING:
    from pipeline.server.answering import Boxes

IMAGE_COST = 2**21  # what an image costs beside its own pixels: the detector sees all of one size
SLACK = 1.5  # how much more than the first in a batch others may cost in it
BESIDE_LARGER = 2  # images in a batch while a larger one waits: nobody is answered only at the end of many


@dataclass(eq=False)
class Job:
    """One request in the queue."""

    instances: list[Instance]
    client: str
    future: "asyncio.Future[Boxes]"
    parts: "deque[Part]" = field(default_factory=deque)  # that nobody works on yet
    boxes: "Boxes" = field(default_factory=list)
    missing: int = 0  # parts without an answer
    spent_s: float = 0.0  # of the models, by its parts
    cost: int = 0  # of all its parts

    def __post_init__(self) -> None:
        by_image: dict[str, list[Instance]] = {}
        for instance in self.instances:
            by_image.setdefault(instance.digest, []).append(instance)
        self.parts = deque(Part(self, found) for found in by_image.values())
        self.boxes, self.missing = [None] * len(self.instances), len(self.parts)
        self.cost = sum(part.cost for part in self.parts)

    def take(self, part: "Part", boxes: "Boxes") -> None:
        """Note the answers to one part; the request's answer is complete with the last."""
        for instance, box in zip(part.instances, boxes, strict=True):
            self.boxes[instance.place] = box
        self.missing -= 1
        if not self.missing:
            self.future.set_result(self.boxes)


@dataclass(eq=False)
class Part:
    """One image of a request and all that the request asks of it: answers may depend on one another within it."""

    job: Job
    instances: list[Instance]

    @property
    def pixels(self) -> int:
        """Pixels of its image."""
        return self.instances[0].pixels

    @property
    def cost(self) -> int:
        """What its image costs, in pixels."""
        return self.pixels + IMAGE_COST


class Turns:
    """The waiting requests of all clients; next is the client that has had least, and its request that has had least.

    Who comes anew begins where the one stands who was last in turn (start-time fair queueing, Goyal, Vin and Cheng,
    https://doi.org/10.1145/248156.248171), so nobody saves turns up; among equals the smaller goes first.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, list[Job]] = {}
        self._spent_s: dict[str, float] = {}
        self._now_s = 0.0  # what the client in turn had had

    def add(self, job: Job) -> None:
        """Let a request wait."""
        others = self._jobs.setdefault(job.client, [])
        if not others:
            self._spent_s[job.client] = max(self._spent_s.get(job.client, 0.0), self._now_s)
        job.spent_s = min((other.spent_s for other in others), default=0.0)
        others.append(job)

    def remove(self, job: Job) -> None:
        """Let go of a request, whether it waits or not."""
        jobs = self._jobs.get(job.client, [])
        if job in jobs:
            jobs.remove(job)
            if not jobs:
                del self._jobs[job.client]
                self._spent_s = {c: s for c, s in self._spent_s.items() if s > self._now_s or c in self._jobs}

    def next_batch(self, instances: int, pixels: int) -> list[Part]:
        """Parts to work on together: at least one where any waits, and further ones within both limits.

        Other clients and other requests have at most 1.5 times as much in a batch as those of its first part: who has
        little to ask has little to wait for. Say with `charge` how long a batch took before the next is asked for.
        """
        batch: list[Part] = []
        while (part := self._fitting(batch, instances, pixels)) is not None:
            if not batch:
                self._now_s = max(self._now_s, self._spent_s[part.job.client])
            batch.append(part)
            part.job.parts.popleft()
        return batch

    def charge(self, batch: list[Part], seconds: float) -> None:
        """Note that the models worked so long on a batch; each part's share is that of its cost."""
        whole = sum(part.cost for part in batch)
        for part in batch:
            share_s = seconds * part.cost / whole
            part.job.spent_s += share_s
            client = part.job.client  # also of one that gave up meanwhile, or it would come back as one who had nothing
            self._spent_s[client] = self._spent_s.get(client, self._now_s) + share_s

    def _fitting(self, batch: list[Part], instances: int, pixels: int) -> Part | None:
        instances -= sum(len(part.instances) for part in batch)
        pixels -= sum(part.pixels for part in batch)
        had: Counter[object] = Counter()
        for part in batch:
            had[part.job] += part.cost
            had[part.job.client] += part.cost
        waiting = list(self._in_turn())
        if len(batch) >= BESIDE_LARGER and any(job.parts[0].cost > SLACK * batch[0].cost for job in waiting):
            return None
        for job in waiting:
            part = job.parts[0]
            if not batch:
                return part
            first = batch[0].job
            equal = all(
                mine == other or had[mine] + part.cost <= SLACK * had[other]
                for mine, other in ((job, first), (job.client, first.client))
            )
            if equal and part.pixels <= pixels and len(part.instances) <= instances:
                return part
        return None

    def _in_turn(self) -> Iterator[Job]:
        """Requests with a part to begin, next first."""
        for client in sorted(self._jobs, key=lambda c: (self._spent_s[c], self.load(c))):
            yield from sorted((job for job in self._jobs[client] if job.parts), key=lambda job: (job.spent_s, job.cost))

    def ready(self) -> int:
        """Instances that nobody works on yet."""
        return sum(len(part.instances) for jobs in self._jobs.values() for job in jobs for part in job.parts)

    def load(self, client: str) -> int:
        """Cost of all that a client has waiting or worked on."""
        return sum(job.cost for job in self._jobs.get(client, ()))

    def heaviest(self) -> Job | None:
        """The newest request of the client with the largest load; None when nothing waits."""
        return self._jobs[max(self._jobs, key=self.load)][-1] if self._jobs else None
