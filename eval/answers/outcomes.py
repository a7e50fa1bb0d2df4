"""What became of each caption: its targets, its answer, and which boxes of the one match which of the other."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.files import open_atomic
from core.runs import RunFolder
from core.values import Annotation, Box, Prediction

HIT_IOU = 0.5  # a hit is strictly above it: the published scorer rounds the IoU, and round(0.5) is 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one caption; `prediction` is None when there was none for it.

    boxes_ltwh: the boxes answered, the best first. iou: of the best box with the target that it overlaps most.
    num_matched: boxes of the answer that match a target, one to one.
    """

    image: str
    annotation: Annotation
    prediction: Prediction | None
    boxes_ltwh: tuple[Box, ...]
    iou: float
    num_matched: int

    @property
    def caption(self) -> str:
        """The caption."""
        return self.annotation.caption

    @property
    def truths_ltwh(self) -> tuple[Box, ...]:
        """The boxes of the caption's targets, none where it describes nothing."""
        return self.annotation.boxes_ltwh

    @property
    def is_exact(self) -> bool:
        """Whether every target is answered and nothing else: F1 = 1, and an empty answer where there is no target."""
        return self.num_matched == len(self.truths_ltwh) == len(self.boxes_ltwh) and self.prediction is not None

    @property
    def hit(self) -> bool:
        """Whether the best box counts; of a caption that describes nothing, whether the answer is empty."""
        return self.iou > HIT_IOU if self.truths_ltwh else self.is_exact


def iou_ltwh(a: Box, b: Box) -> float:
    """Intersection over union of two boxes in plain double arithmetic, as the published scorer computes it."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap)


def outcome_of(image: str, annotation: Annotation, prediction: Prediction | None) -> Outcome:
    """A caption's outcome by the strict rule: boxes match at an IoU above one half, one to one."""
    truths_ltwh = annotation.boxes_ltwh
    boxes = () if prediction is None else tuple(found.box_ltwh for found in prediction.found)
    best = max((iou_ltwh(truth, boxes[0]) for truth in truths_ltwh), default=0.0) if boxes else 0.0
    matched = num_matches(truths_ltwh, boxes, iou_ltwh, lambda iou: iou > HIT_IOU)
    return Outcome(image, annotation, prediction, boxes, best, matched)


def num_matches(
    truths_ltwh: Sequence[Box],
    boxes_ltwh: Sequence[Box],
    overlap: Callable[[Box, Box], float],
    is_match: Callable[[float], bool],
) -> int:
    """How many boxes match a target one to one, greedily by descending overlap (ties: the earlier box, target)."""
    pairs = []
    for t, truth in enumerate(truths_ltwh):
        for b, box in enumerate(boxes_ltwh):
            share = overlap(truth, box)
            if is_match(share):
                pairs.append((-share, b, t))
    if len(pairs) < 2:
        return len(pairs)
    used_truths: set[int] = set()
    used_boxes: set[int] = set()
    for _, b, t in sorted(pairs):
        if t not in used_truths and b not in used_boxes:
            used_truths.add(t)
            used_boxes.add(b)
    return len(used_truths)


def write_outcomes(folder: RunFolder, rows: Iterable[dict[str, Any]]) -> None:
    """Write `outcomes.jsonl`, one row a line."""
    with open_atomic(folder.path / "outcomes.jsonl", "w") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a line of `outcomes.jsonl`: `truth` and `bbox` of one box each, else `truths` and `boxes`."""
    answer, truths = outcome.prediction, [list(box) for box in outcome.truths_ltwh]
    boxes = [list(box) for box in outcome.boxes_ltwh]
    row: dict[str, Any] = {"image": outcome.image, "caption": outcome.caption}
    row |= {"truth": truths[0]} if len(truths) == 1 else {"truths": truths}
    row |= {"boxes": boxes} if len(boxes) > 1 else {"bbox": boxes[0] if boxes else None}
    row |= {"iou": outcome.iou, "hit": outcome.hit, "score": None if answer is None else answer.score}
    row |= {"confidence": None if answer is None else answer.confidence}
    if len(truths) != 1 or len(boxes) > 1:
        row |= {"matched": outcome.num_matched, "exact": outcome.is_exact}
    return row if outcome.annotation.id is None else row | {"id": outcome.annotation.id}
