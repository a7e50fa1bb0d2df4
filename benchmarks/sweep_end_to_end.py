"""24 settings over a set with real models: one export and a replay against running the pipeline 24 times.

    python -m benchmarks.sweep_end_to_end RUN [num_images]        # RUN: a pipeline.export run

The loop it is compared with is a kind one: its models are loaded and its pixels decoded before its time begins. The
libraries are imported before either. Both must give the same hits at every setting.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.recording import record, take_json
from pipeline.opening import open_pipeline

CONFIDENCE, NMS_IOU, MAX_DET = (0.05, 0.1, 0.25, 0.5), (0.3, 0.5, 0.7), (10, 20)


def naive(run_folder: str, truth: list[Any], images: Path) -> tuple[list[int], float]:
    """Hits of every setting by the pipeline itself, image after image, and the seconds it took."""
    from core.images import read_image
    from core.records import PredictedImage
    from eval.answers.joining import score_keyed

    pipeline = open_pipeline(run_folder)
    pixels = {entry.image: read_image(images / entry.image) for entry in truth}
    own, hits = pipeline.config, []
    started = time.perf_counter()
    for confidence, nms_iou, max_det in product(CONFIDENCE, NMS_IOU, MAX_DET):
        pipeline.config = replace(own, confidence=confidence, nms_iou=nms_iou, max_det=max_det)
        answers = []
        for entry in truth:
            captions = [a.caption for a in entry.annotations]
            predictions = pipeline.locate(pixels[entry.image], captions).predictions(entry.image, captions)
            answers.append(PredictedImage("benchmark", entry.image, tuple(predictions)))
        hits.append(sum(outcome.hit for outcome in score_keyed(truth, answers)))
    return hits, time.perf_counter() - started


def replayed(run_folder: str, truth_path: Path, images: Path, work: Path) -> tuple[list[int], float]:
    """The same by `pipeline.export` into an empty store and `eval.sweep`, as a user would type them."""
    from eval.sweep import main as sweep
    from pipeline.export import main as export

    record = json.loads((Path(run_folder) / "run.json").read_text())
    kept = ("detector", "upscaler", "scorer", "fusion", "choosing")
    settings = [w for w in record["command_line"] if "=" in w and w.startswith(kept)]
    lists = [f"{name}=[{','.join(map(str, values))}]" for name, values in
             (("confidence", CONFIDENCE), ("nms_iou", NMS_IOU), ("max_det", MAX_DET))]  # fmt: skip
    started = time.perf_counter()
    export([f"annotations={truth_path}", f"images={images}", *settings, *(f"sweep.{axis}" for axis in lists),
            f"run_dir={work}/export"])  # fmt: skip
    sweep([f"candidates={work}/export/candidates", f"truth={truth_path}", *lists, f"run_dir={work}/sweep"])
    took = time.perf_counter() - started
    return [row["num_hits"] for row in json.loads((work / "sweep/sweep.json").read_text())], took


def main() -> None:
    """Run both and print the ratio."""
    import yaml

    from data.captions import read_annotations, write_annotations

    file = take_json()
    run_folder, num_images = sys.argv[1], int((sys.argv[2:] or ["40"])[0])
    config = yaml.safe_load((Path(run_folder) / "config.yaml").read_text())
    truth = read_annotations(config["annotations"])[:num_images]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_annotations(work / "truth.jsonl", truth)
        open_pipeline(run_folder)  # so that neither is charged for importing the libraries
        ours, our_s = replayed(run_folder, work / "truth.jsonl", Path(config["images"]), work)
        theirs, their_s = naive(run_folder, read_annotations(work / "truth.jsonl"), Path(config["images"]))
    print(f"24 settings, {len(truth)} images, {sum(len(t.annotations) for t in truth)} captions")
    print(f"export and replay {our_s:.1f} s (loading and decoding included), the pipeline 24 times {their_s:.1f} s")
    verdict = "equal at every setting" if ours == theirs else f"DIFFER: {ours} {theirs}"
    print(f"ratio {their_s / our_s:.1f}x; hits {verdict}")
    record(file, f"end_to_end_{len(truth)}", {"ours_s": our_s, "naive_s": their_s, "ratio": their_s / our_s})


if __name__ == "__main__":
    main()
