import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from core.answering import Seen, answer, embeddings_of
from core.choosing import ChoosingConfig
from core.errors import InputError
from core.stages import View
from core.store import CandidateStore, image_digest
from core.values import Candidates


def some_views(seed=0):
    rng = np.random.default_rng(seed)
    return [
        View("whole", Candidates(rng.random((7, 4)).astype(np.float32), rng.random(7).astype(np.float32))),
        View("nothing", Candidates.empty()),
    ]


def test_views_come_back_exactly(tmp_path):
    store = CandidateStore(tmp_path)
    assert not store.has_views("key", "digest")
    store.write_views("key", "digest", some_views())
    for made, read in zip(some_views(), store.read_views("key", "digest"), strict=True):
        assert made.name == read.name
        assert np.array_equal(made.candidates.boxes_xyxy, read.candidates.boxes_xyxy)
        assert np.array_equal(made.candidates.confidence, read.candidates.confidence)


def test_embeddings_grow_and_keep_their_first_value(tmp_path):
    store = CandidateStore(tmp_path)
    first = np.array([[0, 0, 2, 2], [1, 1, 5, 5]], np.int32)
    store.add_embeddings("k", "d", first, np.array([[1.0], [2.0]], np.float32))
    store.add_embeddings(
        "k", "d", np.array([[1, 1, 5, 5], [9, 9, 10, 10]], np.int32), np.array([[7.0], [3.0]], np.float32)
    )
    boxes, embeddings = store.read_embeddings("k", "d")
    assert boxes.tolist() == [[0, 0, 2, 2], [1, 1, 5, 5], [9, 9, 10, 10]]
    assert embeddings.ravel().tolist() == [1.0, 2.0, 3.0]
    wanted = np.array([[9, 9, 10, 10], [0, 0, 2, 2]], np.int32)
    assert embeddings_of(wanted, boxes, embeddings).ravel().tolist() == [3.0, 1.0]
    assert embeddings_of(np.array([[0, 0, 3, 3]], np.int32), boxes, embeddings) is None


def test_texts_grow(tmp_path):
    store = CandidateStore(tmp_path)
    store.add_texts("s", ["grey missile"], np.array([[1.0, 0.0]], np.float32))
    store.add_texts("s", ["red drone"], np.array([[0.0, 1.0]], np.float32))
    assert {c: e.tolist() for c, e in store.read_texts("s").items()} == {"grey missile": [1, 0], "red drone": [0, 1]}


def test_names_join_by_the_set_that_covers_them(tmp_path):
    store = CandidateStore(tmp_path)
    store.write_set({"a.jpg": "1", "b.jpg": "2"}, {"a.jpg": (5, 5), "b.jpg": (5, 5)})
    assert store.find_digests(["b.jpg"]) == {"b.jpg": "2"}
    with pytest.raises(InputError, match=r"holds no candidates for 1 of the truth's images \(c\.jpg"):
        store.find_digests(["a.jpg", "c.jpg"])
    store.write_set({"a.jpg": "noisy"}, {"a.jpg": (5, 5)})
    with pytest.raises(InputError, match="hold different images"):
        store.find_digests(["a.jpg"])


def test_a_damaged_entry_is_told(tmp_path):
    store = CandidateStore(tmp_path)
    store.write_views("key", "digest", some_views())
    path = tmp_path / "proposals/key/digest.npz"
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"digest\.npz: damaged"):
            store.read_views("key", "digest")
    for place in range(40, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            read = store.read_views("key", "digest")
        except InputError as error:
            assert "digest.npz" in str(error)
        else:  # a byte of the archive that carries nothing
            assert np.array_equal(read[0].candidates.boxes_xyxy, some_views()[0].candidates.boxes_xyxy)


def test_the_digest_is_of_the_pixels_and_their_shape():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert image_digest(image) == image_digest(image.copy())
    assert image_digest(image) != image_digest(image.reshape(4, 2, 3))


def _write_forever(folder, seed):
    store, rng = CandidateStore(folder), np.random.default_rng(seed)
    while True:
        boxes = rng.integers(0, 50, (20, 4)).astype(np.int32)
        store.add_embeddings("k", f"d{rng.integers(3)}", boxes, boxes.astype(np.float32))
        store.add_texts("s", [f"caption {rng.integers(99)}"], np.ones((1, 4), np.float32))
        store.write_views("v", f"d{rng.integers(3)}", some_views(seed))


@pytest.mark.faults
def test_killed_writers_leave_no_torn_entry(tmp_path, count):
    """Eight writers on one store, killed at random moments: what is there reads, and is what was written."""
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(0)
    for _ in range(count(short=2, full=20)):
        writers = [context.Process(target=_write_forever, args=(tmp_path, seed), daemon=True) for seed in range(8)]
        for writer in writers:
            writer.start()
        time.sleep(float(rng.uniform(0.2, 0.6)))
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            writer.join()
        store = CandidateStore(tmp_path)
        for digest in ("d0", "d1", "d2"):
            boxes, embeddings = store.read_embeddings("k", digest)
            assert np.array_equal(boxes.astype(np.float32), embeddings)
            assert len(set(map(tuple, boxes.tolist()))) == len(boxes)
            if store.has_views("v", digest):
                assert len(store.read_views("v", digest)) == 2
        assert all(len(e) == 4 for e in store.read_texts("s").values())


def test_a_replayed_answer_needs_no_model():
    candidates = Candidates(np.array([[0, 0, 2, 2], [5, 5, 9, 9]], np.float32), np.array([0.9, 0.8], np.float32))
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    texts = {"red drone": np.array([0.0, 1.0], np.float32)}
    calibration = {"scale": 10.0, "bias": 0.0, "sigmoid": True}
    seen = Seen(candidates, embeddings)
    answered = answer(candidates, seen.scores(["red drone"], texts, calibration), 1, ChoosingConfig())
    scores, chosen = answered.scores_NM, answered.chosen_M
    assert chosen.tolist() == [1]
    assert scores.shape == (2, 1)
    with pytest.raises(InputError, match="hold no embedding of 'grey missile'"):
        seen.scores(["grey missile"], texts, calibration)


def test_texts_are_kept_at_their_own_length_and_those_of_before_are_read(tmp_path):
    store, captions = (
        CandidateStore(tmp_path),
        ["a" * 1_000_000, "red jet ", "\u202e\u00e9\U0001f681", *(f"c{n}" for n in range(40))],
    )
    embeddings = np.arange(len(captions) * 2, dtype=np.float32).reshape(-1, 2)
    store.add_texts("key", captions, embeddings)
    store.add_texts("key", ["more"], np.ones((1, 2), np.float32))
    assert list(store.read_texts("key")) == [*captions, "more"]
    assert (tmp_path / "texts/key.npz").stat().st_size < 1_010_000
    np.savez(tmp_path / "texts/old.npz", captions=np.asarray(["a", "long"], np.str_), embeddings=embeddings[:2])
    assert list(store.read_texts("old")) == ["a", "long"]
