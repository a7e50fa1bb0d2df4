"""Exported scorers: the same embeddings and scores as their originals, in any pipeline, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from core.errors import InputError
from siglip.build import build_scorer
from siglip.export import main
from siglip.settings import Family, Precision, ScorerConfig

CAPTIONS = ["red drone", "a green drone", "blue drone", "red drone"]
PHOTO = "This is a photo of {}."


def crops(n=7):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(1, 60, (n, 2))]


def export(*words):
    main([*map(str, words), "run_dir=exported"])
    with open("exported/metrics.json") as stream:
        return json.load(stream)


@pytest.fixture(scope="module")
def siglip_exported(family_folder, tmp_path_factory):
    """An exported SigLIP, for reading only."""
    folder = tmp_path_factory.mktemp("onnx") / "run"
    main([f"weights={family_folder('siglip')}", f"run_dir={folder}"])
    return folder


@pytest.mark.parametrize("family", ["siglip", "clip", "eva02"])
def test_each_family_says_the_same_for_any_number_of_crops_and_captions(family, family_folder, tmp_path):
    source = family_folder(family)
    template = [] if family == "siglip" else [f"template='{PHOTO}'"]
    told = export(f"weights={source}", *template)
    assert max(told["max_image_error"], told["max_text_error"]) < 1e-5
    shutil.move(tmp_path / "exported", tmp_path / "moved")  # nothing in it depends on where it lies
    config = ScorerConfig(weights=str(tmp_path / "moved"), batch=3)
    ours, theirs = build_scorer(config), build_scorer(
        ScorerConfig(weights=str(source), template=None if family == "siglip" else PHOTO)
    )  # fmt: skip
    assert ours.calibration == theirs.calibration
    assert ours.template == theirs.template
    assert ours.key != theirs.key
    for captions in (CAPTIONS, CAPTIONS[:1], ["red " * 90]):
        for some in (crops(), crops(1)):
            made, wanted = (s.scores(s.embed_images(some), s.embed_texts(captions)) for s in (ours, theirs))
            np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-6 if family == "siglip" else 1e-4)


def test_half_precision_is_near(family_folder):
    told = export(f"weights={family_folder('siglip')}", "half=true")
    assert 0 < told["max_image_error"] < 5e-2
    assert told["max_score_error"] < 5e-2


def test_a_training_s_settings_go_with_it(checkpoint, tmp_path):
    from transformers import AutoProcessor

    from siglip.pixels import preprocessing_of

    settings = json.loads((checkpoint / "grounder.json").read_text())
    kept = preprocessing_of(AutoProcessor.from_pretrained(checkpoint).image_processor)
    settings |= {"template": "see {}", "policy": "x4", "preprocessing": kept}
    (checkpoint / "grounder.json").write_text(json.dumps(settings))
    export(f"weights={checkpoint}")
    scorer = build_scorer(ScorerConfig(weights=str(tmp_path / "exported")))
    assert (scorer.template, scorer.policy) == ("see {}", "x4")
    with pytest.raises(InputError, match="was trained with 'see {}'"):
        build_scorer(ScorerConfig(weights=str(tmp_path / "exported"), template="{}"))
    path = tmp_path / "exported/processor_config.json"
    values = json.loads(path.read_text())
    values["image_processor"]["resample"] = 2
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="image processor has resample 2, but it was trained with 3"):
        build_scorer(ScorerConfig(weights=str(tmp_path / "exported")))


def test_onnx_merges_with_other_scorers(siglip_exported, family_folder):
    from siglip.settings import ScorerMemberConfig

    members = [ScorerMemberConfig(str(siglip_exported)), ScorerMemberConfig(str(family_folder("siglip")))]
    merged, alone = build_scorer(ScorerConfig(members=members)), build_scorer(ScorerConfig(str(siglip_exported)))
    made, wanted = (s.scores(s.embed_images(crops()), s.embed_texts(CAPTIONS)) for s in (merged, alone))
    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-7)


def test_it_ranks_crops_like_any_scorer(siglip_exported, family_folder, make_crops, tmp_path):
    from siglip.evaluate import main as evaluate

    told = []
    for name, weights in (("a", siglip_exported), ("b", family_folder("siglip"))):
        evaluate([f"crops={tmp_path / 'crops' if told else make_crops()}", f"scorer={weights}", f"run_dir={name}"])
        told.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    assert told[0] == told[1]


def test_misuse_is_one_line(siglip_exported, family_folder, checkpoint, refused):
    import torch

    for words, told in (
        ((f"weights={siglip_exported}",), "is exported already"),
        ((f"weights={family_folder('naflex')}",), "NaFlex resizes its positions crop by crop"),
        ((f"weights={checkpoint}", "opset=9"), "opset: 9 is not between"),
        ((f"weights={checkpoint}", "largest_batch=0"), "largest_batch: 0 is not at least 1"),
        ((f"weights={family_folder('clip')}", "template=drone"), "has no single {} for the caption"),
        (("weights=nowhere",), "scorer: nowhere: not here"),
    ):
        assert told in refused(export, *words)
    if not torch.cuda.is_available():
        assert "format: tensorrt needs an NVIDIA GPU" in refused(export, f"weights={checkpoint}", "format=tensorrt")


@pytest.mark.parametrize("lost", ["image.onnx", "text.onnx.data", "tokenizer.json"])
def test_an_incomplete_folder_is_refused(lost, siglip_exported, tmp_path):
    shutil.copytree(siglip_exported, tmp_path / "some")
    (tmp_path / "some" / lost).unlink()
    with pytest.raises(InputError, match=r"not a tower that can be run|cannot be loaded"):
        build_scorer(ScorerConfig(weights=str(tmp_path / "some")))


def test_wrong_settings_are_refused(siglip_exported, checkpoint):
    with pytest.raises(InputError, match="was fixed by siglip"):
        build_scorer(ScorerConfig(weights=str(siglip_exported), precision=Precision.bfloat16))
    with pytest.raises(InputError, match=r"holds no scorer\.json"):
        build_scorer(ScorerConfig(weights=str(checkpoint), family=Family.onnx))
