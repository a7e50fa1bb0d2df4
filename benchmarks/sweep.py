"""A sweep of 60 settings from a made-up cache of 1,000 images and 5,700 captions; prints the seconds it took.

    python benchmarks/sweep.py [num_images] [raw_boxes]        # default 1000 150

The cache is written through `CandidateStore` as `pipeline.export` writes it: raw boxes before NMS down to confidence
0.001, and an embedding of every crop that the settings can ask for. Reading it is part of the time.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.recording import record, take_json
from core.pixels import pixel_boxes
from core.stages import View
from core.store import CandidateStore
from core.values import Candidates
from eval.sweep import best_row, sweep
from eval.sweep.settings import SweepConfig

SIZE = (1520, 870)
CAPTIONS = [f"{colour} {kind}" for colour in ("red", "blue", "grey", "white", "black", "green", "yellow")
            for kind in ("drone", "missile", "helicopter", "fighter jet")]  # fmt: skip


def make_cache(folder: Path, num_images: int, raw_boxes: int, num_captions: int, width: int = 256) -> Path:
    """Write a store and its truth; returns the truth's path."""
    draw = np.random.default_rng(0)
    store, digests, sizes, lines = CandidateStore(folder / "candidates"), {}, {}, []
    vectors = draw.normal(size=(len(CAPTIONS), width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    per_image = np.full(num_images, num_captions // num_images)
    per_image[: num_captions - per_image.sum()] += 1
    for number, count in enumerate(per_image.tolist()):
        name, digest = f"image_{number}.jpg", f"{number:032x}"
        asked = draw.permutation(len(CAPTIONS))[:count]
        boxes = np.concatenate([draw.integers(0, [1400, 780], (count, 2)), draw.integers(24, 90, (count, 2))], axis=1)
        source = draw.integers(0, count, raw_boxes)
        ltwh = boxes[source] + draw.normal(0, 5, (raw_boxes, 4))
        ltwh[raw_boxes // 2 :, :2] = draw.uniform(0, [1400, 780], (raw_boxes - raw_boxes // 2, 2))
        xyxy = np.concatenate([ltwh[:, :2], ltwh[:, :2] + np.maximum(ltwh[:, 2:], 3)], axis=1).astype(np.float32)
        confidence = np.append(draw.beta(3, 2, raw_boxes // 2), draw.beta(0.3, 8, raw_boxes - raw_boxes // 2))
        confidence = np.maximum(confidence, 0.001).astype(np.float32)
        store.write_views("detector", digest, [View("yolo/plain", Candidates(xyxy, confidence))])
        pixels = np.unique(pixel_boxes(xyxy[confidence >= 0.05], *SIZE), axis=0)
        apart = np.abs((pixels[:, :2] + pixels[:, 2:])[:, None] / 2 - boxes[:, :2] - boxes[:, 2:] / 2).sum(axis=2)
        embeddings = vectors[asked[apart.argmin(axis=1)]] + draw.normal(0, 0.1, (len(pixels), width))
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        store.add_embeddings("upscaler-scorer", digest, pixels, embeddings.astype(np.float32))
        pairs = [{"caption": CAPTIONS[c], "bbox": b} for c, b in zip(asked, boxes.tolist(), strict=True)]
        lines.append(json.dumps({"image": name, "annotations": pairs}))
        digests[name], sizes[name] = digest, SIZE
    store.describe("proposals", "detector", {})
    calibration = {"scale": 20.0, "bias": -8.0, "sigmoid": True}
    store.describe("embeddings", "upscaler-scorer", {"scorer_key": "scorer", "calibration": calibration})
    store.add_texts("scorer", CAPTIONS, vectors)
    store.write_set(digests, sizes)
    truth = folder / "truth.jsonl"
    truth.write_text("\n".join(lines) + "\n")
    return truth


def main() -> None:
    """Make the cache, sweep it, say how long it took."""
    file = take_json()
    num_images, raw_boxes = (int(v) for v in (sys.argv[1:] + ["1000", "150"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = make_cache(folder, num_images, raw_boxes, round(5.7 * num_images))
        config = SweepConfig(candidates=str(folder / "candidates"), truth=str(truth),
                             confidence=[0.05, 0.1, 0.25, 0.5],
                             nms_iou=[0.1, 0.3, 0.5, 0.7, 0.9], max_det=[10, 20, 100])  # fmt: skip
        began, began_cpu = time.perf_counter(), time.process_time()
        rows, _ = sweep(config)
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        best = best_row(rows)
        print(f"{len(rows)} settings, {num_images} images of {raw_boxes} raw boxes, {best['num_captions']} captions")
        print(f"{took:.1f} s ({cpu:.1f} s of one core), {1000 * took / len(rows):.0f} ms a setting")
        print(f"best accuracy {best['accuracy']:.4f} (ceiling {best['ceiling']:.4f}, chance {best['chance']:.4f})")
        record(file, "sweep", {"wall_s": took, "cpu_s": cpu})


if __name__ == "__main__":
    main()
