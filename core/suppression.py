"""Non-maximum suppression without a clock: the same boxes on any machine, however slow."""

import numpy as np
from numpy.typing import NDArray

from core.boxes import iou_matrix
from core.values import Candidates


def nms(
    boxes_xyxy: NDArray[np.floating], confidence: NDArray[np.floating], nms_iou: float, max_det: int | None = None
) -> NDArray[np.intp]:
    """Indices that greedy suppression keeps, by descending confidence (ties: the earlier box first), `max_det` at most.

    A box goes when its IoU with a kept one is above `nms_iou`. Computed in float32 as torchvision.ops.nms does, whose
    result it equals. boxes_xyxy: (N, 4) pixels; confidence: (N,).
    """
    boxes = np.ascontiguousarray(boxes_xyxy, dtype=np.float32)
    order = np.argsort(-np.asarray(confidence), kind="stable")
    x1, y1, x2, y2 = (np.ascontiguousarray(boxes[order, i]) for i in range(4))
    areas = (x2 - x1) * (y2 - y1)
    threshold = np.float64(nms_iou)  # torchvision compares its float32 overlap with a double
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        if max_det is not None and len(kept) >= max_det:
            break
        kept.append(i)
        rest = slice(i + 1, None)
        width = np.maximum(np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]), 0)
        height = np.maximum(np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]), 0)
        overlap = width * height
        with np.errstate(invalid="ignore", divide="ignore"):
            # 0/0 gives NaN, which compares false: boxes without area suppress nothing, as in torchvision.
            alive[rest] &= ~(overlap / (areas[i] + areas[rest] - overlap) > threshold)
    return order[np.asarray(kept, dtype=np.intp)]


def cut(candidates: Candidates, confidence: float, nms_iou: float | None, max_det: int | None) -> Candidates:
    """What remains of one view's candidates: confidence >= `confidence`, then NMS, then the `max_det` most confident.

    `nms_iou=None` suppresses nothing and `max_det=None` keeps all; the result is by descending confidence either way.
    """
    passed = candidates.take(candidates.confidence >= np.float32(confidence))
    if nms_iou is None:
        order = np.argsort(-passed.confidence, kind="stable")
    else:
        order = nms(passed.boxes_xyxy, passed.confidence, nms_iou, max_det)
    return passed.take(order[:max_det])


def vote(kept: Candidates, proposals: Candidates, vote_iou: float) -> Candidates:
    """Each kept box moved to the mean of the proposals that overlap it by `vote_iou` or more; its confidence stays.

    The mean weighs a proposal by its IoU with the kept box times its confidence. proposals: all that one view has,
    also those that NMS and a cut by confidence left out, so that a box does not hang on the cuts. Source: Gidaris and
    Komodakis, Object Detection via a Multi-region and Semantic Segmentation-aware CNN Model (2015), arXiv:1505.01749.
    """
    voted = np.array(kept.boxes_xyxy, np.float32)
    for place, box in enumerate(kept.boxes_xyxy):
        overlap_N = iou_matrix(box[None], proposals.boxes_xyxy)[0]
        voters = np.flatnonzero((overlap_N >= vote_iou) & (overlap_N > 0))
        weight_V1 = (overlap_N[voters] * proposals.confidence[voters].astype(np.float64))[:, None]
        total = weight_V1.sum()
        if total > 0:  # a box without area overlaps nothing, itself included
            voted[place] = (weight_V1 * proposals.boxes_xyxy[voters]).sum(axis=0) / total
    return Candidates(voted, kept.confidence)
