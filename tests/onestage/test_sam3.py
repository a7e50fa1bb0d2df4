"""SAM 3 gives what the library's own post-processing gives, its image encoded once for all captions."""

import numpy as np
import pytest
import torch

from onestage.build import build_onestage
from onestage.settings import OneStageConfig

CAPTIONS = ["red drone", "grey helicopter", "white and blue jet"]


@pytest.mark.parametrize("name", ["sam3", "sam3_small"])  # SAM 3, and SAM 3 LiteText in a folder of another name
def test_equals_the_library_caption_by_caption(folders, image, monkeypatch, close_in, name):
    from transformers import AutoModel, AutoProcessor, Sam3Model

    folder = folders(name)
    model, encoded = build_onestage(OneStageConfig(weights=str(folder), floor=0.0)), []
    encode = model.model.get_vision_features
    monkeypatch.setattr(model.model, "get_vision_features", lambda **kw: encoded.append(1) or encode(**kw))
    found = {caption: g for _, caption, g in model.ground([image], [CAPTIONS])}
    assert len(encoded) == 1
    kind = Sam3Model if name == "sam3" else AutoModel
    library, processor = kind.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    for place, caption in enumerate(CAPTIONS):
        with torch.inference_mode():
            out = library(**{k: v for k, v in processor(images=image, text=caption, return_tensors="pt").items()
                             if k != "original_sizes"})  # fmt: skip
        told = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[image.shape[:2]])[0]
        order = np.argsort(-told["scores"].numpy(), kind="stable")
        assert len(order) == 10
        np.testing.assert_allclose(found[place].candidates.confidence, told["scores"].numpy()[order], atol=1e-5)
        boxes = told["boxes"].numpy()[order]
        close_in(image, found[place].candidates.boxes_xyxy, boxes)


def test_a_caption_beyond_32_tokens_is_cut_and_counted(folders, image):
    model = build_onestage(OneStageConfig(weights=str(folders("sam3"))))
    long = " ".join(["red"] * 40)
    assert [g.truncated for _, _, g in model.ground([image], [["red drone", long]])] == [False, True]
