"""What the network is trained on: varifocal loss of classes, GIoU of boxes, focal loss of the distances' distribution.

B images, N cells, K classes, P cells that have a target, S the four sides, R bins a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from detector.yolov6.assigning import Cells, assign_aligned, assign_atss
from detector.yolov6.network import Raw

ALPHA, GAMMA = 0.75, 2.0  # of the varifocal loss: weight of cells without target, and how it falls with confidence
REACH = 0.01  # distances are learned up to this much less than the last bin, so that a bin is left above them


@dataclass(frozen=True, slots=True)
class LossWeights:
    """The parts of the sum, as published."""

    varifocal: float = 1.0
    giou: float = 2.5
    distribution: float = 0.5


def detection_loss(
    raw: Raw, boxes_xyxy: Tensor, targets: Sequence[tuple[Tensor, Tensor]], aligned: bool,
    weights: LossWeights = LossWeights(),
) -> dict[str, Tensor]:  # fmt: skip
    """The loss of a batch: its sum under `loss`, and its three parts, weighted.

    raw: what the head said; boxes_xyxy: (B, N, 4) in pixels, as the network makes them of it; targets: per image (T, 4)
    boxes in pixels and (T,) labels; aligned: assign by task alignment rather than by ATSS. Every part is divided by the
    sum of the confidences to learn, where that is more than 1.
    """
    assign = assign_aligned if aligned else assign_atss
    confidences_BNK = raw.logits_BNK.detach().sigmoid().float()
    found = [
        assign(Cells(raw.centres_N2.float(), raw.strides_N.float(), *cells), boxes.float(), labels)
        for (*cells,), (boxes, labels) in zip(
            zip(confidences_BNK, boxes_xyxy.detach().float(), strict=True), targets, strict=True
        )
    ]
    scores_BNK, labels_BN, boxes_BN4, positive_BN = (torch.stack(part) for part in zip(*found, strict=True))
    whole = scores_BNK.sum().clamp(min=1)
    weight_P = scores_BNK.sum(-1)[positive_BN]
    strides_P1 = raw.strides_N.expand(positive_BN.shape)[positive_BN][:, None]
    target_P4, centre_P2 = boxes_BN4[positive_BN], raw.centres_N2.expand(*positive_BN.shape, 2)[positive_BN]
    giou_P = giou_loss(boxes_xyxy[positive_BN] / strides_P1, target_P4 / strides_P1)
    distances_PS = torch.cat([centre_P2 - target_P4[:, :2], target_P4[:, 2:] - centre_P2], 1) / strides_P1
    distribution_P = distribution_loss(raw.bins_BNSR[positive_BN], distances_PS)
    parts = {
        "varifocal": weights.varifocal * varifocal_loss(raw.logits_BNK, scores_BNK, labels_BN) / whole,
        "giou": weights.giou * (giou_P * weight_P).sum() / whole,
        "distribution": weights.distribution * (distribution_P * weight_P).sum() / whole,
    }
    return {"loss": sum(parts.values(), torch.zeros((), device=whole.device)), **parts}


def varifocal_loss(logits_BNK: Tensor, scores_BNK: Tensor, labels_BN: Tensor) -> Tensor:
    """The sum of the cross entropies with the confidences to learn.

    A cell's own class weighs as much as its confidence to learn, any other 0.75 times its present confidence squared.
    Source: Zhang et al., arXiv 2008.13367.
    """
    num_classes = logits_BNK.shape[-1]
    own_BNK = F.one_hot(labels_BN, num_classes + 1)[..., :num_classes]
    confidences_BNK = logits_BNK.float().sigmoid()
    weight_BNK = ALPHA * confidences_BNK.pow(GAMMA) * (1 - own_BNK) + scores_BNK * own_BNK
    entropy_BNK = F.binary_cross_entropy_with_logits(logits_BNK.float(), scores_BNK.float(), reduction="none")
    return (entropy_BNK * weight_BNK).sum()


def giou_loss(boxes_P4: Tensor, targets_P4: Tensor, eps: float = 1e-10) -> Tensor:
    """(P,) 1 - generalised IoU, 0 to 2. Source: Rezatofighi et al., arXiv 1902.09630."""
    sizes = [box[:, 2:] - box[:, :2] for box in (boxes_P4, targets_P4)]
    common_P2 = torch.minimum(boxes_P4[:, 2:], targets_P4[:, 2:]) - torch.maximum(boxes_P4[:, :2], targets_P4[:, :2])
    hull_P2 = torch.maximum(boxes_P4[:, 2:], targets_P4[:, 2:]) - torch.minimum(boxes_P4[:, :2], targets_P4[:, :2])
    common_P = common_P2.clamp(min=0).prod(-1)
    union_P = sizes[0].prod(-1) + sizes[1].prod(-1) - common_P + eps
    hull_P = hull_P2.prod(-1) + eps
    return 1 - (common_P / union_P - (hull_P - union_P) / hull_P)


def distribution_loss(bins_PSR: Tensor, distances_PS: Tensor) -> Tensor:
    """(P,) cross entropy with the two bins about each distance, weighted by nearness; the mean of the four sides.

    bins_PSR: logits; distances_PS: in strides, clipped to what the bins reach. Source: Li et al., arXiv 2006.04388.
    """
    distances_PS = distances_PS.clamp(0, bins_PSR.shape[-1] - 1 - REACH)
    lower_PS = distances_PS.long()
    share_PS = distances_PS - lower_PS
    logs_PSR = bins_PSR.float().log_softmax(-1)
    lower = logs_PSR.gather(-1, lower_PS[..., None])[..., 0]
    upper = logs_PSR.gather(-1, lower_PS[..., None] + 1)[..., 0]
    return -(lower * (1 - share_PS) + upper * share_PS).mean(-1)
