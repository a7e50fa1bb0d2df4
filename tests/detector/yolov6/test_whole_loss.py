"""The whole loss, assignment included, against one written anew in numpy and doubles, on many random inputs."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detector.yolov6.losses import detection_loss
from detector.yolov6.network import Raw, cell_centres

HEIGHT, WIDTH, BINS = 128, 192, 17
Array = NDArray[np.float64]


def random_raw(rng: np.random.Generator, num_images: int, num_classes: int) -> Raw:
    """A head that says random things, sides of up to 16 strides among them."""
    shapes = [(HEIGHT // s, WIDTH // s, s) for s in (8, 16, 32, 64)]
    centres = torch.cat([cell_centres(*shape, torch.zeros(0, dtype=torch.float64)) for shape in shapes])
    strides = torch.cat([torch.full((h * w,), float(s), dtype=torch.float64) for h, w, s in shapes])
    logits = rng.normal(-1, 2, (num_images, len(strides), num_classes))
    bins = rng.normal(0, 3, (num_images, len(strides), 4, BINS))
    return Raw(torch.tensor(logits), torch.tensor(bins), centres, strides)


def random_targets(rng: np.random.Generator, num_classes: int) -> tuple[Array, NDArray[np.int64]]:
    """None to twelve boxes of 2 to 190 px, some of them twice."""
    num = int(rng.integers(0, 13))
    corner = rng.uniform(0, [WIDTH, HEIGHT], (num, 2))
    boxes = np.concatenate([corner, np.minimum(corner + np.exp(rng.uniform(0.7, 5, (num, 2))), [WIDTH, HEIGHT])], 1)
    if num > 3:
        boxes[1] = boxes[0]
    return boxes, rng.integers(0, num_classes, num)


def overlaps(a_A4: Array, b_B4: Array) -> tuple[Array, Array, Array]:
    """(A, B) intersections, unions and hulls."""
    a, b = a_A4[:, None], b_B4[None]
    common = np.prod(np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0), -1)
    hull = np.prod(np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2]), -1)
    areas = [np.prod(np.maximum(x[..., 2:] - x[..., :2], 0), -1) for x in (a, b)]
    return common, areas[0] + areas[1] - common, hull


def assigned(
    aligned: bool, conf_NK: Array, boxes_N4: Array, centres_N2: Array, strides_N: Array, targets_T4: Array,
    labels_T: NDArray[np.int64],
) -> tuple[dict[int, int], dict[int, float]]:  # fmt: skip
    """Target and confidence to learn of every cell that has one."""
    common, union, _ = overlaps(targets_T4, boxes_N4)
    iou_TN = common / union
    inside_TN = (centres_N2 > targets_T4[:, None, :2]).all(-1) & (centres_N2 < targets_T4[:, None, 2:]).all(-1)
    metric_TN = conf_NK[:, labels_T].T * iou_TN**6
    half = 2.5 * strides_N[:, None]
    common, union, _ = overlaps(targets_T4, np.concatenate([centres_N2 - half, centres_N2 + half], 1))
    rival_TN = iou_TN if aligned else common / union
    claims: dict[int, list[int]] = {}
    for t in range(len(targets_T4)):
        if aligned:
            best = np.argsort(-metric_TN[t] * inside_TN[t], kind="stable")[:13]
            mine = [n for n in best if inside_TN[t, n]]
        else:
            away = np.hypot(*(centres_N2 - (targets_T4[t, :2] + targets_T4[t, 2:]) / 2).T)
            levels = [np.flatnonzero(strides_N == s) for s in np.unique(strides_N)]
            near = np.concatenate([level[np.argsort(away[level], kind="stable")[:9]] for level in levels])
            bound = rival_TN[t, near].mean() + rival_TN[t, near].std(ddof=1)
            mine = [n for n in near if inside_TN[t, n] and rival_TN[t, n] > bound]
        for n in mine:
            claims.setdefault(int(n), []).append(t)
    taken = {n: ts[0] if len(ts) == 1 else int(rival_TN[:, n].argmax()) for n, ts in claims.items()}
    if not aligned:
        return taken, {n: iou_TN[t, n] for n, t in taken.items()}
    score = {}
    for n, t in taken.items():
        own = [m for m, other in taken.items() if other == t]
        score[n] = metric_TN[t, n] / (metric_TN[t, own].max() + 1e-9) * iou_TN[t, own].max()
    return taken, score


def reference(raw: Raw, targets: list[tuple[Array, NDArray[np.int64]]], aligned: bool) -> Array:
    """Varifocal, GIoU and distribution loss, weighted 1, 2.5 and 0.5."""
    logits_BNK, bins_BN4R, centres_N2, strides_N = (part.numpy() for part in raw)
    logs_BN4R = bins_BN4R - np.log(np.exp(bins_BN4R).sum(-1, keepdims=True))
    side_BN4 = (np.exp(logs_BN4R) * np.arange(BINS)).sum(-1) * strides_N[:, None]
    boxes_BN4 = np.concatenate([centres_N2 - side_BN4[..., :2], centres_N2 + side_BN4[..., 2:]], -1)
    sums, whole = np.zeros(3), 0.0
    for logits_NK, logs_N4R, boxes_N4, (targets_T4, labels_T) in zip(
        logits_BNK, logs_BN4R, boxes_BN4, targets, strict=True
    ):
        conf_NK = 1 / (1 + np.exp(-logits_NK))
        where = (conf_NK, boxes_N4, centres_N2, strides_N, targets_T4, labels_T)
        taken, score = assigned(aligned, *where) if len(targets_T4) else ({}, {})
        goal_NK, weight_NK = np.zeros_like(conf_NK), 0.75 * conf_NK**2
        for n, t in taken.items():
            goal_NK[n, labels_T[t]] = weight_NK[n, labels_T[t]] = score[n]
            common, union, hull = (x[0, 0] for x in overlaps(boxes_N4[[n]], targets_T4[[t]]))
            sums[1] += score[n] * (1 - common / union + (hull - union) / hull)
            way = np.concatenate([centres_N2[n] - targets_T4[t, :2], targets_T4[t, 2:] - centres_N2[n]]) / strides_N[n]
            way = way.clip(0, BINS - 1 - 0.01)
            low = way.astype(int)
            sides = np.arange(4)
            loss = (low + 1 - way) * logs_N4R[n, sides, low] + (way - low) * logs_N4R[n, sides, low + 1]
            sums[2] -= score[n] * loss.mean()
        sums[0] -= (weight_NK * (goal_NK * np.log(conf_NK) + (1 - goal_NK) * np.log(1 - conf_NK))).sum()
        whole += sum(score.values())
    return np.array([1.0, 2.5, 0.5]) * sums / max(whole, 1)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_loss_is_the_one_written_anew(aligned: bool) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        num_classes = int(rng.integers(1, 5))
        raw = random_raw(rng, 3, num_classes)
        targets = [random_targets(rng, num_classes) for _ in range(3)]
        distances = raw.bins_BNSR.softmax(-1) @ torch.arange(BINS, dtype=torch.float64) * raw.strides_N[:, None]
        boxes = torch.cat([raw.centres_N2 - distances[..., :2], raw.centres_N2 + distances[..., 2:]], -1)
        given = [(torch.tensor(b), torch.tensor(labels)) for b, labels in targets]
        found = detection_loss(raw, boxes, given, aligned)
        parts = [found[name].item() for name in ("varifocal", "giou", "distribution")]
        np.testing.assert_allclose(parts, reference(raw, targets, aligned), rtol=2e-5, err_msg=f"seed {seed}")
