"""Weighted boxes fusion here against ensemble-boxes: equal to the bit, and how many times as fast.

    python -m benchmarks.fusion [sets=1000]

Each row draws its sets anew and times both in turns, twenty sets at a time, in one thread; the ratio is of the medians.
 Expected: 1e-6 or less apart, and 100 times as fast or more from a hundred boxes a picture on; below that the
call itself (about 15 us) is what is left to save.
"""

import sys
import time
import warnings

import numpy as np
from ensemble_boxes import weighted_boxes_fusion as reference

from core.fusion import SCORE_RULES, fuse_arrays

BLOCK = 20

# name, views, boxes a view, targets' sides in 0..1
CASES = [("3 detectors, 20 boxes each", 3, 20, (0.02, 0.08)), ("3 detectors, 100 boxes each", 3, 100, (0.02, 0.08)),
         ("5 views, 100 boxes each", 5, 100, (0.02, 0.08)), ("3 detectors, 300 boxes each", 3, 300, (0.02, 0.08)),
         ("large random boxes, 3 x 100", 3, 100, (0.1, 0.6))]  # fmt: skip


def draw(rng: np.random.Generator, views: int, num: int, sides: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """(V, N, 4) boxes jittered round N targets and their (V, N) scores."""
    centre, size = rng.uniform(0.1, 0.9, (num, 2)), rng.uniform(*sides, (num, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)[None]
    boxes = boxes + rng.normal(0, 0.1, (views, num, 4)) * np.tile(size, 2)
    low, high = np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])
    return np.concatenate([low, high], axis=-1).clip(0, 1), rng.uniform(0.001, 1, (views, num))


def measure(sets: int, views: int, num: int, sides: tuple[float, float]) -> tuple[float, float, float]:
    """Median seconds of the reference and of ours, and the largest difference of any box side or score."""
    rng = np.random.default_rng(num)
    theirs_s, ours_s, apart = [], [], 0.0
    for start in range(0, sets, BLOCK):
        drawn = [draw(rng, views, num, sides) for _ in range(BLOCK)]
        settings = [(rng.uniform(0.2, 2, views), float(rng.uniform(0.3, 0.7)), SCORE_RULES[(start + i) % 4])
                    for i in range(BLOCK)]  # fmt: skip
        lists = [([b.tolist() for b in boxes], [s.tolist() for s in scores]) for boxes, scores in drawn]
        labels, view = [[0] * num] * views, np.repeat(np.arange(views), num)
        began = time.perf_counter()
        expected = [reference(*given, labels, weights=weights, iou_thr=iou, skip_box_thr=0.0, conf_type=rule)
                    for given, (weights, iou, rule) in zip(lists, settings, strict=True)]  # fmt: skip
        between = time.perf_counter()
        fused = [fuse_arrays(boxes.reshape(-1, 4), scores.reshape(-1), view, weights, iou, 0.0, rule)
                 for (boxes, scores), (weights, iou, rule) in zip(drawn, settings, strict=True)]  # fmt: skip
        ended = time.perf_counter()
        for ours, theirs in zip(fused, expected, strict=True):
            if ours[0].shape != theirs[0].shape:
                raise SystemExit(f"{len(ours[0])} boxes here, {len(theirs[0])} there")
            apart = max(apart, np.abs(ours[0] - theirs[0]).max(initial=0), np.abs(ours[1] - theirs[1]).max(initial=0))
        theirs_s.append((between - began) / BLOCK)
        ours_s.append((ended - between) / BLOCK)
    return float(np.median(theirs_s)), float(np.median(ours_s)), float(apart)


def main() -> None:
    """Print one row a case."""
    warnings.simplefilter("ignore")
    sets = int(dict(word.split("=") for word in sys.argv[1:]).get("sets", 1000))
    measure(4, 2, 10, (0.02, 0.08))  # compile
    print(f"{'case':<30} {'ensemble-boxes':>15} {'here':>10} {'ratio':>7} {'apart':>9}")
    for name, views, num, sides in CASES:
        theirs, ours, apart = measure(max(40, sets * 60 // (views * num)), views, num, sides)
        print(f"{name:<30} {theirs * 1e6:>12.0f} us {ours * 1e6:>7.0f} us {theirs / ours:>6.0f}x {apart:>9.1e}")


if __name__ == "__main__":
    main()
