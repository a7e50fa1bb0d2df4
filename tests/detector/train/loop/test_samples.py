"""Samples: boxes stay on what they frame, a sample is a function of (seed, epoch, number), and all are seen."""

from pathlib import Path

import numpy as np
import pytest

from core.images import write_image
from data.recipe import RecipeConfig
from detector.train.loop.samples import Labelled, TrainingSamples, epoch_order
from detector.train.loop.settings import LoopSettings

COLOURS = [(250, 20, 20), (20, 250, 20), (20, 20, 250)]


def drawn(folder: Path, num: int = 6) -> list[Labelled]:
    """Black 120x80 images with three bright rectangles of different colours."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(num):
        image = np.zeros((80, 120, 3), np.uint8)
        boxes = []
        for n, colour in enumerate(COLOURS):
            w, h = rng.integers(12, 24, 2)
            left, top = n * 40 + rng.integers(0, 40 - w), rng.integers(0, 80 - h)
            image[top : top + h, left : left + w] = colour
            boxes.append([(left + w / 2) / 120, (top + h / 2) / 80, w / 120, h / 80])
        write_image(folder / f"{i}.png", image)
        found.append(Labelled(folder / f"{i}.png", np.asarray(boxes, np.float32)))
    return found


@pytest.mark.parametrize("settings", [
    LoopSettings(mosaic=0, scale=0, translate=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0),
    LoopSettings(mosaic=0, scale=0.3, translate=0.2, fliplr=0.5, flipud=0.5, hsv_h=0, hsv_s=0, hsv_v=0),
    LoopSettings(mosaic=1, scale=0.3, translate=0.2, fliplr=0.5, flipud=0.5, hsv_h=0, hsv_s=0.2, hsv_v=0.2),
])  # fmt: skip
@pytest.mark.parametrize("crop", [None, (60, 40)])
def test_boxes_frame_what_is_bright(settings: LoopSettings, crop: tuple[int, int] | None, tmp_path: Path) -> None:
    """Every box's pixels are bright inside and dark just outside, and no bright pixel lies outside of all boxes."""
    flips = RecipeConfig(steps=[{"op": "flip", "p": 0.5}])
    samples = TrainingSamples(drawn(tmp_path), (96, 128), settings, flips, 3, crop, 0.7)
    seen = 0
    for index in range(len(samples)):
        sample = samples[index]
        bright = sample["image"].numpy().max(0) > 180
        covered = np.zeros_like(bright)
        assert sample["image"].shape == (3, 96, 128)
        for left, top, right, bottom in sample["boxes"].numpy():
            inner = bright[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2]
            if inner.size:
                assert inner.mean() > 0.9
                seen += 1
            covered[max(0, int(top) - 2) : int(bottom) + 3, max(0, int(left) - 2) : int(right) + 3] = True
        # What a crop, a mosaic or the frame left less than a tenth of has no box any more.
        assert (bright & ~covered).sum() <= 0.1 * max(1, bright.sum()) + 30
    assert seen >= 6


def test_without_any_change_a_sample_is_the_letterboxed_image(tmp_path: Path) -> None:
    from core.images import read_image
    from detector.inference.letterbox import letterbox

    images = drawn(tmp_path, 1)
    still = LoopSettings(mosaic=0, scale=0, translate=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0)
    sample = TrainingSamples(images, (96, 128), still, RecipeConfig(), 0, None, 0.0)[0]
    filled, place = letterbox(read_image(images[0].path), (96, 128))
    assert np.array_equal(sample["image"].numpy().transpose(1, 2, 0), filled)
    x, y, w, h = (images[0].centres * [120, 80, 120, 80]).T
    wanted = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1) * place.gain + [place.left, place.top] * 2
    np.testing.assert_allclose(sample["boxes"], wanted, atol=0.6)


def test_a_sample_depends_on_seed_epoch_and_number_alone(tmp_path: Path) -> None:
    images = drawn(tmp_path)
    recipe = RecipeConfig(steps=[{"op": "gauss_noise", "p": 1.0, "variance": [0, 500], "per_channel": True}])

    def sample(seed: int, epoch: int, number: int, first: int | None = None) -> np.ndarray:
        samples = TrainingSamples(images, (96, 128), LoopSettings(mixup=0.5), recipe, seed, None, 0.0)
        samples.epoch = epoch
        if first is not None:
            samples[first]
        return samples[number]["image"].numpy()

    same = sample(0, 1, 2)
    assert np.array_equal(same, sample(0, 1, 2, first=4))
    assert not np.array_equal(same, sample(1, 1, 2))
    assert not np.array_equal(same, sample(0, 2, 2))


def test_images_kept_in_memory_change_no_sample(tmp_path: Path) -> None:
    """Nor does a sample change what is kept: three epochs of colours, flips and recipes over the same images."""
    images = drawn(tmp_path)
    recipe = RecipeConfig(steps=[{"op": "gauss_noise", "p": 0.5, "variance": [0, 500], "per_channel": True}])
    read, kept = (
        TrainingSamples(images, (80, 120), LoopSettings(mosaic=0.3, mixup=0.3, cache=cache), recipe, 0, None, 0.0)
        for cache in (False, True)
    )
    for path in tmp_path.glob("*.png"):
        path.rename(path.with_suffix(".gone"))
    seen = [[kept[i]["image"] for i in range(len(images))] for kept.epoch in range(3)]
    for path in tmp_path.glob("*.gone"):
        path.rename(path.with_suffix(".png"))
    for read.epoch in range(3):
        for i in range(len(images)):
            assert np.array_equal(read[i]["image"], seen[read.epoch][i])


@pytest.mark.parametrize(("num", "batch", "world"), [(10, 4, 2), (7, 4, 1), (3, 8, 4)])
def test_processes_share_every_batch(num: int, batch: int, world: int) -> None:
    whole = epoch_order(num, batch, 0, 5, 0, 1)
    parts = [epoch_order(num, batch, 0, 5, rank, world) for rank in range(world)]
    assert {i for b in whole for i in b} == set(range(num))
    assert all(len(b) == batch for b in whole)
    for number, together in enumerate(whole):
        assert sorted(together) == sorted(i for part in parts for i in part[number])
    assert whole != epoch_order(num, batch, 0, 6, 0, 1)
