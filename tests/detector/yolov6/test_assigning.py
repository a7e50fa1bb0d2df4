"""Both assignments: toys with a known answer, and loops of a few lines over random boxes."""

import numpy as np
import pytest
import torch

from detector.yolov6.assigning import Cells, assign_aligned, assign_atss, iou
from detector.yolov6.network import cell_centres

HEIGHT, WIDTH = 128, 192


def make_cells(seed: int = 0, num_classes: int = 2, strides: tuple[int, ...] = (8, 16, 32, 64)) -> Cells:
    """Cells that say random things about where they are."""
    rng = torch.Generator().manual_seed(seed)
    shapes = [(HEIGHT // s, WIDTH // s, s) for s in strides]
    centres = torch.cat([cell_centres(h, w, s, torch.zeros(0)) for h, w, s in shapes])
    stride = torch.cat([torch.full((h * w,), float(s)) for h, w, s in shapes])
    reach = stride[:, None] * torch.rand(len(stride), 4, generator=rng) * 4
    boxes = torch.cat([centres - reach[:, :2], centres + reach[:, 2:]], 1)
    return Cells(centres, stride, torch.rand(len(stride), num_classes, generator=rng), boxes)


def make_targets(seed: int, num: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping boxes of 10 to 90 px, of two classes."""
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, [WIDTH - 90, HEIGHT - 90], (num, 2)), rng.uniform(10, 90, (num, 2))
    return torch.tensor(np.concatenate([corner, corner + size], 1), dtype=torch.float32), torch.arange(num) % 2


def overlap(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def holds(box: list[float], centre: list[float]) -> bool:
    return box[0] < centre[0] < box[2] and box[1] < centre[1] < box[3]


def settle(claims: list[list[int]], ious: np.ndarray) -> dict[int, int]:
    """Target of each claimed cell."""
    claimed: dict[int, list[int]] = {}
    for target, cells in enumerate(claims):
        for cell in cells:
            claimed.setdefault(cell, []).append(target)
    return {c: ts[0] if len(ts) == 1 else int(ious[:, c].argmax()) for c, ts in claimed.items()}


def by_loops_atss(cells: Cells, targets: list[list[float]]) -> tuple[dict[int, int], dict[int, float]]:
    centres, strides, boxes = cells.centres_N2.tolist(), cells.strides_N.tolist(), cells.boxes_N4.tolist()
    squares = [[x - 2.5 * s, y - 2.5 * s, x + 2.5 * s, y + 2.5 * s] for (x, y), s in zip(centres, strides, strict=True)]
    ious = np.asarray([[overlap(t, square) for square in squares] for t in targets])
    claims = []
    for number, t in enumerate(targets):
        chosen: list[int] = []
        for stride in (8, 16, 32, 64):
            level = [i for i, s in enumerate(strides) if s == stride]
            away = [np.hypot((t[0] + t[2]) / 2 - centres[i][0], (t[1] + t[3]) / 2 - centres[i][1]) for i in level]
            chosen += [level[i] for i in np.argsort(away, kind="stable")[:9]]
        least = ious[number, chosen].mean() + ious[number, chosen].std(ddof=1)
        claims.append([i for i in chosen if ious[number, i] > least and holds(t, centres[i])])
    taken = settle(claims, ious)
    return taken, {c: overlap(targets[t], boxes[c]) for c, t in taken.items()}


def by_loops_aligned(
    cells: Cells, targets: list[list[float]], labels: list[int]
) -> tuple[dict[int, int], dict[int, float]]:
    centres, boxes, confidences = cells.centres_N2.tolist(), cells.boxes_N4.tolist(), cells.confidences_NK.tolist()
    ious = np.asarray([[overlap(t, b) for b in boxes] for t in targets])
    metric = np.asarray([[c[k] for c in confidences] for k in labels]) * ious**6
    claims = []
    for number, t in enumerate(targets):
        within = [i for i in range(len(centres)) if holds(t, centres[i])]
        claims.append(sorted(within, key=lambda i: -metric[number, i])[:13])
    taken = settle(claims, ious)
    score = {}
    for c, t in taken.items():
        mine = [i for i, owner in taken.items() if owner == t]
        score[c] = metric[t, c] / max(metric[t, i] for i in mine) * max(ious[t, i] for i in mine)
    return taken, score


@pytest.mark.parametrize("seed", range(6))
def test_both_are_what_loops_find(seed: int) -> None:
    cells, (boxes, labels) = make_cells(seed), make_targets(seed)
    for found, (taken, scores) in (
        (assign_atss(cells, boxes, labels), by_loops_atss(cells, boxes.tolist())),
        (assign_aligned(cells, boxes, labels), by_loops_aligned(cells, boxes.tolist(), labels.tolist())),
    ):
        assert taken
        assert found.positive_N.nonzero()[:, 0].tolist() == sorted(taken)
        for cell, target in taken.items():
            assert torch.equal(found.boxes_N4[cell], boxes[target])
            assert found.labels_N[cell] == labels[target]
            wanted = np.zeros(2)
            wanted[labels[target]] = scores[cell]
            np.testing.assert_allclose(found.scores_NK[cell], wanted, rtol=1e-4, atol=1e-7)
        assert found.scores_NK.sum() == pytest.approx(sum(scores.values()), rel=1e-4)
        assert (found.labels_N == 2).sum() == len(cells.strides_N) - len(taken)


def test_atss_of_one_target_on_one_cell() -> None:
    """A target that is one cell's square: IoU 1 there, less at the others, so it alone passes mean + deviation."""
    cells = make_cells()
    cell = 5 * (WIDTH // 8) + 9
    x, y = cells.centres_N2[cell].tolist()
    target = torch.tensor([[x - 20, y - 20, x + 20, y + 20]])
    cells.boxes_N4[cell] = torch.tensor([x - 20, y - 20, x + 20, y])
    found = assign_atss(cells, target, torch.tensor([1]))
    assert found.scores_NK[cell].tolist() == pytest.approx([0, 0.5])
    level = iou(target, torch.cat([cells.centres_N2 - 20, cells.centres_N2 + 20], 1))[0, : HEIGHT * WIDTH // 64]
    assert level[cell] == pytest.approx(1)
    assert found.positive_N[cell]
    # A neighbour's square is shifted by 8 of 40 px: IoU 32 / 48.
    assert level[cell + 1] == pytest.approx(32 / 48)


def test_alignment_of_one_target_gives_its_best_cell_its_iou() -> None:
    cells = make_cells(num_classes=1)
    target = torch.tensor([[40.0, 40, 80, 80]])
    cells.boxes_N4.copy_(torch.tensor([70.0, 70, 110, 110]))
    middle = next(i for i, c in enumerate(cells.centres_N2.tolist()) if c == [60, 60])
    other = next(i for i, c in enumerate(cells.centres_N2.tolist()) if c == [68, 60])
    cells.confidences_NK.fill_(0.5)
    cells.boxes_N4[middle] = torch.tensor([40.0, 40, 80, 72])  # IoU 0.8
    cells.boxes_N4[other] = torch.tensor([40.0, 40, 80, 60])  # IoU 0.5
    found = assign_aligned(cells, target, torch.tensor([0]))
    assert found.scores_NK[middle].item() == pytest.approx(0.8)
    assert found.scores_NK[other].item() == pytest.approx(0.8 * 0.5**6 / 0.8**6, rel=1e-4)
    assert int(found.positive_N.sum()) == 13  # others inside are taken too, with next to nothing to learn


def test_without_targets_nothing_is_found() -> None:
    cells = make_cells()
    for assign in (assign_atss, assign_aligned):
        found = assign(cells, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
        assert not found.positive_N.any()
        assert not found.scores_NK.any()
        assert (found.labels_N == 2).all()
