"""The big_vision bridge both ways on own random weights, the true layout's names and shapes, and what it refuses.

The same against a SigLIP that Flax built: tests/extras.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from siglip.bigvision import main
from siglip.bigvision.arrays import architecture, arrays_of, read_npz, tensors_of
from siglip.bigvision.names import all_names

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2}
TINY = {"vision": SIZES, "text": {**SIZES, "num_hidden_layers": 1}}


def bridge(*words):
    main([*map(str, words), "run_dir=run"])
    return json.loads(Path("run/metrics.json").read_text())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stacked", [False, True])
def test_there_and_back_to_the_bit_with_equal_logits(dtype, stacked, checkpoint, tmp_path):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).to(dtype)
    model.save_pretrained(checkpoint)
    told = bridge(f"source={checkpoint}", "out=weights.npz", f"stacked={stacked}")
    assert (told["vision_num_attention_heads"], told["text_num_hidden_layers"]) == (2, 1)
    with np.load("weights.npz") as stored:
        assert all(name.startswith("params/") for name in stored.files)
        kernel = "encoderblock/" if stacked else "encoderblock_1/"
        shape = stored[f"params/img/Transformer/{kernel}MultiHeadDotProductAttention_0/out/kernel"].shape
    assert shape == ((2,) if stacked else ()) + (2, 16, 32)
    told = bridge("source=weights.npz", "out=folder", f"like={checkpoint}")
    assert told["num_tensors"] == len(model.state_dict())
    before, after = load_file(checkpoint / "model.safetensors"), load_file("folder/model.safetensors")
    assert before.keys() == after.keys()
    assert all(a.dtype == dtype and torch.equal(a, after[name]) for name, a in before.items())
    again, problems = AutoModel.from_pretrained("folder", output_loading_info=True)
    assert not any(problems[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids, pixels = torch.randint(0, 6, (3, 64)), torch.randn(2, 3, 16, 16, dtype=dtype)
    with torch.no_grad():
        logits = [m.eval()(input_ids=ids, pixel_values=pixels).logits_per_image for m in (model, again)]
    assert torch.equal(*logits)


def test_a_bridged_folder_scores_in_any_pipeline(checkpoint):
    from siglip.build import build_scorer
    from siglip.settings import ScorerConfig

    bridge(f"source={checkpoint}", "out=weights.npz")
    bridge("source=weights.npz", "out=folder", f"like={checkpoint}")
    crops = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8) for i in range(3)]
    ours, theirs = (build_scorer(ScorerConfig(weights=str(w))) for w in ("folder", checkpoint))
    captions = ["red drone", "blue drone"]
    made, wanted = (s.scores(s.embed_images(crops), s.embed_texts(captions)) for s in (ours, theirs))
    np.testing.assert_array_equal(made, wanted)


def test_without_a_like_the_config_is_read_off_the_shapes(checkpoint, capfd):
    from transformers import AutoConfig

    bridge(f"source={checkpoint}", "out=weights.npz")
    bridge("source=weights.npz", "out=folder")
    assert "has no tokenizer" in capfd.readouterr().out
    made, wanted = AutoConfig.from_pretrained("folder"), AutoConfig.from_pretrained(checkpoint)
    for part in ("vision_config", "text_config"):
        for name in (*SIZES, "hidden_act", "layer_norm_eps"):
            assert getattr(getattr(made, part), name) == getattr(getattr(wanted, part), name)
    assert (made.vision_config.image_size, made.vision_config.patch_size) == (16, 8)
    bridge("source=folder", "out=again.npz")
    with np.load("weights.npz") as first, np.load("again.npz") as second:
        assert all(np.array_equal(first[name], second[name]) for name in first.files)


@pytest.mark.parametrize(
    ("vision", "text", "patch", "positions", "vocabulary"),
    [
        ((1024, 16, 4096, 24), (1024, 16, 4096, 24), 16, 24 * 24, 32_000),  # siglip-large-patch16-384
        ((1152, 16, 4304, 27), (1152, 16, 4304, 27), 14, 27 * 27, 32_000),  # siglip-so400m-patch14-384
        ((1024, 16, 4096, 24), (1024, 16, 4096, 24), 16, 16 * 16, 256_000),  # siglip2-large-patch16-256
    ],
)
def test_the_published_sizes_shape_for_shape(vision, text, patch, positions, vocabulary, tmp_path):
    """Arrays without memory, laid out as the published checkpoints are, against transformers' own shapes."""
    from transformers import SiglipConfig, SiglipModel

    names = ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers")
    sizes = {"vision": dict(zip(names, vision, strict=True)), "text": dict(zip(names, text, strict=True))}
    sizes["vision"] |= {"patch_size": patch, "image_size": patch * round(positions**0.5)}
    sizes["text"] |= {"vocab_size": vocabulary, "max_position_embeddings": 64, "projection_size": vision[0]}
    with torch.device("meta"):
        model = SiglipModel(SiglipConfig(text_config=dict(sizes["text"]), vision_config=dict(sizes["vision"])))
    zero = np.zeros((), np.float32)
    tensors = {name: np.broadcast_to(zero, tensor.shape) for name, tensor in model.state_dict().items()}
    arrays = {name: np.broadcast_to(zero, array.shape) for name, array in arrays_of(tensors, sizes, tmp_path).items()}
    head = vision[0] // vision[1]
    assert arrays["img/embedding/kernel"].shape == (patch, patch, 3, vision[0])
    assert arrays["img/pos_embedding"].shape == (1, positions, vision[0])
    assert arrays["img/MAPHead_0/MultiHeadDotProductAttention_0/key/bias"].shape == (vision[1], head)
    assert arrays["txt/Encoder_0/encoderblock_0/MlpBlock_0/Dense_1/kernel"].shape == (text[2], text[0])
    assert arrays["txt/head/kernel"].shape == (text[0], vision[0])
    assert architecture(arrays, tmp_path) == sizes


def test_every_array_has_one_place(checkpoint, tmp_path):
    """No two names fall together, and a value put into one array turns up in one tensor."""
    names = list(all_names(2, 1))
    assert len({n.bigvision for n in names}) == len(names)
    model_names = set(load_file(checkpoint / "model.safetensors"))
    assert {n.transformers for n in names} == model_names
    bridge(f"source={checkpoint}", "out=weights.npz")
    arrays = read_npz(Path("weights.npz"))
    numbered = {name: np.full(array.shape, i, np.float32) for i, (name, array) in enumerate(arrays.items())}
    made = tensors_of(numbered, TINY, tmp_path)
    assert sorted({v for tensor in made.values() for v in np.unique(tensor)}) == list(range(len(arrays)))


def test_old_files_other_prefixes_and_optimizers(checkpoint):
    bridge(f"source={checkpoint}", "out=weights.npz")
    with np.load("weights.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    wanted = arrays["params/txt/pos_embedding"]
    half = np.float32(0.5) * wanted
    old = {**arrays, "params/txt/pos_embedding": half, "params/txt/Encoder_0/pos_embedding": half, "opt/0/mu": wanted}
    np.savez("old.npz", **old)
    np.savez("bare.npz", **{name.removeprefix("params/"): array for name, array in arrays.items()})
    for source in ("old", "bare"):
        bridge(f"source={source}.npz", f"out={source}")
        made = load_file(f"{source}/model.safetensors")["text_model.embeddings.position_embedding.weight"]
        np.testing.assert_array_equal(made, wanted[0])


def change(name, array):
    def edit(arrays):
        arrays.pop(name) if array is None else arrays.update({name: array})

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (change("params/img/head/kernel", np.ones((32, 32), np.float32)), "ends in a head of its own"),
        (change("params/b", None), "1 arrays of a SigLIP are missing and 0 are of something else (b)"),
        (change("params/txt/cls", np.ones(1, np.float32)), "0 arrays of a SigLIP are missing and 1 are"),
        (change("params/img/pos_embedding", np.ones((1, 3, 32), np.float32)), "not square on a square image"),
        (change("params/txt/head/kernel", np.ones((32, 8), np.float32)), "its embeddings differ in width"),
        (change("params/txt/head/bias", np.ones(3, np.float32)), "tensor 'text_model.head.bias': shape [3]"),
        (change("params/t", np.ones(1, np.int64)), "array 't': holds int64"),
        (change("params/t", np.asarray([{}], object)), "not a big_vision checkpoint that can be read"),
        (change("params/img/MAPHead_0/probe", None), "is no SigLIP of big_vision: it lacks 'img/MAPHead_0/probe'"),
    ],
)
def test_another_model_is_refused_in_one_line(edit, told, checkpoint, tmp_path, refused):
    bridge(f"source={checkpoint}", "out=weights.npz")
    with np.load("weights.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    edit(arrays)
    np.savez("bad.npz", **arrays)
    assert told in refused(bridge, "source=bad.npz", "out=folder")
    assert not (tmp_path / "folder/model.safetensors").exists()


def test_misuse_is_one_line(checkpoint, family_folder, tmp_path, refused):
    bridge(f"source={checkpoint}", "out=weights.npz")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "weights.npz").read_bytes()[:5000])
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((checkpoint / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] = 4
    (other / "config.json").write_text(json.dumps(config))
    for words, told in (
        (("source=weights.npz", "out=more.npz"), "one of source and out must be an .npz"),
        ((f"source={checkpoint}", "out=folder"), "one of source and out must be an .npz"),
        (("source=weights.npz", "out=folder", "stacked=true"), "stacked: is for writing an .npz"),
        ((f"source={checkpoint}", "out=x.npz", f"like={checkpoint}"), "like: is for writing a folder"),
        (("source=nowhere.npz", "out=folder"), "not a big_vision checkpoint that can be read"),
        (("source=torn.npz", "out=folder"), "not a big_vision checkpoint that can be read"),
        (("source=nowhere", "out=x.npz"), "nowhere: cannot be loaded"),
        (("source=weights.npz", f"out={checkpoint}"), "is there already; name a new folder"),
        (("source=weights.npz", "out=folder", f"like={other}"), "has vision num_attention_heads 4, weights.npz has 2"),
        (("source=weights.npz", "out=folder", f"like={family_folder('clip')}"), "is a clip, not a siglip"),
        ((f"source={family_folder('naflex')}", "out=x.npz"), "is a siglip2; an .npz takes a siglip"),
    ):
        assert told in refused(bridge, *words)
    assert not (tmp_path / "x.npz").exists()
