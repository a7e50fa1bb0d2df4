"""What a report says, gathered from run folders: numbers, tables, charts and images, without any markup."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.counting import count
from core.files import read_json
from core.records import read_detections
from data.captions import read_annotations
from eval.answered import AnsweredRun, answered_run
from eval.answers.measures import grounding_metrics
from eval.attribution import attribution, breakdown, detection_errors
from eval.boxes.operating_point import cut_table
from eval.boxes.table import detection_table, truth_table
from eval.charts.kinds import Chart
from eval.charts.pareto import pareto_charts
from eval.report.charts import breakdown_charts, curve_charts, sweep_charts, training_charts
from eval.report.gallery import Images
from eval.report.payload import Payload, payload_of
from eval.runs import FoundRun, latest
from eval.speed import systems_of

BREAKDOWNS = ("kind", "colour", "size", "look-alikes", "caption")


@dataclass
class Contents:
    """Everything a report shows; parts that the runs do not hold are empty."""

    title: str
    runs: list[FoundRun]
    truth_path: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)  # of the answers, as eval.grounding
    detection: dict[str, Any] = field(default_factory=dict)  # of the boxes, as eval.coco
    stages: dict[str, Any] = field(default_factory=dict)  # attribution
    stage_times: dict[str, Any] = field(default_factory=dict)
    box_errors: dict[str, int] = field(default_factory=dict)  # of the boxes at the operating point, by kind
    systems: list[dict[str, Any]] = field(default_factory=list)  # every export with its accuracy and its time an image
    sweep: list[dict[str, Any]] = field(default_factory=list)
    sweep_by: str = "accuracy"  # the figure that the sweep's points are ranked by
    breakdowns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    charts: dict[str, list[Chart]] = field(default_factory=dict)
    answered: list[AnsweredRun] = field(default_factory=list)  # what the runs answered, caption by caption
    payload: Payload | None = None  # the same as the page's script reads it
    images: Images = field(default_factory=lambda: Images(None))
    notes: list[str] = field(default_factory=list)

    def all_charts(self) -> list[Chart]:
        """Every chart, section after section."""
        return [chart for part in self.charts.values() for chart in part]


@dataclass(frozen=True)
class Limits:
    """How many images a report shows."""

    thumbnails: int
    crops: int


def gather(
    runs: Sequence[FoundRun], title: str, images: str | None, truth: str | None, limits: Limits, folder: Path
) -> Contents:
    """The contents of a report about these runs; folder: where the page will lie."""
    contents = Contents(title, list(runs))
    export, coco, sweep = (latest(runs, c) for c in ("pipeline.export", "eval.coco", "eval.sweep"))
    if coco is not None:
        contents.detection = coco.metrics
        contents.charts["curves"] = curve_charts(coco)
        contents.box_errors = _box_errors(coco)
    if sweep is not None:
        contents.sweep = read_json(sweep.path / "sweep.json")
        contents.sweep_by = str(sweep.metrics.get("best_by", "accuracy"))
        contents.charts["sweep"] = sweep_charts(contents.sweep, contents.sweep_by)
    contents.charts["training"] = training_charts(runs)
    contents.systems = systems_of(runs)
    contents.charts["pareto"] = pareto_charts(contents.systems)
    at = images or (export.setting("images") if export is not None else None)
    contents.images = Images(Path(at) if at and Path(at).is_dir() else None)
    _answers(contents, runs, truth, limits, folder)
    if at and contents.images.folder is None:
        contents.notes.append(f"{at}: no such folder of images, so the report shows none.")
    for names, what in (
        (contents.images.missing, "could not be read"),
        (contents.images.outside, f"not within {at} and not shown"),
    ):
        if names:
            contents.notes.append(f"{count(len(names), 'image')} {what}: {', '.join(names)[:120]}")
    return contents


def _box_errors(coco: FoundRun) -> dict[str, int]:
    """What the boxes above the confidence of an eval.coco run are, when its files are still there."""
    paths = [Path(str(coco.setting(name))) for name in ("truth", "detections")]
    if not all(path.is_file() for path in paths):
        return {}
    annotated = read_annotations(paths[0])
    found = detection_table(read_detections(paths[1]), annotated, paths[1])
    chosen = cut_table(found, float(coco.setting("confidence")), coco.setting("nms_iou"))
    return detection_errors(chosen, truth_table(annotated), float(coco.setting("match_iou")))


def _answers(contents: Contents, runs: Sequence[FoundRun], truth: str | None, limits: Limits, folder: Path) -> None:
    """The part that needs the truth: outcomes, attribution, breakdowns and the records of every caption."""
    told, lacking = answered_run(runs, contents.title, truth)
    if told is None:
        contents.notes.append(str(lacking))
        return
    contents.truth_path, contents.metrics = told.truth_path, grounding_metrics(told.outcomes)
    contents.stage_times = told.export.metrics.get("stages", {}) if told.export is not None else {}
    contents.notes += told.notes
    contents.answered = [told]
    if told.cases:
        contents.stages = attribution(told.cases)
        contents.breakdowns = {by: breakdown(told.cases, by) for by in BREAKDOWNS}
        contents.charts["breakdowns"] = breakdown_charts(contents.breakdowns)
    contents.payload = payload_of(
        contents.answered, contents.sweep, contents.images, limits.crops, limits.thumbnails, folder
    )  # fmt: skip
