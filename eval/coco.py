"""Judge detections against annotations: COCO AP of all of them, and precision, recall and F1 at one confidence."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from core.errors import InputError, check_shares
from core.files import sha256_file, write_json
from core.records import read_detections
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from data.captions import read_annotations
from data.formats.source import PartConfig
from data.sources import settle
from eval.boxes.average_precision import Engine, twelve_numbers
from eval.boxes.operating_point import (
    best_f1,
    confidence_curves,
    cut_table,
    operating_point,
    published_ratios,
    thinned,
)
from eval.boxes.table import BoxTable, ImageIds, detection_table, truth_table
from eval.tracked import tell


@dataclass
class CocoConfig(PartConfig, RunConfig):
    """Settings of `eval.coco`."""

    truth: str = MISSING  # annotation file, or labels of another tool
    detections: str = MISSING  # COCO results file with every box, down to the lowest confidence
    image_ids: ImageIds = ImageIds.auto  # what ids without file names are: id (of the truth), line, stem (file names')
    confidence: float = 0.25  # the operating point keeps boxes from this confidence on; AP uses all boxes
    nms_iou: float | None = None  # NMS at the operating point; null: none beyond what the file has been through
    match_iou: float = 0.5  # a box is right when it overlaps a free true one by at least this IoU
    published_denominators: bool = False  # divide map50_over_truth as published: 4 x images that have a prediction
    max_dets: list[int] = field(default_factory=lambda: [1, 10, 100])  # boxes per image that AR1, AR10 and the rest see
    engine: Engine = Engine.hotcoco  # hotcoco (fast) or pycocotools (reference); equal to 1e-12
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def judge_boxes(found: BoxTable, truth: BoxTable, config: CocoConfig) -> dict[str, Any]:
    """The metrics of `eval.coco` from tables."""
    chosen = cut_table(found, config.confidence, config.nms_iou)
    curves = confidence_curves(found, truth, config.match_iou)
    return {
        **twelve_numbers(truth, found, config.engine, config.max_dets),
        **operating_point(chosen, truth, config.match_iou),
        **published_ratios(chosen, truth, config.published_denominators),
        **best_f1(curves),
    }


def run(config: CocoConfig, folder: RunFolder) -> dict[str, Any]:
    """Judge the file; `curves.json` holds precision, recall and F1 against confidence."""
    check_shares(config, ("confidence", "nms_iou", "match_iou"))
    settle(config, folder)
    annotated = read_annotations(config.truth)
    truth = truth_table(annotated)
    if not len(truth):
        raise InputError(f"{config.truth}: holds no boxes, so there is nothing to find")
    found = detection_table(read_detections(config.detections), annotated, config.detections, config.image_ids)
    for path in (config.truth, config.detections):
        folder.add_parent(path)
    if not len(found):
        print(f"{config.detections}: holds no detection, so every number is 0 (-1 where the truth has no such size)")
    curves = confidence_curves(found, truth, config.match_iou)
    points = thinned(curves)
    write_json(folder.path / "curves.json", {"match_iou": config.match_iou, **points})
    digests = {"truth_sha256": sha256_file(config.truth), "detections_sha256": sha256_file(config.detections)}
    metrics = {**judge_boxes(found, truth, config), **digests}
    rows = [dict(zip(points, values, strict=True)) for values in zip(*points.values(), strict=True)]
    tell(config.tracking, folder, metrics, {"curves": rows})
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.coco`."""
    from grounder.command import run_command

    run_command("eval.coco", CocoConfig, run, argv)


if __name__ == "__main__":
    main()
