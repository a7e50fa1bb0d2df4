"""The scorer against Hugging Face's own pipeline, and what it refuses."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from siglip.build import build_scorer
from siglip.objective import Form, write_objective
from siglip.pixels import crop_pixels, normalise, resize
from siglip.settings import CropView, ScorerConfig, ScorerMemberConfig

CAPTIONS = ["red drone", "Green Drone", "blue drone"]


def crops(n=4):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(5, 60, (n, 2))]


def test_scores_equal_the_zero_shot_pipeline(checkpoint):
    from transformers import pipeline

    scorer = build_scorer(ScorerConfig(weights=str(checkpoint)))
    zero_shot = pipeline("zero-shot-image-classification", model=str(checkpoint))
    scores = scorer.scores(scorer.embed_images(crops()), scorer.embed_texts(CAPTIONS))
    for n, crop in enumerate(crops()):
        labels = [caption.lower() for caption in CAPTIONS]
        told = {r["label"]: r["score"] for r in zero_shot(Image.fromarray(crop), labels, hypothesis_template="{}")}
        np.testing.assert_allclose(scores[n], [told[label] for label in labels], rtol=1e-4, atol=1e-9)


def test_pixels_are_the_processors_own_for_every_small_size(checkpoint):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint).image_processor
    rng = np.random.default_rng(1)
    for height, width in [(1, 1), (1, 9), (3, 3), (3, 40), (40, 3), (16, 16), (33, 20)]:
        crop = rng.integers(0, 256, (height, width, 3), np.uint8)
        if min(height, width) > 3:
            expected = processor(images=Image.fromarray(crop), return_tensors="pt")["pixel_values"].numpy()
            np.testing.assert_array_equal(crop_pixels([crop], processor).numpy(), expected)
        assert crop_pixels([crop], processor).shape == (1, 3, 16, 16)
        assert np.array_equal(normalise(resize([crop], processor), processor), crop_pixels([crop], processor))


def test_a_red_crop_is_red_in_the_first_channel(checkpoint):
    from transformers import AutoProcessor

    red = np.zeros((9, 9, 3), np.uint8)
    red[..., 0] = 255
    pixels = crop_pixels([red], AutoProcessor.from_pretrained(checkpoint).image_processor)
    assert pixels[0, 0].min() == 1.0
    assert pixels[0, 1:].max() == -1.0


def test_the_key_changes_with_weights_and_template(checkpoint):
    key = build_scorer(ScorerConfig(weights=str(checkpoint))).key
    assert build_scorer(ScorerConfig(weights=str(checkpoint))).key == key
    data = bytearray((checkpoint / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (checkpoint / "model.safetensors").write_bytes(data)
    assert build_scorer(ScorerConfig(weights=str(checkpoint))).key != key


def test_another_template_than_the_training_s_is_refused(checkpoint):
    with pytest.raises(InputError, match=r"was trained with '\{\}'"):
        build_scorer(ScorerConfig(weights=str(checkpoint), template="a photo of {}"))


def test_prefixed_keys_are_refused_with_the_way_out(checkpoint):
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    save_file({f"_orig_mod.{k}": v for k, v in weights.items()}, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"siglip\.convert cleans keys"):
        build_scorer(ScorerConfig(weights=str(checkpoint)))


@pytest.mark.parametrize("damage", ["config", "weights", "nothing there"])
def test_broken_checkpoints_are_one_line(damage, checkpoint):
    if damage == "config":
        (checkpoint / "config.json").write_text(json.dumps({"model_type": "nonsense"}))
    elif damage == "weights":
        path = checkpoint / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    else:
        checkpoint = checkpoint / "nowhere"
    with pytest.raises(InputError, match="cannot be loaded as a scorer|no such file or folder"):
        build_scorer(ScorerConfig(weights=str(checkpoint)))


def test_no_crops_and_no_captions(checkpoint):
    scorer = build_scorer(ScorerConfig(weights=str(checkpoint)))
    assert len(scorer.embed_images([])) == 0
    assert len(scorer.embed_texts([])) == 0


def test_a_crop_and_its_mirror_image_are_averaged_at_length_one(checkpoint):
    plain = build_scorer(ScorerConfig(weights=str(checkpoint)))
    both = build_scorer(ScorerConfig(weights=str(checkpoint), views=[CropView.plain, CropView.flip_lr], batch=3))
    mirrored = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops()]
    mean = plain.embed_images(crops()) + plain.embed_images(mirrored)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(both.embed_images(crops()), mean, atol=1e-6)
    np.testing.assert_allclose(both.embed_images(mirrored), both.embed_images(crops()), atol=1e-6)
    assert not np.allclose(both.embed_images(crops()), plain.embed_images(crops()), atol=1e-3)
    assert both.key != plain.key
    assert both.embed_images([]).shape == (0, 0)


@pytest.mark.parametrize("views", [[], [CropView.plain, CropView.plain]])
def test_views_are_named_once_and_one_at_least(views, checkpoint):
    with pytest.raises(InputError, match=r"scorer\.views: .* must name each view once"):
        build_scorer(ScorerConfig(weights=str(checkpoint), views=views))


def test_views_of_a_merged_scorer_are_its_members(checkpoint):
    member = ScorerMemberConfig(str(checkpoint), views=[CropView.flip_lr])
    with pytest.raises(InputError, match=r"each of scorer\.members has its own"):
        build_scorer(ScorerConfig(members=[member], views=[CropView.flip_lr]))
    mirrored = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops()]
    alone = build_scorer(ScorerConfig(weights=str(checkpoint)))
    made = build_scorer(ScorerConfig(members=[member])).embed_images(crops())
    np.testing.assert_allclose(made, alone.embed_images(mirrored), atol=1e-6)


def test_the_captions_of_a_vocabulary_training_are_known_alone_exported_and_merged(checkpoint, tmp_path):
    from siglip.export.graphs import export_and_compare
    from siglip.export.settings import ExportConfig

    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    bare = build_scorer(ScorerConfig(weights=str(checkpoint)))
    write_objective(checkpoint, Form.sigmoid)
    assert build_scorer(ScorerConfig(weights=str(checkpoint))).calibration == bare.calibration
    write_objective(checkpoint, Form.vocabulary, ["red drone", "blue drone", "red drone"])
    scorer = build_scorer(ScorerConfig(weights=str(checkpoint)))
    assert scorer.calibration == {**bare.calibration, "known": ["red drone", "blue drone"]}
    assert scorer.key != bare.key
    (tmp_path / "onnx").mkdir()
    export_and_compare(ExportConfig(weights=str(checkpoint)), tmp_path / "onnx")
    assert build_scorer(ScorerConfig(weights=str(tmp_path / "onnx"))).calibration == scorer.calibration
    pair = ScorerConfig(members=[ScorerMemberConfig(str(checkpoint)), ScorerMemberConfig(str(other))])
    assert "known" not in build_scorer(pair).calibration  # the other knows none
    write_objective(other, Form.vocabulary, ["blue drone", "red drone"])
    assert build_scorer(pair).calibration["known"] == ["red drone", "blue drone"]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"form": "softmax"}, "objective.json: field 'form': is none of sigmoid, vocabulary"),
        ({"form": "vocabulary"}, "objective.json: field 'captions': must list"),
        ({"form": "vocabulary", "captions": [1]}, "objective.json: field 'captions': must list"),
    ],
)
def test_a_damaged_objective_is_one_line(about, message, checkpoint):
    (checkpoint / "objective.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=message):
        build_scorer(ScorerConfig(weights=str(checkpoint)))
