"""A tiny true SiglipModel and a tiny crop set, made on the spot."""

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
