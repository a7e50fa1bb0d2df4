"""transformers' zero-shot detectors give what the library's own post-processing gives.

Compared to 1e-5: scores, and corners as shares of the image's longer side. In pixels a corner at 1,500 has only 1e-4 in
float32, in which the library itself computes.
"""

import numpy as np
import pytest
import torch

from onestage.build import build_onestage
from onestage.settings import OneStageConfig

CAPTIONS = ["red drone", "grey helicopter", "white and blue jet"]


def by_library(folder, image, captions, threshold):
    """The library's boxes and scores for captions asked together."""
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    model, processor = (
        AutoModelForZeroShotObjectDetection.from_pretrained(folder),
        AutoProcessor.from_pretrained(folder),
    )
    inputs = processor(images=image, text=[captions], return_tensors="pt")
    with torch.inference_mode():
        out = model.eval()(**inputs)
    return processor.post_process_grounded_object_detection(
        out, threshold=threshold, target_sizes=[image.shape[:2]], text_labels=[captions]
    )[0]  # fmt: skip


@pytest.mark.parametrize("name", ["grounding_dino", "mm_grounding_dino", "owlv2", "owlvit", "omdet"])
def test_equals_the_library_caption_by_caption(folders, image, name, close_in):
    model = build_onestage(OneStageConfig(weights=str(folders(name)), floor=0.0))
    found = {caption: g for _, caption, g in model.ground([image], [CAPTIONS])}
    assert sorted(found) == [0, 1, 2]
    for place, caption in enumerate(CAPTIONS):
        told = by_library(folders(name), image, [caption], 0.0)
        order = np.argsort(-told["scores"].numpy(), kind="stable")
        assert len(order) > 3
        mine = found[place].candidates
        np.testing.assert_allclose(mine.confidence, told["scores"].numpy()[order], atol=1e-5)
        close_in(image, mine.boxes_xyxy, told["boxes"].numpy()[order])
        assert found[place].scored
        assert not found[place].truncated


def test_the_floor_cuts_as_the_librarys_threshold(folders, image):
    told = by_library(folders("owlv2"), image, CAPTIONS[:1], 0.0)["scores"].numpy()
    floor = float(np.median(told))
    model = build_onestage(OneStageConfig(weights=str(folders("owlv2")), floor=floor))
    ((_, _, found),) = model.ground([image], [CAPTIONS[:1]])
    assert len(found.candidates) == (told > floor).sum() > 0


def test_a_caption_that_never_wins_keeps_its_boxes(folders, image):
    """The library leaves each box to its best caption; ours gives every caption all of them."""
    model = build_onestage(OneStageConfig(weights=str(folders("owlv2")), floor=0.0))
    together = by_library(folders("owlv2"), image, CAPTIONS, 0.0)
    assert len(together["boxes"]) == 16
    assert [len(g.candidates) for _, _, g in model.ground([image], [CAPTIONS])] == [16, 16, 16]


@pytest.mark.parametrize("name", ["owlv2", "grounding_dino", "omdet"])
def test_a_caption_too_long_is_cut_and_counted(folders, image, name):
    model = build_onestage(OneStageConfig(weights=str(folders(name))))
    long = " ".join(["red"] * 300)
    assert [g.truncated for _, _, g in model.ground([image], [["red drone", long]])] == [False, True]


def test_what_grounding_dino_reads(folders, image):
    from onestage.zero_shot import dino_text

    assert [dino_text(t) for t in ("Red Drone", "red drone.", "a No. 5 jet")] == [
        "red drone.", "red drone.", "a no 5 jet."]  # fmt: skip
    model = build_onestage(OneStageConfig(weights=str(folders("grounding_dino"))))
    first, second = (g for _, _, g in model.ground([image], [["Red drone", "red drone."]]))
    np.testing.assert_array_equal(first.candidates.confidence, second.candidates.confidence)


def test_keys_differ_by_what_changes_boxes(folders):
    def key(**more):
        return build_onestage(OneStageConfig(weights=str(folders("owlv2")), **more)).key

    assert key() == key() != key(floor=0.1)


def test_wrong_weights_are_one_line(tmp_path, refused):
    from core.errors import InputError

    for weights, told in [(None, "onestage.weights: must be given"), (str(tmp_path), "cannot be loaded")]:
        with pytest.raises(InputError, match=told):
            build_onestage(OneStageConfig(weights=weights))


@pytest.mark.parametrize("name", ["grounding_dino", "owlv2", "omdet", "sam3", "florence2"])
def test_weights_that_hold_no_numbers_are_named(folders, image, name, tmp_path):
    """Broken weights give NaN, which no threshold lets through: a run of misses would look like a weak model."""
    import shutil

    from safetensors.torch import load_file, save_file

    from core.errors import InputError

    shutil.copytree(folders(name), tmp_path / "broken")
    file = tmp_path / "broken/model.safetensors"
    weights = {k: torch.full_like(v, torch.nan) if v.is_floating_point() else v for k, v in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(InputError, match="onestage: .*broken: gives NaN or infinity"):
        list(build_onestage(OneStageConfig(weights=str(tmp_path / "broken"))).ground([image], [["red drone"]]))
