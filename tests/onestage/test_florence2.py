"""Florence-2 gives the boxes that the library reads out of what it writes, in the pixels of the image."""

import numpy as np
import pytest
import torch

from onestage.build import build_onestage
from onestage.florence2 import TASKS
from onestage.settings import OneStageConfig


@pytest.mark.parametrize("task", TASKS)
def test_what_it_writes_is_read_by_the_library(folders, image, task, monkeypatch, close_in):
    model = build_onestage(OneStageConfig(weights=str(folders("florence2")), prompt=task, max_tokens=12))
    ((_, _, free),) = model.ground([image], [["red drone"]])  # what random weights write is no box, or one by chance
    assert free.unparsed == (len(free.candidates) == 0)
    assert free.tokens <= 14
    tokenizer = model.processor.tokenizer
    text = "red drone<loc_100><loc_200><loc_400><loc_500><loc_10><loc_20><loc_30><loc_40>"
    written = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(model.model, "generate", lambda **_: written)
    ((_, _, found),) = model.ground([image], [["red drone"]])
    told = model.processor.post_process_generation(
        tokenizer.batch_decode(written)[0], task=task, image_size=(image.shape[1], image.shape[0])
    )[task]["bboxes"]  # fmt: skip
    assert len(told) == 2
    close_in(image, found.candidates.boxes_xyxy, told)
    np.testing.assert_allclose(found.candidates.boxes_xyxy[0], [10, 12, 40, 30], atol=1e-4)  # of 1000 bins
    assert (found.scored, found.unparsed) == (False, False)


def test_its_words_are_its_own_decoding(folders, image):
    """Greedy in beams of three, as published: the same tokens as the library's generate."""
    from PIL import Image

    model = build_onestage(OneStageConfig(weights=str(folders("florence2")), max_tokens=6))
    inputs = model.processor(images=Image.fromarray(image), text=TASKS[0] + "red drone", return_tensors="pt")
    with torch.inference_mode():
        written = model.model.generate(**inputs, max_new_tokens=6, num_beams=3, do_sample=False)
    ((_, _, found),) = model.ground([image], [["red drone"]])
    assert found.tokens == written.shape[1]
