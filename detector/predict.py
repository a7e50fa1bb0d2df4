"""Find targets in images: the detector alone, into a COCO results file."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.boxes import xyxy_to_ltwh
from core.cuts import CutConfig, cut_and_fuse
from core.decoding import DecodingConfig
from core.errors import InputError, check_limits, check_shares
from core.images import read_image
from core.listing import image_path, list_images
from core.progress import progress
from core.published import Published, beside
from core.records import Detection, write_detections
from core.runs import RunConfig, RunFolder
from core.stages import Detector
from core.texts import is_utf8_name, on_terminal
from core.weights import WeightsConfig
from data.captions import read_captions
from data.formats.source import PartConfig
from data.sources import settle
from detector.build import build_detector
from detector.settings import DetectorConfig


@dataclass
class PredictConfig(DecodingConfig, WeightsConfig, PartConfig, RunConfig):
    """Settings of `detector.predict`."""

    images: str = MISSING  # folder of images
    annotations: str | None = None  # labels, ours or another tool's, whose images to look at; null: all in the folder
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    cut: CutConfig = field(default_factory=lambda: CutConfig(confidence=0.001, nms_iou=0.7, max_det=300))
    device: str | None = None  # cpu, cuda, cuda:1; null: a GPU if there is one
    chunk: int = 16  # images in memory at a time
    published: Published = field(default_factory=Published)


def run(config: PredictConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `detections.json`: every image's boxes after the cuts and the fusion of views. Raises InputError."""
    check_limits([config.chunk], "chunk")
    check_shares(config.cut, ("confidence", "nms_iou", "vote_iou"), "cut.")
    settle(config, folder)
    names = _names(config)
    device = config.device or _best_device()
    detector = build_detector(config.detector, device)
    for member in [config.detector, *config.detector.members]:
        if member.weights is not None and Path(member.weights).exists():
            folder.add_parent(member.weights)
    found = Found(detector, config)
    write_detections(folder.path / "detections.json", found.boxes(names), {n: i for i, n in enumerate(names, start=1)})
    metrics: dict[str, Any] = {
        "num_images": len(names),
        "num_detections": found.num_detections,
        "num_images_without": found.num_without,
        "detector_key": detector.key,
        "device": device,
        "detector_ms": round(1000 * found.elapsed_s / max(1, len(names)), 2),
    }
    if not found.num_detections:
        metrics["advice"] = (
            f"nothing found in {len(names)} images at confidence {config.cut.confidence:g}: try a lower "
            "cut.confidence, a larger detector.imgsz, or a detector trained longer"
        )
    return metrics | beside(config.published, metrics)


@dataclass
class Found:
    """What a detector finds in images, a chunk of them in memory at a time, and how much that was so far."""

    detector: Detector
    config: PredictConfig
    num_detections: int = 0
    num_without: int = 0  # images without a box
    elapsed_s: float = 0.0  # the detector's own time

    def boxes(self, names: Sequence[str]) -> Iterator[Detection]:
        """Every image's boxes that pass the cuts."""
        chunks = [names[start : start + self.config.chunk] for start in range(0, len(names), self.config.chunk)]
        for some in progress(chunks, "finding targets (chunks)"):
            images = [read_image(image_path(self.config.images, name)) for name in some]
            began = time.perf_counter()
            proposals = self.detector.propose(images)
            self.elapsed_s += time.perf_counter() - began
            for name, views in zip(some, proposals, strict=True):
                kept = cut_and_fuse(views, self.config.cut)
                self.num_detections += len(kept)
                self.num_without += len(kept) == 0
                boxes = xyxy_to_ltwh(kept.boxes_xyxy).tolist()
                for box, confidence in zip(boxes, kept.confidence, strict=True):
                    yield Detection(name, tuple(box), float(confidence))


def _names(config: PredictConfig) -> list[str]:
    root = Path(config.images)
    if not root.is_dir():
        raise InputError(f"images: {root} is no folder")
    if config.annotations is not None:
        return [image.image for image in read_captions(config.annotations)]
    listing = list_images(root)
    listing.say_passed_over(root)
    names = [name for name in listing.names if is_utf8_name(name)]
    if len(names) < len(listing.names):
        first = on_terminal(next(name for name in listing.names if not is_utf8_name(name)))
        print(f"passed over {len(listing.names) - len(names)} images whose names are not UTF-8 (first: {first})")
    if not names:
        raise InputError(f"images: {root} holds no images")
    return names


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main(argv: list[str] | None = None) -> None:
    """Run the command `detector.predict`."""
    from grounder.command import run_command

    run_command("detector.predict", PredictConfig, run, argv)


if __name__ == "__main__":
    main()
