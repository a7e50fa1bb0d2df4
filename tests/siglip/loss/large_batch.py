"""`batch.size=960 batch.micro=12` of a true SiglipModel with dropout beside one plain batch of the same 960 pairs.

The training is the command itself. What stands in is the attention: the same sums, with its dropout masks kept as they
are drawn. The plain batch (in float64: one in float32 lies farther from it than the micro-batches do) cannot draw those
masks anew, since a generator fills one large tensor otherwise than eighty small ones, so it is given them, row for row
as the micro-batches' first passes drew them. The second passes are given nothing: they must draw the same again by
themselves, or their gradients differ.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import distributed

PAIRS, MICRO, CAPTIONS = 960, 12, 126
LAYERS = {"image": 2, "text": 1}  # attention layers with dropout, in the order in which a forward pass meets them


class Masks:
    """Keeps each layer's dropout masks in the order in which they are drawn, or deals them out to a plain batch."""

    def __init__(self):
        self.drawn, self.given = [], None

    def attend(self, module, query, key, value, mask, scaling, dropout=0.0, **_):
        weights = F.softmax(query @ key.transpose(-1, -2) * scaling, dim=-1)
        if self.given is None:
            factors = F.dropout(torch.ones_like(weights), dropout)
            self.drawn.append(factors)
        else:
            factors = next(self.given).to(weights.dtype)
        return (weights * factors @ value).transpose(1, 2).contiguous(), None

    def first_passes(self, parts, rows):
        """The masks of this process's pairs, one tensor a layer: what the first pass of each part drew."""
        layers = sum(LAYERS.values())
        passes = list(zip(*[iter(self.drawn)] * layers, strict=True))[: len(parts)]
        made = []
        for layer in range(layers):
            if layer < LAYERS["image"]:
                kept = [drawn[layer][: p.crops.stop - p.crops.start] for drawn, p in zip(passes, parts, strict=True)]
                made.append(torch.cat(kept))
            else:
                kept = [drawn[layer][: p.num_texts] for drawn, p in zip(passes, parts, strict=True)]
                made.append(torch.cat(kept)[rows])
        return made


def write_crops(folder):
    """960 crops of noise and 126 captions."""
    from core.files import sha256_bytes
    from core.images import encode_image
    from data.cropset import Crop, finish_set

    rng = np.random.default_rng(0)
    folder.mkdir()
    crops, digests = [], {}
    for i in range(PAIRS):
        data = encode_image(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), ".png")
        crop = Crop(f"image_{i}_0.png", f"word{i % CAPTIONS // 12} thing{i % CAPTIONS % 12}", f"image_{i}.jpg", 0)
        (folder / crop.file_name).write_bytes(data)
        crops.append(crop)
        digests[crop.file_name] = sha256_bytes(data)
    finish_set(folder, crops, digests, {"pad": "none", "upscaler": None})
    return folder


def words(crops, run_dir):
    tower = "hidden_size:32,intermediate_size:48,num_attention_heads:2,attention_dropout:0.2"
    return [
        f"crops={crops}", f"scorer.architecture.vision={{{tower},image_size:16,patch_size:8,num_hidden_layers:2}}",
        f"scorer.architecture.text={{{tower},max_position_embeddings:64,num_hidden_layers:1,projection_size:32}}",
        "scorer.architecture.start={scale:20,bias:-10}", f"batch.size={PAIRS}", f"batch.micro={MICRO}", "epochs=1",
        "clip_norm=0", "recipe=none", "probe=false", "tracking.mode=disabled", f"run_dir={run_dir}",
    ]  # fmt: skip


def plain_gradients(model, pixels, input_ids, ids):
    """Those of one forward and one backward pass over all pairs, each with its own caption; big_vision's lines."""
    from siglip.train.towers import bind_pair_forward

    model = bind_pair_forward(copy.deepcopy(model)).double()
    model.zero_grad()
    image, text, scale, bias, _ = model(input_ids=input_ids, pixel_values=pixels.double())
    logits = image @ text.T * scale + bias
    signs = torch.where(ids[:, None] == ids[None, :], 1.0, -1.0)
    loss = -F.logsigmoid(signs * logits).sum(dim=-1).mean()
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}


def gathered(value):
    """The value of every process, in their order."""
    if not distributed.is_initialized():
        return [value]
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def relative_error(crops, run_dir):
    """The relative error of the training's loss and of its gradients, all weights taken together."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from siglip import train
    from siglip.pixels import normalise
    from siglip.train import steps

    masks, seen, original = Masks(), {}, steps.Stepper._gradients

    def watched(self, ids, images, largest_share):
        loss = original(self, ids, images, largest_share)
        parts = steps.split_batch(ids, -(-largest_share // MICRO), own_captions=False)
        rows = torch.from_numpy(np.unique(ids, return_inverse=True)[1])
        model = getattr(self._model, "module", self._model)
        cached = {name: p.grad.clone() for name, p in model.named_parameters()}
        shares = gathered((ids, normalise(images, self._processor.image_processor), masks.first_passes(parts, rows)))
        ids, pixels, drawn = zip(*shares, strict=True)
        masks.given = (torch.cat(layer) for layer in zip(*drawn, strict=True))
        ids = torch.from_numpy(np.concatenate(ids))
        plain = plain_gradients(model, torch.cat(pixels), self._input_ids_ML[ids], ids)
        seen["error"] = difference(loss.item(), cached, *plain)
        seen["parts"] = len(parts)
        return loss

    steps.Stepper._gradients = watched
    stock = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = masks.attend
    try:
        train.main(words(crops, run_dir))
    finally:
        steps.Stepper._gradients = original
        ALL_ATTENTION_FUNCTIONS["sdpa"] = stock
    assert seen["parts"] == -(-PAIRS // len(gathered(0)) // MICRO)
    return seen["error"]


def difference(loss, cached, plain_loss, plain):
    """(of the loss, of the gradients)."""
    apart = sum(float((cached[name] - g).square().sum()) for name, g in plain.items()) ** 0.5
    size = sum(float(g.square().sum()) for g in plain.values()) ** 0.5
    return abs(loss - plain_loss) / abs(plain_loss), apart / size
