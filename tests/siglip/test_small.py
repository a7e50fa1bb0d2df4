"""The small scorer of our own: saved, opened, trained, exported, converted and merged like any other; text length."""

import json

import numpy as np
import pytest
import torch

from core.errors import InputError
from siglip import convert, export, train
from siglip.build import build_scorer
from siglip.model import load_parts, make_model, save_checkpoint, text_length, tokens
from siglip.settings import ScorerConfig, ScorerMemberConfig

SMALL = {
    "model_type": "grounder_small",
    "vision": {"image_size": 16, "stem_channels": [4, 6, 8], "stem_residuals": 1, "hidden_size": 16,
               "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2},
    "text": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
             "projection_size": 16},
    "start": {"scale": 20, "bias": -10},
}  # fmt: skip
CAPTIONS = ["red drone", "green drone", "a blue drone seen from above"]
WORDS = ["scorer=small", "scorer.architecture.vision.image_size=16", "scorer.architecture.vision.stem_channels=[4,8]",
         "batch.size=12", "epochs=1", "lr=3e-3", "recipe=none", "probe=false", "tracking.mode=disabled"]  # fmt: skip


@pytest.fixture
def small(tmp_path):
    torch.manual_seed(0)
    model, processor = make_model(SMALL, CAPTIONS)
    save_checkpoint(tmp_path / "small", model, processor, {"template": "{}", "policy": "none", "captions": CAPTIONS})
    return tmp_path / "small"


def crops(n=5):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(1, 60, (n, 2))]


def test_a_saved_folder_opens_as_the_same_model(small):
    torch.manual_seed(0)
    made, _ = make_model(SMALL, CAPTIONS)
    opened, _, _ = load_parts(str(small))
    assert type(opened) is type(made)
    assert json.loads((small / "config.json").read_text())["model_type"] == "grounder_small"
    weights = made.state_dict()
    assert all(tensor.equal(weights[name]) for name, tensor in opened.state_dict().items())
    spread = {name: w.std().item() for name, w in weights.items() if w.ndim == 4}
    assert all(0.05 < value < 1 for value in spread.values())  # He's, not the towers' own


def test_what_a_crop_becomes_depends_on_no_crop_beside_it(small):
    model, _, _ = load_parts(str(small))
    pixels = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for mode in (model.double().train(), model.eval()):
        together = mode.vision_model(pixel_values=pixels).pooler_output
        alone = torch.cat([mode.vision_model(pixel_values=p[None]).pooler_output for p in pixels])
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match="one input size"):
        model.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)


def test_the_whole_way_from_training_to_an_exported_scorer(make_crops, tmp_path):
    train.main([f"crops={make_crops()}", *WORDS, f"run_dir={tmp_path}/run"])
    convert.main([f"source={tmp_path}/run/last", f"out={tmp_path}/converted", f"run_dir={tmp_path}/conversion"])
    told = json.loads((tmp_path / "conversion/metrics.json").read_text())
    assert told["verified"] == "true"
    export.main([f"weights={tmp_path}/converted", f"run_dir={tmp_path}/exported"])
    folders = ["run", "run/last", "converted", "exported"]
    scorers = [build_scorer(ScorerConfig(weights=str(tmp_path / name))) for name in folders]
    texts = ["red drone", "a caption that is far longer than any caption of the training set"]
    scores = [s.scores(s.embed_images(crops()), s.embed_texts(texts)) for s in scorers]
    for made in scores[1:]:
        np.testing.assert_allclose(made, scores[0], rtol=1e-4, atol=1e-7)


def test_it_merges_with_a_stock_siglip(small, family_folder):
    members = [
        ScorerMemberConfig(weights=str(small), weight=3),
        ScorerMemberConfig(weights=str(family_folder("siglip"))),
    ]
    parts = [build_scorer(ScorerConfig(weights=m.weights)) for m in members]
    merged = build_scorer(ScorerConfig(members=members))

    def logits(s):
        return s.embed_images(crops()) @ s.embed_texts(CAPTIONS).T * s.calibration["scale"] + s.calibration["bias"]

    np.testing.assert_allclose(logits(merged), 0.75 * logits(parts[0]) + 0.25 * logits(parts[1]), atol=1e-4)


@pytest.mark.parametrize("model_type", ["siglip", "grounder_small"])
@pytest.mark.parametrize(("words", "positions"), [(1, 8), (7, 8), (8, 16), (90, 64)])
def test_a_text_tower_is_as_long_as_its_longest_caption(model_type, words, positions):
    architecture = {**SMALL, "model_type": model_type}
    if model_type == "siglip":
        architecture |= {"vision": {**SMALL["vision"], "patch_size": 8}}
    model, processor = make_model(architecture, ["red drone", " ".join(["far"] * words)])
    assert (text_length(model.config), processor.tokenizer.model_max_length) == (positions, positions)
    ids = tokens(processor, ["red drone", "far " * 100], "{}", text_length(model.config))["input_ids"]
    assert ids.shape == (2, positions)
    assert (ids[:, -1] == processor.tokenizer.eos_token_id).all()  # a caption that is too long keeps its end


def test_the_template_counts_and_a_given_length_stays():
    longer, _ = make_model(SMALL, CAPTIONS, template="this is one of many photographs of {} .")
    given, _ = make_model({**SMALL, "text": {**SMALL["text"], "max_position_embeddings": 64}}, CAPTIONS)
    assert (text_length(longer.config), text_length(given.config)) == (16, 64)


def test_another_model_type_is_refused():
    with pytest.raises(InputError, match=r"model_type: 'grouder' is none of siglip, grounder_small"):
        make_model({"model_type": "grouder"}, CAPTIONS)
