"""Weighted boxes fusion here against ensemble-boxes: how far apart, and how many times as fast.

    python -m benchmarks.fusion [sets=1000]

Each row draws its sets anew and times both in turns, twenty sets at a time, in one thread; the ratio is of the medians.
Ours is the whole public call, from the detector's single-precision candidates to fused candidates; theirs is given
plain lists, which it is fastest with. `loops` is our compiled part alone, on arrays as ready as their lists are.

Expected: 1e-6 or less apart; for the random sets, which are what an ensemble gives, 100 times as fast or more. With
twenty boxes a view or fewer, the call itself (about 12 us) is most of what is left.
"""

import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
from ensemble_boxes import weighted_boxes_fusion as reference

from benchmarks.recording import record, take_json
from core.fusion import SCORE_RULES, fuse_arrays, weighted_boxes_fusion
from core.values import Candidates

BLOCK = 20

Views = list[Candidates]
Range = tuple[int, int]

# name, views (least, most), boxes a view (least, most), targets' sides in 0..1
CASES: list[tuple[str, Range, Range, tuple[float, float]]] = [
    ("random: 2 to 5 views, 0 to 100 boxes", (2, 5), (0, 100), (0.02, 0.3)),
    ("3 detectors, 20 boxes each", (3, 3), (20, 20), (0.02, 0.08)),
    ("3 detectors, 100 boxes each", (3, 3), (100, 100), (0.02, 0.08)),
    ("5 views, 100 boxes each", (5, 5), (100, 100), (0.02, 0.08)),
    ("3 detectors, 300 boxes each", (3, 3), (300, 300), (0.02, 0.08)),
    ("large random boxes, 3 x 100", (3, 3), (100, 100), (0.1, 0.6)),
]


def draw(rng: np.random.Generator, views: Range, boxes: Range, sides: tuple[float, float]) -> Views:
    """A few views' boxes jittered round common targets, in 0..1."""
    num = int(rng.integers(boxes[0], boxes[1] + 1))
    centre, size = rng.uniform(0.1, 0.9, (num, 2)), rng.uniform(*sides, (num, 2))
    target = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    drawn = []
    for _ in range(int(rng.integers(views[0], views[1] + 1))):
        seen = target + rng.normal(0, 0.1, (num, 4)) * np.tile(size, 2)
        low, high = np.minimum(seen[:, :2], seen[:, 2:]), np.maximum(seen[:, :2], seen[:, 2:])
        together = np.concatenate([low, high], axis=1).clip(0, 1)
        drawn.append(Candidates(together.astype(np.float32), rng.uniform(0.001, 1, num).astype(np.float32)))
    return drawn


def stacked(views: Views) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The views' boxes and scores in one array each, and how many each view has."""
    boxes, scores = np.concatenate([v.boxes_xyxy for v in views]), np.concatenate([v.confidence for v in views])
    return boxes, scores, np.array([len(v) for v in views])


def measure(sets: int, case: tuple[Range, Range, tuple[float, float]]) -> tuple[np.ndarray, float]:
    """Median seconds a set of the reference, of ours and of our loops; the largest difference of a side or score."""
    rng = np.random.default_rng(sum(case[1]))
    times, apart = [], 0.0
    for start in range(0, sets, BLOCK):
        drawn = [draw(rng, *case) for _ in range(BLOCK)]
        settings = [
            (rng.uniform(0.2, 2, len(views)), float(rng.uniform(0.3, 0.7)), SCORE_RULES[(start + i) % 4])
            for i, views in enumerate(drawn)
        ]
        lists = [([v.boxes_xyxy.tolist() for v in views], [v.confidence.tolist() for v in views]) for views in drawn]
        labels = [[[0] * len(v) for v in views] for views in drawn]
        arrays = [stacked(views) for views in drawn]
        marks = [time.perf_counter()]
        theirs = [
            reference(*given, label, weights=weights, iou_thr=iou, skip_box_thr=0.0, conf_type=rule)
            for given, label, (weights, iou, rule) in zip(lists, labels, settings, strict=True)
        ]
        marks.append(time.perf_counter())
        ours = [
            weighted_boxes_fusion(views, weights, iou, score_rule=rule)  # type: ignore[arg-type]
            for views, (weights, iou, rule) in zip(drawn, settings, strict=True)
        ]
        marks.append(time.perf_counter())
        for given, (weights, iou, rule) in zip(arrays, settings, strict=True):
            fuse_arrays(*given, weights, iou, 0.0, rule)
        marks.append(time.perf_counter())
        for fused, expected in zip(ours, theirs, strict=True):
            if fused.boxes_xyxy.shape != expected[0].shape:
                raise SystemExit(f"{len(fused)} boxes here, {len(expected[0])} there")
            apart = max(apart, np.abs(fused.boxes_xyxy - expected[0]).max(initial=0))
            apart = max(apart, np.abs(fused.confidence - expected[1]).max(initial=0))
        times.append(np.diff(marks) / BLOCK)
    return np.median(times, axis=0), float(apart)


def main() -> None:
    """Print one row a case."""
    warnings.simplefilter("ignore")
    file = take_json()
    sets = int(dict(word.split("=") for word in sys.argv[1:]).get("sets", 1000))
    measure(BLOCK, ((2, 2), (10, 10), (0.02, 0.08)))  # compile
    print(", ".join(f"{name} {version(name)}" for name in ("ensemble-boxes", "numba", "numpy")))
    print(f"{'case':<38} {'sets':>5} {'ensemble-boxes':>15} {'here':>10} {'ratio':>6} {'loops':>10} {'apart':>9}")
    found = {}
    for name, *case in CASES:
        num = max(BLOCK, min(sets, sets * 200 // (case[0][1] * case[1][1])) // BLOCK * BLOCK)
        (theirs, ours, loops), apart = measure(num, (case[0], case[1], case[2]))
        print(f"{name:<38} {num:>5} {theirs * 1e6:>12.0f} us {ours * 1e6:>7.1f} us {theirs / ours:>5.0f}x"
              f" {loops * 1e6:>7.1f} us {apart:>9.1e}")  # fmt: skip
        found[name] = {"theirs_us": theirs * 1e6, "ours_us": ours * 1e6, "ratio": theirs / ours}
    record(file, "fusion", {"cases": found})


if __name__ == "__main__":
    main()
