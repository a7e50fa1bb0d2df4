"""The pipeline's own way with crops: however many and however large, a bounded part of them is held."""

import weakref

import numpy as np

from core.images import read_image
from core.pixels import crop_box


def test_crops_are_held_a_chunk_at_a_time_and_embed_the_same(pipeline, system, monkeypatch):
    image = read_image(system / "scenes/images/image_0.jpg")
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 90, (40, 2))], axis=1)
    whole = pipeline.embed_crops(crop_box(image, box) for box in boxes)
    held, most = [], 0

    def cut():
        nonlocal most
        for box in boxes:
            crop = crop_box(image, box)
            held.append(weakref.ref(crop))
            most = max(most, sum(alive().size for alive in held if alive() is not None))
            yield crop

    monkeypatch.setattr("pipeline.system.CHUNK_PIXELS", 10_000)
    parts = pipeline.embed_crops(cut())
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert most <= 3 * (10_000 + 2 * 90 * 90)


def test_no_crops_no_embeddings(pipeline):
    assert len(pipeline.embed_crops(iter(()))) == 0
