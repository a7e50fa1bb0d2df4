"""Florence-2: writes boxes on a grid of 1000 x 1000 and no confidence."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from core.errors import InputError
from core.stages import Image
from core.values import Candidates, Grounded
from onestage.settings import OneStageConfig
from onestage.weights import content_key, load_parts, require_numbers

TASKS = ("<CAPTION_TO_PHRASE_GROUNDING>", "<OPEN_VOCABULARY_DETECTION>")


class Florence2:
    """`Florence2ForConditionalGeneration` as `core.stages.OneStage`; the first box it writes is its answer."""

    per_caption = True

    def __init__(self, model: Any, processor: Any, config: OneStageConfig) -> None:
        self.model, self.processor = model, processor
        self.task, self._max_tokens = config.prompt or TASKS[0], config.max_tokens
        if self.task not in TASKS:
            raise InputError(f"onestage.prompt: {self.task!r} is none of {', '.join(TASKS)}")
        parts = processor.post_processor.parse_task_config
        for part in ("phrase_grounding", "description_with_bboxes_or_polygons"):
            parts.setdefault(part, {})  # a folder that names no parts could read nothing of what it writes
        self.key = content_key(config, model, self.task, config.max_tokens)

    @torch.inference_mode()
    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """See `core.stages.OneStage`."""
        for number, (image, asked) in enumerate(zip(images, captions, strict=True)):
            for place, caption in enumerate(asked):
                yield number, place, self._one(image, caption)

    def _one(self, image: Image, caption: str) -> Grounded:
        from PIL import Image as Pillow

        made = self.processor(images=Pillow.fromarray(image), text=self.task + caption, return_tensors="pt")
        inputs = {name: value.to(self.model.device) for name, value in made.items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        written = self.model.generate(**inputs, max_new_tokens=self._max_tokens, num_beams=3, do_sample=False)
        text = self.processor.batch_decode(written, skip_special_tokens=False)[0]
        height, width = image.shape[:2]
        found = self.processor.post_process_generation(text, task=self.task, image_size=(width, height))[self.task]
        boxes = np.asarray(found.get("bboxes", []), np.float32).reshape(-1, 4)
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        candidates = Candidates(boxes, np.ones(len(boxes), np.float32))
        return Grounded(candidates, scored=False, unparsed=not len(boxes), tokens=int(written.shape[1]))


def load(config: OneStageConfig, device: str) -> Florence2:
    """The model of a checkpoint; InputError when it is no Florence-2."""
    from transformers import Florence2ForConditionalGeneration

    model, processor = load_parts(config, Florence2ForConditionalGeneration, device)
    require_numbers(config.weights, *model.parameters())  # it would write words all the same
    return Florence2(model, processor, config)
