"""Find targets in images: the detector alone, into a COCO results file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.cuts import CutConfig, candidates_of
from core.errors import InputError
from core.published import Published, beside
from core.runs import RunConfig, RunFolder
from detector.build import build_detector
from detector.settings import DetectorConfig


@dataclass
class PredictConfig(RunConfig):
    """Settings of `detector.predict`."""

    images: str = MISSING  # folder of images
    annotations: str | None = None  # the annotation file whose images to look at; default: every image in the folder
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    cut: CutConfig = field(default_factory=lambda: CutConfig(confidence=0.001, nms_iou=0.7, max_det=300))
    device: str | None = None  # cpu, cuda, cuda:1; null: a GPU if there is one
    chunk: int = 16  # images in memory at a time
    published: Published = field(default_factory=Published)


def run(config: PredictConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `detections.json`: every image's boxes after the cuts and the fusion of views. Raises InputError."""
    import time

    from core.boxes import xyxy_to_ltwh
    from core.images import read_image
    from core.progress import progress
    from core.records import Detection, write_detections

    names = _names(config)
    device = config.device or _best_device()
    detector = build_detector(config.detector, device)
    for member in [config.detector, *config.detector.members]:
        if member.weights is not None and Path(member.weights).exists():
            folder.add_parent(member.weights)
    detections: list[Detection] = []
    elapsed_s, num_without = 0.0, 0
    for some in _chunks(list(progress(names, "finding targets")), config.chunk):
        images = [read_image(Path(config.images) / name) for name in some]
        began = time.perf_counter()
        proposals = detector.propose(images)
        elapsed_s += time.perf_counter() - began
        for name, views in zip(some, proposals, strict=True):
            found = candidates_of(views, config.cut)
            num_without += len(found) == 0
            boxes = xyxy_to_ltwh(found.boxes_xyxy).tolist()
            detections += [Detection(name, tuple(b), float(c)) for b, c in zip(boxes, found.confidence, strict=True)]
    write_detections(folder.path / "detections.json", detections, {name: i for i, name in enumerate(names, start=1)})
    metrics: dict[str, Any] = {
        "num_images": len(names),
        "num_detections": len(detections),
        "num_images_without": num_without,
        "detector_key": detector.key,
        "device": device,
        "detector_ms": round(1000 * elapsed_s / max(1, len(names)), 2),
    }
    return metrics | beside(config.published, metrics)


def _names(config: PredictConfig) -> list[str]:
    from core.images import IMAGE_SUFFIXES
    from data.captions import read_annotations

    root = Path(config.images)
    if not root.is_dir():
        raise InputError(f"images: {root} is no folder")
    if config.annotations is not None:
        return [image.image for image in read_annotations(config.annotations)]
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise InputError(f"images: {root} holds no images")
    return names


def _chunks(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), max(1, size)):
        yield names[start : start + max(1, size)]


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main(argv: list[str] | None = None) -> None:
    """Run the command `detector.predict`."""
    from grounder.command import run_command

    run_command("detector.predict", PredictConfig, run, argv)


if __name__ == "__main__":
    main()
