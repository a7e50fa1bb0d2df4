"""Images a second: `pipeline.export` against the published way, with the same weights.

    python benchmarks/export.py RUN [--images 40] [--rounds 3]    # RUN: a pipeline.export run, transformers' scorer

The published way takes one image and one crop at a time: Ultralytics' `predict`, RealESRGANer's `enhance` for each
crop, then for each caption transformers' zero-shot pipeline over the crops. Ours is the whole command, from an empty
store: models loaded, images decoded, everything stored and written. The published way's models are loaded before its
time begins. Every core serves both; rounds alternate. Exit status 1 below 2x, or when fewer than 98 % of the captions
get the same box.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.recording import record, take_json
from core.boxes import iou_matrix, ltwh_to_xyxy
from core.images import read_image
from core.pixels import crop_box
from core.records import read_predictions
from core.values import AnnotatedImage
from data.captions import read_annotations, write_annotations
from detector.weights import find_weights
from pipeline.opening import stored_config
from pipeline.settings import PipelineConfig

GOAL, SAME, SAME_IOU = 2.0, 0.98, 0.9
Boxes = dict[tuple[str, str], NDArray[np.floating]]  # xyxy by image and caption; four zeros: no answer


def main() -> None:
    """Measure and print."""
    file = take_json()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder of pipeline.export; its relative paths hold from the working folder")
    parser.add_argument("--images", type=int, default=40, help="the first so many of the run's annotation file")
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    run, rounds = words.run, words.rounds
    cores = os.cpu_count() or 1
    config, (annotations, images) = stored_config(run), sources(Path(run))
    truth = read_annotations(annotations)[: words.images]
    captions = [len(entry.annotations) for entry in truth]
    theirs = PublishedWay(config)
    theirs.answer(truth[:2], images)  # warm-up
    ours(run, config, truth[:2], images)
    torch.set_num_threads(cores)  # after the warm-up: Ultralytics' first prediction leaves one thread of two
    spent: dict[str, list[float]] = {"ours": [], "published": []}
    for number in range(rounds):
        for name in sorted(spent, reverse=bool(number % 2)):
            started = time.perf_counter()
            if name == "ours":
                told, asked = ours(run, config, truth, images)
            else:
                wanted = theirs.answer(truth, images)
            spent[name].append(time.perf_counter() - started)
    assert torch.get_num_threads() == cores
    import transformers
    import ultralytics

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, ultralytics {ultralytics.__version__}, "
          f"{cores} threads")  # fmt: skip
    print(f"{len(truth)} images, {min(captions)} to {max(captions)} captions an image, {sum(captions)} in all, "
          f"{asked} crops; median of {rounds} rounds")  # fmt: skip
    rate = {name: len(truth) / statistics.median(times) for name, times in spent.items()}
    for name, times in spent.items():
        print(f"{name} {rate[name]:.2f} images/s; rounds of {', '.join(f'{t:.1f}' for t in times)} s")
    same = float(np.mean([iou_matrix(told[k][None], wanted[k][None])[0, 0] > SAME_IOU for k in wanted]))
    ratio = rate["ours"] / rate["published"]
    print(f"ratio {ratio:.2f} (goal {GOAL}); {100 * same:.1f} % of the captions get the same box")
    record(file, "export", {"images": len(truth), "ratio": ratio} | {f"{name}_per_s": rate[name] for name in rate})
    raise SystemExit(0 if ratio >= GOAL and same >= SAME else 1)


def sources(run: Path) -> tuple[str, Path]:
    """The annotation file and the images' folder of a run."""
    import yaml

    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return settings["annotations"], Path(settings["images"])


def ours(run: str, config: PipelineConfig, truth: Sequence[AnnotatedImage], images: Path) -> tuple[Boxes, int]:
    """Each caption's box by `pipeline.export` with the run's settings, and how many crops it embedded."""
    from core.runs import RunFolder
    from core.tracking import TrackingMode
    from pipeline.export.settings import ExportConfig
    from pipeline.export.work import export

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_annotations(work / "truth.jsonl", truth)
        own = {field.name: getattr(config, field.name) for field in fields(config)}
        export_config = ExportConfig(**own, annotations=f"{work}/truth.jsonl", images=str(images))
        export_config.tracking.mode = TrackingMode.disabled
        metrics = export(export_config, RunFolder(work, "pipeline.export"))
        told = {
            (p.image, p.caption): ltwh_to_xyxy(np.asarray(p.box_ltwh or (0, 0, 0, 0), np.float64)[None])[0]
            for entry in read_predictions(work / "predictions.jsonl")
            for p in entry.predictions
        }
        return told, metrics["stages"]["scorer"]["count"]


class PublishedWay:
    """Ultralytics, Real-ESRGAN and transformers' pipeline, each asked as the published notebook asks them."""

    def __init__(self, config: PipelineConfig) -> None:
        from spandrel import ModelLoader
        from transformers import pipeline
        from ultralytics import YOLO

        assert config.detector is not None
        assert config.upscaler is not None
        assert config.scorer is not None
        self._config = config
        self._detector = YOLO(str(find_weights(str(config.detector.weights))), task="detect")
        upscaler = config.upscaler.weights
        self._network = ModelLoader(device=config.device).load_from_file(upscaler) if upscaler else None
        if self._network is not None and config.device != "cpu":
            self._network.half()  # as RealESRGANer does on a GPU
        self._scorer = pipeline(
            "zero-shot-image-classification", model=str(config.scorer.weights), device=config.device
        )

    def answer(self, truth: Sequence[AnnotatedImage], images: Path) -> Boxes:
        """Each caption's box."""
        answers: Boxes = {}
        for entry in truth:
            image = read_image(images / entry.image)
            found = self._detect(image)
            crops = [self._enlarge(crop_box(image, box)) for box in found]
            for annotation in entry.annotations:
                scores = [self._score(crop, annotation.caption.lower()) for crop in crops]
                box = found[int(np.argmax(scores))] if scores else np.zeros(4)
                answers[entry.image, annotation.caption] = box
        return answers

    def _detect(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        settings: dict[str, Any] = {"conf": self._config.confidence, "iou": self._config.nms_iou}
        size = self._config.detector.imgsz if self._config.detector is not None else None
        if size is not None:
            settings["imgsz"] = size
        found = self._detector.predict(
            image[..., ::-1], max_det=self._config.max_det or 300, agnostic_nms=True, verbose=False,
            device=self._config.device, **settings,
        )  # fmt: skip
        return found[0].boxes.xyxy.cpu().numpy().astype(np.float64)

    def _enlarge(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RealESRGANer.enhance with the published padding."""
        smaller = min(crop.shape[:2])
        if self._network is None or smaller <= 1:
            return crop
        pad, scale = (10 if smaller > 10 else 1), self._network.scale
        image_NCHW = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float() / 255
        image_NCHW = image_NCHW.to(self._network.device, self._network.dtype)
        with torch.no_grad():
            output = self._network.model(F.pad(image_NCHW, (0, pad, 0, pad), "reflect"))[0].float().clamp(0, 1)
        output = output[:, : crop.shape[0] * scale, : crop.shape[1] * scale]
        return (output.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()

    def _score(self, crop: NDArray[np.uint8], caption: str) -> float:
        from PIL import Image

        told = self._scorer(Image.fromarray(crop), candidate_labels=[caption], hypothesis_template="{}")
        return float(told[0]["score"])


if __name__ == "__main__":
    main()
