"""What an engine gains: the pipeline of a run by `engine=onnx` and `engine=openvino` beside `engine=torch`.

    python benchmarks/engines.py RUN [--images 20] [--rounds 5] [--engines onnx openvino]    # RUN: of pipeline.export

The same checkpoints, images and captions; models, graphs and the first image of each are there before the time begins.
The engines take turns, an image with its captions at a time, as the server asks. Prints the median milliseconds an
image, the ratio to torch, the share of captions that get the same box (IoU above 0.9), and the largest difference of
two scores of the same box. Exit status 1 where fewer than 99 % of the captions get the same box or a score lies 0.01
off.
"""

import argparse
import os
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export import sources
from benchmarks.recording import record, take_json
from core.boxes import iou_matrix, ltwh_to_xyxy
from core.engines import Engine
from core.images import read_image
from data.captions import read_annotations
from pipeline.build import build_pipeline
from pipeline.opening import stored_config

SAME, SAME_IOU, SAME_SCORE = 0.99, 0.9, 0.01
PACKAGES = ("torch", "transformers", "ultralytics", "onnxruntime", "openvino")


def main() -> None:
    """Measure and print."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder of pipeline.export; its relative paths hold from the working folder")
    parser.add_argument("--images", type=int, default=20, help="the first so many of the run's annotation file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="+", default=["onnx", "openvino"], choices=["onnx", "openvino"])
    words = parser.parse_args()
    names = ["torch", *words.engines]
    annotations, folder = sources(Path(words.run))
    asked = [(read_image(folder / entry.image), [a.caption for a in entry.annotations])
             for entry in read_annotations(annotations)[: words.images]]  # fmt: skip
    pipelines = {name: opened(words.run, name) for name in names}
    answers: dict[str, list[Any]] = {}
    spent: dict[str, list[float]] = {name: [] for name in names}
    for pipeline in pipelines.values():
        pipeline.locate(*asked[0])
    for number in range(words.rounds):
        for name in sorted(names, reverse=bool(number % 2)):
            began = time.perf_counter()
            answers[name] = [pipelines[name].locate(*one) for one in asked]
            spent[name].append(1000 * (time.perf_counter() - began) / len(asked))
    print(f"{', '.join(versions())}; {os.cpu_count()} cores; {len(asked)} images, {words.rounds} rounds in turns")
    figures, missed = {}, False
    for name in names:
        ms = statistics.median(spent[name])
        same, apart = agreement(answers["torch"], answers[name], asked)
        ratio = statistics.median(spent["torch"]) / ms
        rounds = ", ".join(f"{one:.1f}" for one in spent[name])
        print(f"{name:<9} {ms:.1f} ms an image ({rounds}), {ratio:.2f} times torch; {100 * same:.1f} % of the captions "
              f"get its box, scores at most {apart:.2g} off")  # fmt: skip
        figures[name] = {"ms": ms, "ratio": ratio, "same": same, "apart": apart}
        missed |= same < SAME or apart > SAME_SCORE
    record(file, "engines", figures)
    raise SystemExit(int(missed))


def opened(run: str, engine: str) -> Any:
    """The run's pipeline by an engine."""
    config = stored_config(run)
    config.engine = Engine[engine]
    return build_pipeline(config)


def agreement(wanted: list[Any], found: list[Any], asked: list[Any]) -> tuple[float, float]:
    """(share of captions with the same box, largest difference of the scores of those)."""
    same, apart = [], 0.0
    for one, other, (_, captions) in zip(wanted, found, asked, strict=True):
        for a, b in zip(one.predictions("", captions), other.predictions("", captions), strict=True):
            boxes = [ltwh_to_xyxy(np.asarray(p.box_ltwh or (0, 0, 0, 0), np.float64)[None]) for p in (a, b)]
            same.append((a.box_ltwh is None and b.box_ltwh is None) or iou_matrix(*boxes)[0, 0] > SAME_IOU)
            if same[-1] and a.score is not None and b.score is not None:
                apart = max(apart, abs(float(a.score) - float(b.score)))
    return float(np.mean(same)), apart


def versions() -> list[str]:
    """Of what computes."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return found


if __name__ == "__main__":
    main()
