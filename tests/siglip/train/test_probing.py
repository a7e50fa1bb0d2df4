"""The look at a real batch before the first step of a training: the published lists pass, the broken ones do not."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from core.runs import RunFolder
from data.augment import build_recipe
from data.augment.probe import FEWEST, RecipeNotLiveError
from grounder.compose import compose_config, register
from siglip.train.loop import Training
from siglip.train.settings import TrainConfig

PUBLISHED = ["none", "v1fixed_2500", "v1fixed_500", "v1fixed_400", "stronger_1000", "augv2"]  # the log's lists


@pytest.fixture
def begin(make_crops, checkpoint, tmp_path):
    """`begin(recipe, *words)`: a training of one step over as many crops as the probe wants."""
    crops = make_crops(images=-(-FEWEST // 4))

    def make(recipe, *words):
        run_dir = tmp_path / f"run_{recipe}"
        given = [f"crops={crops}", f"scorer={checkpoint}", f"recipe={recipe}", "batch.size=48", "epochs=1",
                 "tracking.mode=disabled", f"run_dir={run_dir}", *words]  # fmt: skip
        config = OmegaConf.to_object(compose_config(register("siglip.train", TrainConfig), given))
        folder = RunFolder(run_dir, "siglip.train")
        folder.open("")
        return Training(config, folder)

    return make


class Spoilt:
    """A recipe whose images are then spoilt, as the loader of a training meets it."""

    def __init__(self, recipe, spoil):
        self._recipe, self._spoil = build_recipe(recipe), spoil

    def set_random_seed(self, seed):
        self._recipe.set_random_seed(seed)
        self._rng = np.random.default_rng(seed)

    def __call__(self, image):
        return {"image": self._spoil(self._recipe(image=image)["image"], self._rng)}


def off_scale(image, rng):
    """The first broken list: noise of variance 0..2500, meant for 0..255, on an image of 0..1."""
    noise = rng.normal(0, rng.uniform(0, 2500) ** 0.5, image.shape)
    return np.clip(image / 255 + noise, 0, 1).astype(np.float32)


def whole_numbers(image, rng):
    return (off_scale(image, rng) * 255).astype(np.uint8)


def exchanged(image, rng):
    """The second broken list: images in OpenCV's order of channels."""
    return np.ascontiguousarray(image[..., ::-1])


BROKEN = {
    "float images": ("v1fixed_2500", off_scale, "float32"),
    "noise off scale": ("v1fixed_2500", whole_numbers, "noise|saturated|brightness"),
    "channels exchanged": ("v1fixed_500", exchanged, "red and blue are exchanged"),
    "planes first": ("none", lambda image, rng: image.transpose(2, 0, 1), "shape"),
    "darkened": ("none", lambda image, rng: image // 2, "brightness|noise"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_list_passes_and_is_told(name, begin):
    training = begin(name)
    training.run()
    (sheet,) = training.folder.path.glob("sample_*.jpg")
    assert sheet.name == "sample_0.jpg"
    assert Path(training.folder.path / "last/model.safetensors").is_file()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_stop_before_the_first_step(name, begin):
    recipe, spoil, told = BROKEN[name]
    training = begin(recipe)
    training.images._augment = Spoilt(training.images.rest, spoil)
    with pytest.raises(RecipeNotLiveError, match=told):
        training.run()
    assert training.step == 0
    assert not training.optimizer.optimizer.state
    assert not list((training.folder.path / "state").glob("step_*"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("do_rescale", False, r"leaves -1\.\.1"),
        ("rescale_factor", 1.0, "reaches 509"),
        ("image_std", [0.01] * 3, "reaches 50"),
    ],
)
def test_floats_out_of_range_are_refused(name, value, told, begin):
    training = begin("none")
    setattr(training.processor.image_processor, name, value)
    with pytest.raises(RecipeNotLiveError, match=f"channel 0 of the floats {told}"):
        training.run()
