"""Whose turn it is: laws of the queue with a worker that answers when told, and honest requests beside floods."""

import asyncio

import pytest

from pipeline.server.limits import Instance
from pipeline.server.queueing import Queue, QueueConfig
from pipeline.server.refusals import RefusedError
from pipeline.server.turns import Job, Turns

LARGE, SMALL = 25_000_000, 1_300_000
BATCH = {"instances": 32, "pixels": LARGE}


def job(client, images, pixels, each=1):
    """A request of so many images of so many pixels, each asked of `each` times."""
    places = [n for n in range(images) for _ in range(each)]
    instances = [Instance("a", b"", f"{client}{n}", place, pixels) for place, n in enumerate(places)]
    return Job(instances, client, None)


def served(turns, most=1000):
    """The clients and pixels of each batch until nothing waits; the models take a second for 10 Mpx."""
    batches = []
    while len(batches) < most and (batch := turns.next_batch(**BATCH)):
        turns.charge(batch, sum(p.pixels for p in batch) / 10e6)
        batches.append([(p.job.client, p.pixels) for p in batch])
        for part in batch:
            if not part.job.parts:
                turns.remove(part.job)
    return batches


@pytest.mark.parametrize("honest", ["other", "flood"])
@pytest.mark.parametrize("begun", [0, 1, 7])
def test_a_small_request_is_next_beside_three_floods_and_alone_in_its_batch(honest, begun):
    """Of another client or of the same: one image of the flood at most is in the midst of its work."""
    turns = Turns()
    for _ in range(3):
        turns.add(job("flood", 64, LARGE))
    for _ in range(begun):
        batch = turns.next_batch(**BATCH)
        assert len(batch) == 1
        turns.charge(batch, 1.0)
    turns.add(job(honest, 1, SMALL))
    coming = [turns.next_batch(**BATCH)[0].pixels for _ in range(3)]
    assert coming[0] == SMALL


def test_floods_of_small_images_at_most_double_a_batch_that_holds_an_honest_request():
    turns = Turns()
    for _ in range(3):
        turns.add(job("flood", 64, SMALL))
    turns.next_batch(**BATCH)
    turns.add(job("honest", 1, SMALL))
    assert sorted(c for c, _ in served(turns)[0]) == ["flood", "honest"]


def test_equal_requests_of_many_clients_or_of_one_fill_a_batch():
    for names in (range(19), [0] * 19):
        turns = Turns()
        for name in names:
            turns.add(job(f"client {name}", 1, SMALL))
        assert [len(batch) for batch in served(turns)] == [19]


def test_clients_get_equal_time_of_the_models_and_nobody_saves_turns_up():
    turns = Turns()
    turns.add(job("large", 40, LARGE))
    turns.add(job("small", 1000, SMALL))
    had = {"large": 0, "small": 0}
    for batch in served(turns, 40):
        for client, pixels in batch:
            had[client] += pixels
    assert 0.6 < had["large"] / had["small"] < 1.7
    turns = Turns()
    turns.add(job("busy", 100, LARGE))
    for _ in range(50):
        turns.charge(turns.next_batch(**BATCH), 1.0)
    turns.add(job("idle", 50, LARGE))
    clients = [batch[0][0] for batch in served(turns, 10)]
    assert 4 <= clients.count("idle") <= 6


def test_small_requests_that_gathered_behind_a_large_image_are_not_answered_at_the_end_of_one_long_batch():
    """A client that asks for 40 % of the models' time: whoever comes waits for a flood's image and little more."""
    now_s, came, waited = 0.0, 0, []
    turns, arrivals = Turns(), {}
    turns.add(job("flood", 64, LARGE))
    while now_s < 100:
        batch = turns.next_batch(**BATCH)
        spent_s = sum(p.pixels for p in batch) / 10e6
        now_s += spent_s
        turns.charge(batch, spent_s)
        for part in batch:
            if not part.job.parts:
                turns.remove(part.job)
            if part.job in arrivals:
                waited.append(now_s - arrivals.pop(part.job))
        while came * SMALL / 10e6 / 0.4 <= now_s:
            turns.add(new := job("honest", 1, SMALL))
            arrivals[new], came = came * SMALL / 10e6 / 0.4, came + 1
    assert len(waited) > 250
    assert max(waited) <= (LARGE + 3 * SMALL) / 10e6


def test_who_gives_up_while_the_models_work_has_had_that_time_all_the_same():
    turns, seen = Turns(), []
    turns.add(job("waits", 20, SMALL))
    for _ in range(20):
        turns.add(rude := job("rude", 1, LARGE))
        batch = turns.next_batch(**BATCH)
        seen += [part.job.client for part in batch]
        turns.remove(rude)
        turns.charge(batch, sum(p.pixels for p in batch) / 10e6)
    assert seen.count("waits") == 20


def test_a_client_that_comes_and_goes_does_not_starve_one_that_waits():
    turns, seen = Turns(), []
    turns.add(job("waits", 20, SMALL))
    for _ in range(20):
        turns.add(job("returns", 1, LARGE))
        seen += served(turns, 1)[0]
    assert sum(client == "waits" for client, _ in seen) >= 10


def test_what_is_asked_of_one_image_stays_together_and_answers_return_to_their_places():
    config = QueueConfig(batch=4, batch_pixels=LARGE)
    shown = []

    def work(requests):
        shown.append([[i.place for i in r] for r in requests])
        return [[[i.place] * 4 for i in r] for r in requests]

    async def ask():
        queue = Queue(work, config)
        queue.start()
        mixed = [Instance("a", b"", digest, place, SMALL) for place, digest in enumerate("xyxzyx")]
        boxes = await queue.put(mixed, "client")
        await queue.stop()
        return boxes

    assert asyncio.run(ask()) == [[n] * 4 for n in range(6)]
    assert shown == [[[0, 2, 5]], [[1, 4], [3]]]


def test_a_full_queue_pushes_out_the_newest_of_who_has_most_waiting():
    """Not the newcomer, unless it is that client's own; the floods' remaining requests are answered."""

    async def ask():
        queue = Queue(lambda requests: [[None] * len(r) for r in requests], QueueConfig(waiting=6))
        floods = [queue.put(job("flood", 2, LARGE).instances, "flood") for _ in range(3)]
        with pytest.raises(RefusedError, match="the queue is full") as full:
            queue.put(job("flood", 1, SMALL).instances, "flood")
        assert (full.value.status, full.value.retry_after_s) == (503, 1)
        with pytest.raises(RefusedError):
            queue.refuse_when_full("flood")
        queue.refuse_when_full("honest")
        honest = queue.put(job("honest", 1, SMALL).instances, "honest")
        assert isinstance(floods[2].exception(), RefusedError)
        assert queue.waiting == 5
        queue.start()
        assert await honest == [None]
        assert [await flood for flood in floods[:2]] == [[None, None]] * 2
        await asyncio.sleep(0)
        assert queue.waiting == queue._cost == 0
        await queue.stop()

    asyncio.run(ask())


def test_large_requests_leave_a_quarter_of_the_pixels_to_small_ones():
    async def ask():
        queue = Queue(lambda requests: [], QueueConfig())
        large = 0
        with pytest.raises(RefusedError):
            for _ in range(10):
                queue.put(job("one", 64, LARGE).instances, "one")
                large += 1
        assert large == 2
        for _ in range(20):
            queue.put(job("one", 1, SMALL).instances, "one")

    asyncio.run(ask())
