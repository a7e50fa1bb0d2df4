"""What the converter's tests share: the command in this process, and what a checkpoint answers."""

import json
from pathlib import Path

import torch

from siglip.convert import main


def convert(*words):
    main([*map(str, words), "run_dir=run"])
    return json.loads(Path("run/metrics.json").read_text())


def reopened(folder):
    from transformers import AutoModel

    model, told = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def logits(model):
    torch.manual_seed(0)
    ids, side = torch.randint(0, 6, (3, 64)), model.config.vision_config.image_size
    with torch.no_grad():
        return model(input_ids=ids, pixel_values=torch.randn(2, 3, side, side)).logits_per_image
