"""Every family's scores against the family's own forward, on small random models; merging; what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.choosing import score_matrix
from core.errors import InputError
from siglip.build import build_scorer
from siglip.settings import Family, Precision, ScorerConfig, ScorerMemberConfig, scorer_weights

CAPTIONS = ["red drone", "green drone", "blue drone", "red drone"]
PRESETS = Path(__file__).parents[3] / "configs/scorer"
PHOTO = "This is a photo of {}."


def crops(n=5):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(8, 60, (n, 2))]


def scores_of(config):
    scorer = build_scorer(config)
    images, texts = scorer.embed_images(crops()), scorer.embed_texts(CAPTIONS)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    return scorer.scores(images, texts)


def transformers_logits(folder, template, with_mask):
    """(N, M) what the family's own model says of what the family's own processor makes of images and texts."""
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    length = {"padding": True} if with_mask else {"padding": "max_length", "max_length": 64}
    texts = processor.tokenizer([template.format(c) for c in CAPTIONS], return_tensors="pt", **length)
    images = [processor.image_processor(images=Image.fromarray(c), return_tensors="pt") for c in crops()]
    inputs = {name: torch.cat([i[name] for i in images]) for name in images[0]}
    texts = texts if with_mask else {"input_ids": texts["input_ids"]}
    with torch.no_grad():
        return model(**texts, **inputs).logits_per_image


@pytest.mark.parametrize("family", ["siglip", "naflex"])
def test_sigmoid_families(family, family_folder):
    folder = family_folder(family)
    expected = transformers_logits(folder, "{}", with_mask=False).sigmoid()
    made = scores_of(ScorerConfig(weights=str(folder), batch=2))
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-7)


def test_clip_gives_raw_logits_in_its_template(family_folder):
    folder = family_folder("clip")
    made = scores_of(ScorerConfig(weights=str(folder), template=PHOTO, batch=3))
    np.testing.assert_allclose(made, transformers_logits(folder, PHOTO, with_mask=True), rtol=1e-5, atol=1e-4)
    assert np.abs(made).max() > 1  # logits, not probabilities
    assert not np.allclose(made, scores_of(ScorerConfig(weights=str(folder))))  # the template counts


def test_eva02_by_open_clip(family_folder):
    import open_clip

    folder = family_folder("eva02")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")([PHOTO.format(c) for c in CAPTIONS])
    with torch.no_grad():
        images, texts, scale = model.eval()(torch.stack([preprocess(Image.fromarray(c)) for c in crops()]), tokens)[:3]
    made = scores_of(ScorerConfig(weights=str(folder), template=PHOTO, batch=2))
    np.testing.assert_allclose(made, scale * images @ texts.T, rtol=1e-5, atol=1e-4)


def test_two_merged_are_the_weighted_mean_of_their_logits(family_folder):
    first, second = str(family_folder("clip")), str(family_folder("siglip"))
    config = ScorerConfig(
        members=[ScorerMemberConfig(weights=first, weight=3.0), ScorerMemberConfig(weights=second, weight=1.0)]
    )
    assert scorer_weights(config) == [first, second]
    sigmoid = scores_of(ScorerConfig(weights=second))
    expected = 0.75 * scores_of(ScorerConfig(weights=first)) + 0.25 * np.log(sigmoid / (1 - sigmoid))
    np.testing.assert_allclose(scores_of(config), expected, rtol=1e-4, atol=1e-4)


def test_merged_sigmoid_families_keep_the_sigmoid_and_can_be_replayed(family_folder):
    folder = str(family_folder("siglip"))
    alone = scores_of(ScorerConfig(weights=folder))
    config = ScorerConfig(members=[ScorerMemberConfig(weights=folder), ScorerMemberConfig(weights=folder, weight=2.0)])
    np.testing.assert_allclose(scores_of(config), alone, rtol=1e-5)
    scorer = build_scorer(config)
    stored = score_matrix(scorer.calibration, scorer.embed_images(crops()), scorer.embed_texts(CAPTIONS))
    np.testing.assert_array_equal(stored, scores_of(config))
    one_sided = ScorerConfig(members=[ScorerMemberConfig(weights=folder), ScorerMemberConfig(folder, weight=0.0)])
    np.testing.assert_allclose(scores_of(one_sided), alone, rtol=1e-6)
    assert scorer.key != build_scorer(one_sided).key


def test_merging_by_configuration_alone(family_folder, tmp_path):
    from omegaconf import OmegaConf

    from grounder.compose import compose_config, register
    from siglip.evaluate import EvaluateConfig

    (tmp_path / "own/scorer").mkdir(parents=True)
    (tmp_path / "own/scorer/both.yaml").write_text(
        f"members:\n- {{weights: {family_folder('clip')}, weight: 2, template: '{PHOTO}'}}\n"
        f"- {{weights: {family_folder('eva02')}, family: open_clip}}\n"
    )
    name = register("siglip.evaluate", EvaluateConfig)
    config = OmegaConf.to_object(compose_config(name, ["scorer=both", "crops=x"], str(tmp_path / "own")))
    assert isinstance(config, EvaluateConfig)
    scorer = build_scorer(config.scorer)
    assert scorer.calibration["sigmoid"] is False
    assert scorer.embed_images(crops()).shape == (5, 24 + 192)


def test_bfloat16_is_near_and_has_a_key_of_its_own(family_folder):
    folder = str(family_folder("clip"))
    exact, near = ScorerConfig(weights=folder), ScorerConfig(weights=folder, precision=Precision.bfloat16)
    difference = np.abs(scores_of(exact) - scores_of(near)).max()
    assert 0 < difference < 1
    assert build_scorer(exact).key != build_scorer(near).key


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ScorerConfig(), r"scorer\.weights: must be given"),
        (ScorerConfig(weights="x", members=[ScorerMemberConfig()]), "either weights or members"),
        (ScorerConfig(members=[ScorerMemberConfig()]), r"scorer\.members\[0\]\.weights: must be given"),
        (ScorerConfig(weights="x", batch=0), r"scorer\.batch: 0 is not at least 1"),
        (ScorerConfig(weights="x", precision=Precision.float16), "float16 needs a GPU"),
        (ScorerConfig(weights="{clip}", template="photo"), "has no single {} for the caption"),
        (ScorerConfig(weights="{clip}", template="{} and {}"), "has no single {} for the caption"),
        (ScorerConfig(weights="{clip}", family=Family.open_clip), "cannot be loaded as a scorer by open_clip"),
        (ScorerConfig(members=[ScorerMemberConfig("{clip}", weight=-1.0)]), "are not positive numbers"),
        (ScorerConfig(weights="{bert}"), "bert model compares no crops with captions"),
    ],
)
def test_wrong_settings_are_one_line(config, told, family_folder, tmp_path):
    for member in (config, *config.members):
        if member.weights == "{clip}":
            member.weights = str(family_folder("clip"))
        elif member.weights == "{bert}":
            member.weights = str(save_bert(tmp_path / "bert"))
    with pytest.raises(InputError, match=told):
        build_scorer(config)


def save_bert(folder):
    from transformers import BertConfig, BertModel

    from siglip.model import word_tokenizer

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=8, **sizes)).save_pretrained(folder)
    word_tokenizer(["a b"]).save_pretrained(folder)
    return folder


def test_an_open_clip_folder_without_weights_is_refused(family_folder, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/open_clip_config.json").write_bytes(
        (family_folder("eva02") / "open_clip_config.json").read_bytes()
    )
    with pytest.raises(InputError, match="bare"):
        build_scorer(ScorerConfig(weights=str(tmp_path / "bare")))


def test_members_trained_on_other_policies_are_refused(family_folder, checkpoint):
    from core.files import write_json

    other = family_folder("siglip")
    write_json(other / "grounder.json", {"policy": "x4"})
    try:
        members = [ScorerMemberConfig(weights=str(checkpoint)), ScorerMemberConfig(weights=str(other))]
        with pytest.raises(
            InputError, match="scorer.members: crops are enlarged by 'x4', but the scorer was trained on 'none'"
        ):
            build_scorer(ScorerConfig(members=members))
        assert build_scorer(ScorerConfig(members=members, any_policy=True)).policy is None
    finally:
        (other / "grounder.json").write_text("{}")


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("*.yaml")))
def test_every_preset_composes_and_names_its_scorer(preset):
    from omegaconf import OmegaConf

    from grounder.compose import compose_config, register
    from siglip.evaluate import EvaluateConfig

    name = register("siglip.evaluate", EvaluateConfig)
    config = OmegaConf.to_object(compose_config(name, ["crops=somewhere", f"scorer={preset}"]))
    assert isinstance(config, EvaluateConfig)
    assert scorer_weights(config.scorer) or preset in {"checkpoint", "demo", "small"}
    first = (PRESETS / f"{preset}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
