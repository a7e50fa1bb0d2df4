"""Crops cut while they are trained on: those of data.crops, with their surroundings for a warp."""

import json

import cv2
import numpy as np
import pytest

from core.images import read_image, write_image
from core.pixels import pixel_box
from core.warping import Geometry, warp
from data.crops import main as cut
from data.recipe import RecipeConfig
from siglip import train
from siglip.annotated import MARGIN, read_annotated
from siglip.crops import read_crops
from siglip.model import load_parts
from siglip.train.images import Images

BOXES = {"a.png": [[10.4, 8.6, 20.2, 12.0], [0, 0, 9, 30]], "b.png": [[70, 40, 30, 20], [30.5, 20.5, 3, 2]]}


@pytest.fixture
def annotations(tmp_path):
    (tmp_path / "images").mkdir()
    lines = []
    for seed, (name, boxes) in enumerate(BOXES.items()):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 100, 3)).astype(np.uint8)
        write_image(tmp_path / "images" / name, cv2.GaussianBlur(noise, (0, 0), 1.5))
        entries = [{"caption": f"{word} drone", "bbox": box} for word, box in zip(("red", "blue"), boxes, strict=True)]
        lines.append(json.dumps({"image": name, "annotations": entries}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "a.jsonl")


@pytest.fixture
def warping(checkpoint):
    _, processor, _ = load_parts(str(checkpoint))
    processor.image_processor.sampling = "warp"
    return processor.image_processor


def test_they_are_the_crops_of_data_crops(annotations):
    cut([f"annotations={annotations}", "images=images", "run_dir=crops"])
    ours, theirs = read_annotated(annotations, "images"), read_crops("crops")
    assert (ours.names, ours.captions, ours.images) == (theirs.names, theirs.captions, theirs.images)
    assert (ours.targets, ours.policy, ours.digest()) == (theirs.targets, theirs.policy, theirs.digest())
    for i in range(len(ours)):
        np.testing.assert_array_equal(ours.open(i), theirs.open(i))
        np.testing.assert_array_equal(ours.framed(i).crop, theirs.open(i))
        np.testing.assert_array_equal(theirs.framed(i).pixels, theirs.open(i))


def test_a_warp_reaches_into_the_image(annotations, warping):
    """As if the whole image were warped, whatever was kept of it."""
    step = {"op": "warp", "p": 1, "rotation": [6, 6], "shift": [0.03, 0.03], "scale": [0.95, 0.95], "pad": [0.03, 0.03],
            "flip": 1.0}  # fmt: skip
    crops = read_annotated(annotations, "images")
    images = Images(crops, RecipeConfig("test", [step]), 0, warping, 1.0)
    geometry = Geometry(rotation=6, shift_x=0.03, shift_y=0.03, scale=0.95, pad=0.03, mirrored=True)
    boxes = [(name, box) for name, boxes in BOXES.items() for box in boxes]
    for i, (name, (left, top, width, height)) in enumerate(boxes):
        image = read_image(f"images/{name}")
        box = pixel_box([left, top, left + width, top + height], 100, 64)
        made = images[0, (i,)][0].astype(int)
        assert np.abs(made - warp(image, box, (16, 16), geometry)).max() <= 12 * (max(width, height) > 16) + 1
        alone = warp(crops.open(i), [0, 0, box[2] - box[0], box[3] - box[1]], (16, 16), geometry)
        assert not np.array_equal(made, alone)
        margin = np.ceil(MARGIN * max(box[2] - box[0], box[3] - box[1]))
        assert crops.framed(i).pixels.shape[0] <= box[3] - box[1] + 2 * margin
        np.testing.assert_array_equal(
            images.plain(i), warp(crops.open(i), [0, 0, *crops.open(i).shape[1::-1]], (16, 16))
        )


def test_a_training_on_annotations_is_one_on_their_crops(annotations, architecture_words):
    cut([f"annotations={annotations}", "images=images", "run_dir=crops"])
    words = [*architecture_words, "batch.size=2", "epochs=1", "recipe=none", "probe=false", "tracking.mode=disabled"]
    train.main([f"crops={annotations}", "images=images", *words, "run_dir=ours"])
    train.main(["crops=crops", *words, "run_dir=theirs"])
    losses = []
    for name in ("ours", "theirs"):
        with open(f"{name}/metrics.json") as stream:
            losses.append(json.load(stream)["loss"])
    assert losses[0] == losses[1]
    train.main([f"crops={annotations}", "images=images", *words, "recipe=small", "run_dir=warped"])


def test_images_go_with_annotations(annotations, architecture_words, capfd):
    for words in (["crops=images", "images=images"], [f"crops=[{annotations}]", "images=images"]):
        with pytest.raises(SystemExit) as stop:
            train.main([*words, *architecture_words])
        assert stop.value.code == 2
        assert "with images= it must be the annotation file" in capfd.readouterr().err
