"""Trainings on warped crops: one resample, the same un-augmented crop in training, use and export, what is refused."""

import json

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.warping import Geometry, warp
from data.recipe import RecipeConfig
from siglip import export, train
from siglip.build import build_scorer
from siglip.crops import read_crops
from siglip.model import load_parts
from siglip.pixels import crop_pixels, preprocessing_of
from siglip.settings import ScorerConfig
from siglip.train.images import Images

STILL = {"op": "warp", "p": 1, "rotation": [0, 0], "shift": [0, 0], "scale": [1, 1], "pad": [0, 0], "flip": 0.0}
WORDS = ["batch.size=12", "lr=1e-3", "epochs=1", "recipe=small", "tracking.mode=disabled"]


@pytest.fixture
def warping(checkpoint):
    _, processor, _ = load_parts(str(checkpoint))
    processor.image_processor.sampling = "warp"
    return processor.image_processor


def made_of(crops, processor, *steps):
    return Images(read_crops(str(crops)), RecipeConfig("test", [dict(s) for s in steps]), 0, processor, 1.0)


def test_a_warp_that_moves_nothing_gives_what_the_scorer_sees_in_use(make_crops, warping):
    images = made_of(make_crops(), warping, STILL)
    plain = [images.plain(i) for i in range(8)]
    for made, crop, i in zip(images[3, tuple(range(8))], plain, range(8), strict=True):
        np.testing.assert_array_equal(made, crop)
        assert made.shape == (16, 16, 3)
        np.testing.assert_allclose(
            crop_pixels([images.crops.open(i)], warping)[0].permute(1, 2, 0), crop / 127.5 - 1, atol=1e-5
        )


def test_every_epoch_warps_the_crop_itself_anew(make_crops, warping):
    """The content is moved before its one resample, by what the step says, and comes again with (seed, epoch, crop)."""
    moved = {**STILL, "shift": [0.25, 0.25], "flip": 1.0}
    images = made_of(make_crops(), warping, moved)
    crop = images.crops.open(2)
    box = [0, 0, crop.shape[1], crop.shape[0]]
    wanted = warp(crop, box, (16, 16), Geometry(shift_x=0.25, shift_y=0.25, mirrored=True))
    np.testing.assert_array_equal(images[0, (2,)][0], wanted)
    free = made_of(make_crops("again"), warping, {"op": "warp", "p": 1}, {"op": "gauss_noise", "p": 0.5})
    first, again, later = (free[epoch, (0, 1)] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)


def test_a_checkpoint_remembers_that_its_crops_are_warped(make_crops, architecture_words, tmp_path):
    train.main([f"crops={make_crops()}", *architecture_words, *WORDS, f"run_dir={tmp_path}/run"])
    export.main([f"weights={tmp_path}/run", f"run_dir={tmp_path}/exported"])
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(5, 60, (4, 2))]
    embedded = []
    for folder in ("run/last", "exported"):
        scorer = build_scorer(ScorerConfig(weights=str(tmp_path / folder)))
        embedded.append(scorer.embed_images(crops))
        assert scorer.settings["preprocessing"]["sampling"] == "warp"
    np.testing.assert_allclose(embedded[0], embedded[1], atol=1e-5)
    model, processor, _ = load_parts(str(tmp_path / "run/last"))
    seen = np.stack([warp(c, [0, 0, c.shape[1], c.shape[0]], (16, 16)) for c in crops]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        wanted = model.get_image_features(pixel_values=torch.from_numpy(seen / 127.5 - 1).float()).pooler_output
    np.testing.assert_allclose(embedded[0], wanted / wanted.norm(dim=1, keepdim=True), atol=1e-5)
    assert preprocessing_of(processor.image_processor)["sampling"] == "warp"

    path = tmp_path / "run/last/processor_config.json"
    (tmp_path / "run/last/manifest.json").unlink()
    values = json.loads(path.read_text())
    del values["image_processor"]["sampling"]
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="its image processor has sampling None"):
        build_scorer(ScorerConfig(weights=str(tmp_path / "run/last")))


def test_a_warp_stands_first(make_crops, warping):
    with pytest.raises(InputError, match="op 'warp' must be the first step"):
        made_of(make_crops(), warping, {"op": "to_gray", "p": 1}, STILL)
