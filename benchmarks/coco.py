"""COCO evaluation by hotcoco against pycocotools on the same boxes; prints both times, the ratio and the difference.

    python benchmarks/coco.py [num_images] [boxes_per_image]        # default 5000 100, about two minutes

Timed: evaluate, accumulate and summarize, on sets already in memory; making them from files is timed apart.
"""

import contextlib
import io
import statistics
import sys
import time

import numpy as np

from benchmarks.recording import record, take_json
from eval.boxes.average_precision import hotcoco_pair, pycocotools_pair
from eval.boxes.table import BoxTable, make_table


def random_tables(num_images: int, per_image: int, seed: int = 0) -> tuple[BoxTable, BoxTable]:
    """Six true boxes an image and `per_image` found ones near them, of small, medium and large sizes."""
    draw = np.random.default_rng(seed)
    image = np.repeat(np.arange(num_images), 6)
    boxes = np.concatenate([draw.uniform(0, 1200, (len(image), 2)), draw.lognormal(3.9, 0.7, (len(image), 2))], axis=1)
    source = draw.integers(0, 6, (num_images, per_image)) + 6 * np.arange(num_images)[:, None]
    found = boxes[source.ravel()] + draw.normal(0, 8, (num_images * per_image, 4))
    found[:, 2:] = np.maximum(found[:, 2:], 1)
    where = np.repeat(np.arange(num_images), per_image)
    return make_table(image, boxes, np.ones(len(image)), num_images), make_table(
        where, found, draw.random(len(found)), num_images
    )


def timed(judge) -> float:  # type: ignore[no-untyped-def]
    """Seconds that evaluate, accumulate and summarize take."""
    with contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        return time.perf_counter() - started


def main() -> None:
    """Time both, hotcoco five times in between."""
    import hotcoco
    from pycocotools.cocoeval import COCOeval

    file = take_json()
    num_images, per_image = (int(v) for v in (sys.argv[1:] + ["5000", "100"][len(sys.argv) - 1 :]))
    truth, found = random_tables(num_images, per_image)
    crowd = np.zeros(len(truth), bool)
    started = time.perf_counter()
    fast_sets = hotcoco_pair(truth, found, crowd)
    fast_load = time.perf_counter() - started
    started = time.perf_counter()
    slow_sets = pycocotools_pair(truth, found, crowd)
    slow_load = time.perf_counter() - started
    fast_times = []
    for _ in range(5):
        fast = hotcoco.COCOeval(*fast_sets, "bbox")
        fast_times.append(timed(fast))
    slow = COCOeval(*slow_sets, "bbox")
    slow_time = timed(slow)
    fast_time = statistics.median(fast_times)
    worst = max(abs(a - b) for a, b in zip(fast.stats, slow.stats, strict=True))
    print(f"{num_images} images x {per_image} detections")
    print(f"making the sets: hotcoco {fast_load:.2f} s, pycocotools {slow_load:.2f} s")
    print(f"evaluating:      hotcoco {fast_time:.3f} s (median of 5), pycocotools {slow_time:.1f} s")
    print(f"ratio {slow_time / fast_time:.0f}x, largest difference of the twelve numbers {worst:.1e}")
    record(file, "coco", {"ours_s": fast_time, "pycocotools_s": slow_time, "ratio": slow_time / fast_time})


if __name__ == "__main__":
    main()
