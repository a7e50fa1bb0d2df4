"""A made-up store: what a noisy but informed detector and scorer would have said of a small set."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from core.pixels import pixel_box
from core.stages import View
from core.store import CandidateStore
from core.tracking import Tracker
from core.values import Candidates

SIZE = (320, 200)
CALIBRATION = {"scale": 20.0, "bias": -8.0, "sigmoid": True}
CAPTIONS = ("red jet", "blue jet", "grey drone", "white helicopter", "green missile")


def made_up_store(folder, num_images=12, num_views=1, seed=0, covers=True, sigmoid=True):
    """A store whose detector and scorer are noisy but informed, and its truth file."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(len(CAPTIONS), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store, lines, digests, sizes = CandidateStore(folder / "candidates"), [], {}, {}
    for number in range(num_images):
        name, digest = f"im_{number}.jpg", f"{number:032x}"
        captions = draw.permutation(len(CAPTIONS))[: draw.integers(1, 5)]
        low, high = [0, 0, 16, 16], [260, 150, 56, 48]
        boxes = draw.integers(low, high, (len(captions), 4))
        lines.append({"image": name, "annotations": [{"caption": CAPTIONS[c], "bbox": b} for c, b in
                                                     zip(captions, boxes.tolist(), strict=True)]})  # fmt: skip
        views = [made_up_view(draw, boxes, f"yolo/v{v}") for v in range(num_views)]
        store.write_views("detectorkey", digest, views)
        if covers:
            raw = np.concatenate([v.candidates.boxes_xyxy for v in views])
            embed(store, draw, digest, raw, boxes, vectors[captions])
        digests[name], sizes[name] = digest, SIZE
    store.describe("proposals", "detectorkey", {"detector": "made up"})
    store.describe(
        "embeddings", "none-scorerkey", {"scorer_key": "scorerkey", "calibration": {**CALIBRATION, "sigmoid": sigmoid}}
    )
    store.add_texts("scorerkey", list(CAPTIONS), vectors)
    store.write_set(digests, sizes)
    truth = folder / "truth.jsonl"
    truth.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return store, truth


def made_up_view(draw, boxes_ltwh, name, copies=6, strays=5):
    near = np.repeat(boxes_ltwh, copies, axis=0) + draw.normal(0, 5, (copies * len(boxes_ltwh), 4))
    stray = np.stack([draw.uniform(0, 280, strays), draw.uniform(0, 170, strays),
                      draw.uniform(8, 50, strays), draw.uniform(8, 50, strays)], axis=1)  # fmt: skip
    ltwh = np.concatenate([near, stray])
    ltwh[:, 2:] = np.maximum(ltwh[:, 2:], 2)
    confidence = np.concatenate([draw.beta(4, 2, len(near)), draw.beta(1, 5, strays)])
    xyxy = np.concatenate([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]], axis=1)
    return View(name, Candidates(xyxy.astype(np.float32), np.maximum(np.round(confidence, 2), 0.01).astype(np.float32)))


def embed(store, draw, digest, raw_xyxy, true_ltwh, vectors):
    pixels = np.unique([pixel_box(b, *SIZE) for b in raw_xyxy], axis=0).astype(np.int32)
    centre = (pixels[:, :2] + pixels[:, 2:]) / 2
    nearest = np.linalg.norm(centre[:, None] - (true_ltwh[:, :2] + true_ltwh[:, 2:] / 2), axis=2).argmin(axis=1)
    embeddings = (vectors[nearest] + draw.normal(0, 0.25, (len(pixels), 16))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    store.add_embeddings("none-scorerkey", digest, pixels, embeddings)


@pytest.fixture
def told_tables(monkeypatch):
    """The names of the tables that commands tell Weights & Biases, as they tell them."""
    told, tell = [], Tracker.log_table

    def log_table(self, name, columns, rows):
        told.append(name)
        tell(self, name, columns, rows)

    monkeypatch.setattr(Tracker, "log_table", log_table)
    return told


@pytest.fixture(scope="session")
def made_up():
    """`store(folder, ...)` writes a store and a truth; `view(draw, boxes, name, ...)` is one view of an image."""
    return SimpleNamespace(store=made_up_store, view=made_up_view, size=SIZE, calibration=CALIBRATION)
