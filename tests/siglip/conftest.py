"""A tiny true SiglipModel and a tiny crop set, made on the spot."""

import importlib

import numpy as np
import pytest

from core.files import sha256_bytes
from core.images import encode_image
from data.cropset import Crop, finish_set

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}

ARCHITECTURE = {
    "vision": {
        "image_size": 16, "patch_size": 8, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 2,
    },
    "text": {
        "max_position_embeddings": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 2, "projection_size": 32,
    },
    "start": {"scale": 20, "bias": -10},
}  # fmt: skip


@pytest.fixture
def make_crops(tmp_path):
    """`make_crops(name, images=6)`: a crop set of plain coloured noise, four colours an image."""

    def make(name="crops", images=6, seed=0):
        rng = np.random.default_rng(seed)
        folder = tmp_path / name
        folder.mkdir()
        crops, digests = [], {}
        for image in range(images):
            for index, (word, colour) in enumerate(COLOURS.items()):
                height, width = rng.integers(6, 30, 2)
                pixels = np.clip(np.asarray(colour) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
                data = encode_image(pixels, ".png")
                crop = Crop(f"image_{image}_{index}.png", f"{word} drone", f"image_{image}.jpg", index)
                (folder / crop.file_name).write_bytes(data)
                crops.append(crop)
                digests[crop.file_name] = sha256_bytes(data)
        finish_set(folder, crops, digests, {"pad": "none", "upscaler": None})
        return folder

    return make


@pytest.fixture
def checkpoint(tmp_path):
    """A complete checkpoint folder of random weights."""
    import torch

    from siglip.model import make_model, save_checkpoint

    torch.manual_seed(0)
    captions = [f"{word} drone" for word in COLOURS]
    model, processor = make_model(ARCHITECTURE, captions)
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, model, processor, {"template": "{}", "policy": "none", "captions": captions})
    return folder


@pytest.fixture
def architecture_words():
    """The tiny architecture as words of the command line."""
    return [f"scorer.architecture.{part}={{{','.join(f'{k}:{v}' for k, v in values.items())}}}"
            for part, values in ARCHITECTURE.items()]  # fmt: skip


# 24 crops, 8 steps an epoch, 40 steps; saves fall within epochs; dropout and augmentation draw random numbers.
SETTINGS = ["batch.size=3", "epochs=5", "lr=3e-3", "weight_decay=0.05", "recipe=demo", "save_every=5", "log_every=1",
            "probe=false", "tracking.mode=disabled"]  # fmt: skip


@pytest.fixture
def words(make_crops, architecture_words):
    """`words(run_dir, *more)`: the command line of a training of 40 steps."""
    crops, held_out = make_crops("crops"), make_crops("held_out", images=3, seed=1)
    architecture = [w.replace("num_attention_heads:2", "num_attention_heads:2,attention_dropout:0.1")
                    for w in architecture_words]  # fmt: skip

    def make(run_dir, *more):
        return [f"crops={crops}", f"val_crops={held_out}", *architecture, *SETTINGS, *more, f"run_dir={run_dir}"]

    return make


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory):
    """`family_folder("clip")`: a complete folder of a small random model of that family, made once a session."""
    made = {}

    def make(family):
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            importlib.import_module("torch").manual_seed(len(family))
            {"clip": _save_clip, "naflex": _save_naflex, "siglip": _save_siglip, "eva02": _save_eva02}[family](
                made[family]
            )
        return made[family]

    return make


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = [f"{word} drone" for word in COLOURS]


def _save_siglip(folder):
    from siglip.model import make_model, save_checkpoint

    model, processor = make_model(ARCHITECTURE, WORDS)
    save_checkpoint(folder, model, processor, {})


def _save_clip(folder):
    """CLIP as OpenAI, LAION and MetaCLIP publish it, in the hub's form; the old position ids of the hub's files too."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [chr(c) for c in range(97, 123)]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    ids = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "vocab_size": len(tokens)}
    config = CLIPConfig(
        text_config={**SIZES, **ids, "projection_dim": 24},
        vision_config={**SIZES, "image_size": 28, "patch_size": 14, "projection_dim": 24},
        projection_dim=24,
    )
    side = {"height": 28, "width": 28}
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=side)
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for tower, length in (("text", 77), ("vision", 5)):
        weights[f"{tower}_model.embeddings.position_ids"] = torch.arange(length)[None]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _save_naflex(folder):
    """SigLIP 2 that takes crops in their own proportions."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

    from siglip.model import word_tokenizer

    tokenizer = word_tokenizer(WORDS)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "vocab_size": len(tokenizer)}
    config = Siglip2Config(
        text_config={**SIZES, **ids, "projection_size": 32},
        vision_config={**SIZES, "patch_size": 8, "num_patches": 16},
    )
    images = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    Siglip2Model(config).save_pretrained(folder)
    Siglip2Processor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)


def _save_eva02(folder):
    """EVA02-CLIP as open_clip publishes it, on timm's smallest EVA02 tower with two of its twelve layers."""
    import json

    import open_clip
    import timm
    from open_clip.push_to_hf_hub import save_config_for_hf
    from safetensors.torch import save_file

    @timm.models.register_model
    def eva02_two_layers(pretrained=False, **settings):
        return timm.models.eva.eva02_tiny_patch14_224(pretrained, depth=2, **settings)

    vision = {"image_size": 224, "timm_model_name": "eva02_two_layers", "timm_pool": "token", "timm_proj": None,
              "timm_model_pretrained": False}  # fmt: skip
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 192, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    start = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(start))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_config_for_hf(model, folder / "open_clip_config.json", config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
