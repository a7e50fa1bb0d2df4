"""SAM 3: one concept a caption; the image goes through its encoder once for all of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from core.stages import Image
from core.values import Grounded
from onestage.settings import OneStageConfig
from onestage.weights import content_key, kind_of, load_parts, require_numbers
from onestage.zero_shot import candidates_of_tensors

TEXT_LENGTH = 32  # positions of its text tower; the processor does not cut, so that a longer caption would fail


class Sam3:
    """`Sam3Model` as `core.stages.OneStage`; a confidence is the box's times that of the concept's presence."""

    per_caption = True

    def __init__(self, model: Any, processor: Any, config: OneStageConfig) -> None:
        self.model, self.processor, self._floor, self._weights = model, processor, config.floor, config.weights
        self.key = content_key(config, model)

    @torch.inference_mode()
    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """See `core.stages.OneStage`."""
        for number, (image, asked) in enumerate(zip(images, captions, strict=True)):
            if not asked:
                continue
            made = self.processor(images=image, return_tensors="pt", input_data_format="channels_last")
            pixels = made["pixel_values"].to(self.model.device, self.model.dtype)
            vision = self.model.get_vision_features(pixel_values=pixels)
            for place, caption in enumerate(asked):
                yield number, place, self._one(vision, caption, image.shape[:2])

    def _one(self, vision: Any, caption: str, size: tuple[int, ...]) -> Grounded:
        tokenizer = self.processor.tokenizer
        truncated = len(tokenizer(caption)["input_ids"]) > TEXT_LENGTH
        text = tokenizer(
            caption, padding="max_length", truncation=True, max_length=TEXT_LENGTH, return_tensors="pt"
        )  # fmt: skip
        device = self.model.device
        mask = text["attention_mask"].to(device)
        out = self.model(vision_embeds=vision, input_ids=text["input_ids"].to(device), attention_mask=mask)
        require_numbers(self._weights, out.pred_boxes, out.pred_logits.sigmoid())
        found = self.processor.post_process_object_detection(out, threshold=self._floor, target_sizes=[size])[0]
        return Grounded(candidates_of_tensors(found["boxes"].float(), found["scores"].float()), truncated=truncated)


def load(config: OneStageConfig, device: str) -> Sam3:
    """The model of a checkpoint; InputError when it is no SAM 3."""
    from transformers import AutoModel, Sam3Model

    lite = kind_of(config) == "sam3_lite_text"  # has a class of its own behind AutoModel
    model, processor = load_parts(config, AutoModel if lite else Sam3Model, device)
    return Sam3(model, processor, config)
