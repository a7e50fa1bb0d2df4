"""The three losses and their sum: toys with a known answer, and references of a few lines."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from detector.yolov6.assigning import Cells, assign_aligned, assign_atss
from detector.yolov6.graph import Graph
from detector.yolov6.losses import detection_loss, distribution_loss, giou_loss, varifocal_loss
from detector.yolov6.network import YoloV6


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_varifocal_loss_is_the_formula_written_out() -> None:
    rng = np.random.default_rng(0)
    logits, scores, labels = rng.normal(0, 2, (2, 7, 3)), rng.random((2, 7, 3)), rng.integers(0, 4, (2, 7))
    scores *= np.arange(3) == labels[..., None]
    total = 0.0
    for at in np.ndindex(logits.shape):
        p, q = sigmoid(logits[at]), scores[at]
        entropy = -q * math.log(p) - (1 - q) * math.log(1 - p)
        total += entropy * (q if at[2] == labels[at[:2]] else 0.75 * p**2)
    found = varifocal_loss(torch.tensor(logits), torch.tensor(scores), torch.tensor(labels))
    assert found.item() == pytest.approx(total, rel=1e-5)
    # A cell without target at logit 0: 0.75 / 4 * log 2. Its own class at confidence 1 to learn: log 2.
    one = torch.zeros(1, 1, 1)
    assert varifocal_loss(one, one, torch.ones(1, 1).long()).item() == pytest.approx(0.75 / 4 * math.log(2))
    assert varifocal_loss(one, one + 1, torch.zeros(1, 1).long()).item() == pytest.approx(math.log(2))


def test_giou_loss_is_torchvisions() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(200, 4, generator=rng, dtype=torch.float64) * 10 for _ in range(2))
    a[:, 2:] += a[:, :2]
    b[:, 2:] += b[:, :2]
    torch.testing.assert_close(giou_loss(a, b), generalized_box_iou_loss(a, b, eps=0), rtol=1e-8, atol=1e-8)
    # Equal boxes: 0. Unit squares a unit apart: no overlap, a hull of 3 with 2 covered, so 1 + 1/3.
    square = torch.tensor([[0.0, 0, 1, 1]])
    assert giou_loss(square, square).item() == pytest.approx(0)
    assert giou_loss(square, square + torch.tensor([2.0, 0, 2, 0])).item() == pytest.approx(4 / 3)


def test_distribution_loss_is_the_formula_written_out() -> None:
    rng = np.random.default_rng(0)
    bins, distances = rng.normal(0, 1, (9, 4, 17)), rng.uniform(-2, 20, (9, 4))
    total = np.zeros(9)
    for i, j in np.ndindex(9, 4):
        y = min(max(distances[i, j], 0), 15.99)
        log_share = bins[i, j] - np.log(np.exp(bins[i, j]).sum())
        low = int(y)
        total[i] -= ((low + 1 - y) * log_share[low] + (y - low) * log_share[low + 1]) / 4
    found = distribution_loss(torch.tensor(bins), torch.tensor(distances))
    np.testing.assert_allclose(found, total, rtol=1e-5)
    # Equally likely bins: log 17, wherever the side is.
    assert distribution_loss(torch.zeros(1, 4, 17), torch.tensor([[0.0, 3.3, 9, 40]])).item() == pytest.approx(
        math.log(17)
    )


@pytest.mark.parametrize("aligned", [False, True])
def test_the_sum_is_of_its_parts_over_all_images(aligned: bool) -> None:
    torch.manual_seed(0)
    model = YoloV6(Graph(num_classes=2, width=0.0625, depth=0.1)).eval()
    for p in (*model.detect.cls_preds.parameters(), *model.detect.reg_preds.parameters()):
        torch.nn.init.normal_(p, 0, 0.3)
    raw = model.raw(torch.rand(3, 3, 64, 128))
    boxes = model.boxes_xyxy(raw)
    none = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    some = (torch.tensor([[10.0, 10, 50, 40], [60, 5, 120, 60]]), torch.tensor([1, 0]))
    targets = [some, none, (some[0] + 3, some[1])]
    found = detection_loss(raw, boxes, targets, aligned)
    assign = assign_aligned if aligned else assign_atss
    sums, whole = np.zeros(3), 0.0
    for i, (target, labels) in enumerate(targets):
        cells = Cells(raw.centres_N2, raw.strides_N, raw.logits_BNK[i].detach().sigmoid(), boxes[i].detach())
        one = assign(cells, target, labels)
        whole += one.scores_NK.sum().item()
        sums[0] += varifocal_loss(raw.logits_BNK[i], one.scores_NK, one.labels_N).item()
        for n in one.positive_N.nonzero()[:, 0].tolist():
            weight, stride = one.scores_NK[n].sum().item(), raw.strides_N[n]
            sums[1] += weight * generalized_box_iou_loss(boxes[i, n], one.boxes_N4[n], eps=0).item()
            sides = torch.cat([raw.centres_N2[n] - one.boxes_N4[n, :2], one.boxes_N4[n, 2:] - raw.centres_N2[n]])
            sums[2] += weight * distribution_loss(raw.bins_BNSR[i, n][None], (sides / stride)[None]).item()
    wanted = np.array([1.0, 2.5, 0.5]) * sums / max(whole, 1)
    names = ("varifocal", "giou", "distribution")
    np.testing.assert_allclose([found[n].item() for n in names], wanted, rtol=1e-4)
    assert found["loss"].item() == pytest.approx(wanted.sum(), rel=1e-4)
    found["loss"].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_batch_without_any_target_teaches_silence() -> None:
    model = YoloV6(Graph(num_classes=1, width=0.0625, depth=0.1))
    raw = model.raw(torch.rand(2, 3, 64, 64))
    none = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    found = detection_loss(raw, model.boxes_xyxy(raw), [none, none], aligned=True)
    cells = 2 * (64 + 16 + 4 + 1)
    assert found["loss"].item() == pytest.approx(cells * 0.75 * 0.01**2 * -math.log(0.99), rel=1e-3)
    found["loss"].backward()
