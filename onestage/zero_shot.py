"""transformers' zero-shot detectors: Grounding DINO, MM-Grounding-DINO (LLMDet), OmDet-Turbo, OWLv2 and OWL-ViT.

Shapes: Q queries (boxes) of an image, M captions, T text tokens.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from core.errors import InputError
from core.stages import Image
from core.values import Candidates, Grounded
from onestage.settings import OneStageConfig
from onestage.weights import content_key, load_parts, require_numbers

DINO, OMDET, OWL = {"grounding-dino", "mm-grounding-dino"}, {"omdet-turbo"}, {"owlv2", "owlvit"}
OMDET_NMS_IOU = 0.5  # inside the library's post-processing, its own default
OMDET_TOKENS = 77  # the processor's


class ZeroShotModel:
    """A model of `AutoModelForZeroShotObjectDetection` as `core.stages.OneStage`.

    Boxes and confidences are those of the library's own post-processing at threshold `floor`, but for OWLv2: there each
    caption keeps its confidence for every box, where the library leaves a box to its best caption alone.
    """

    def __init__(self, model: Any, processor: Any, config: OneStageConfig) -> None:
        self.model, self.processor, self._floor, self._weights = model, processor, config.floor, config.weights
        self.kind = str(model.config.model_type)
        if self.kind not in DINO | OMDET | OWL:
            raise InputError(f"{config.weights}: a {self.kind} is none of {', '.join(sorted(DINO | OMDET | OWL))}")
        self.per_caption = self.kind not in OWL
        self.key = content_key(config, model, OMDET_NMS_IOU if self.kind in OMDET else None)

    @torch.inference_mode()
    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """See `core.stages.OneStage`."""
        for number, (image, asked) in enumerate(zip(images, captions, strict=True)):
            if self.kind in OWL and asked:
                for place, found in enumerate(self._owl(image, asked)):
                    yield number, place, found
            elif self.kind not in OWL:
                one = self._dino if self.kind in DINO else self._omdet
                for place, caption in enumerate(asked):
                    yield number, place, one(image, caption)

    def _inputs(self, image: Image, **texts: Any) -> Any:
        made = self.processor(images=image, return_tensors="pt", input_data_format="channels_last", **texts)
        dtype = self.model.dtype
        return {
            name: value.to(self.model.device, dtype if torch.is_floating_point(value) else None)
            for name, value in made.items()
            if isinstance(value, torch.Tensor)
        }

    def _dino(self, image: Image, caption: str) -> Grounded:
        text, most = dino_text(caption), int(getattr(self.model.config, "max_text_len", 256))
        truncated = len(self.processor.tokenizer(text)["input_ids"]) > most
        inputs = self._inputs(image, text=[text], truncation=True, max_length=most)
        out = self.model(**inputs)
        height, width = image.shape[:2]
        confidence = out.logits[0].float().sigmoid().amax(dim=-1)
        return self._kept(corners(out.pred_boxes[0].float(), width, height), confidence, truncated)

    def _omdet(self, image: Image, caption: str) -> Grounded:
        truncated = len(self.processor.tokenizer(caption)["input_ids"]) > OMDET_TOKENS
        # alone: the task's words name every caption asked along with it, so its answer would hang on the others
        inputs = self._inputs(image, text=[[caption]])
        out = self.model(**inputs)
        require_numbers(self._weights, out.decoder_coord_logits, out.decoder_class_logits.sigmoid())
        found = self.processor.post_process_grounded_object_detection(
            out, text_labels=[[caption]], threshold=self._floor, nms_threshold=OMDET_NMS_IOU,
            target_sizes=[image.shape[:2]],
        )[0]  # fmt: skip
        return self._kept(found["boxes"].float(), found["scores"].float(), truncated)

    def _owl(self, image: Image, captions: Sequence[str]) -> list[Grounded]:
        most = int(self.model.config.text_config.max_position_embeddings)
        lengths = [len(ids) for ids in self.processor.tokenizer(list(captions))["input_ids"]]
        inputs = self._inputs(image, text=[list(captions)], truncation=True, max_length=most)
        out = self.model(**inputs)
        height, width = image.shape[:2]
        # OWLv2 sees the image padded to a square at the right and the bottom, OWL-ViT stretched to one
        sides = (max(height, width),) * 2 if self.kind == "owlv2" else (width, height)
        boxes = corners(out.pred_boxes[0].float(), *sides)
        confidence_QM = out.logits[0].float().sigmoid()
        return [self._kept(boxes, confidence_QM[:, m], lengths[m] > most) for m in range(len(captions))]

    def _kept(self, boxes: torch.Tensor, confidence: torch.Tensor, truncated: bool) -> Grounded:
        require_numbers(self._weights, boxes, confidence)
        keep = confidence > self._floor
        return Grounded(candidates_of_tensors(boxes[keep], confidence[keep]), truncated=truncated)


def dino_text(caption: str) -> str:
    """The caption as Grounding DINO was trained to read one: lower case and ended by the only full stop.

    The library does this for a list of labels without full stops and passes anything else on as it stands; within a
    caption a full stop would part it into two.
    """
    return " ".join(caption.lower().replace(".", " ").split()) + "."


def corners(boxes_cxcywh: torch.Tensor, width: float, height: float) -> torch.Tensor:
    """(Q, 4) centre, width, height in 0..1 -> (Q, 4) xyxy pixels."""
    x, y, w, h = boxes_cxcywh.unbind(-1)
    relative = torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=-1)
    return relative * torch.tensor([width, height, width, height], dtype=relative.dtype, device=relative.device)


def candidates_of_tensors(boxes_xyxy: torch.Tensor, confidence: torch.Tensor) -> Candidates:
    """The boxes by descending confidence, ties in the model's order."""
    order = torch.argsort(-confidence, stable=True)
    boxes = boxes_xyxy[order].cpu().numpy().astype(np.float32).reshape(-1, 4)
    return Candidates(boxes, confidence[order].cpu().numpy().astype(np.float32))


def load(config: OneStageConfig, device: str) -> ZeroShotModel:
    """The model of a checkpoint; InputError when it is no zero-shot detector."""
    from transformers import AutoModelForZeroShotObjectDetection

    model, processor = load_parts(config, AutoModelForZeroShotObjectDetection, device)
    return ZeroShotModel(model, processor, config)
