"""What a report says, gathered from run folders: numbers, tables, charts and images, without any markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.counting import count
from core.errors import InputError
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
from eval.charts.training import training_charts
from eval.labels.words import label_words
from eval.report.charts import breakdown_charts, curve_charts, sweep_charts
from eval.report.curves import deciding_charts
from eval.report.gallery import Images
from eval.report.matrix import Matrix, matrix_of
from eval.report.packing import codes
from eval.report.pairs import compare_pairs
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
    grades: list[dict[str, Any]] = field(default_factory=list)  # accuracy at every grade of noise, by eval.robustness
    systems: list[dict[str, Any]] = field(default_factory=list)  # every export with its accuracy and its time an image
    sweep: list[dict[str, Any]] = field(default_factory=list)
    sweep_by: str = "accuracy"  # the figure that the sweep's points are ranked by
    breakdowns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    charts: dict[str, list[Chart]] = field(default_factory=dict)
    answered: list[AnsweredRun] = field(default_factory=list)  # what the runs answered, caption by caption
    payload: Payload | None = None  # the same as the page's script reads it
    offers: dict[str, Any] | None = None  # what the payload holds of the last run's store
    pairs: list[dict[str, Any]] = field(default_factory=list)  # of several runs, each against the first
    matrix: Matrix = field(default_factory=Matrix)  # of kinds asked and answered
    validations: list[FoundRun] = field(default_factory=list)  # the scorer judged by itself
    notes: list[str] = field(default_factory=list)

    def all_charts(self) -> list[Chart]:
        """Every chart, section after section."""
        return [chart for part in self.charts.values() for chart in part]


@dataclass(frozen=True)
class Wanted:
    """What a report is asked for, beside the runs.

    folder: where the page will lie. images, truth: a folder and a file that stand for what the runs name. thumbnails,
    crops: how many images have one, and how many candidates of an image.
    """

    title: str
    folder: Path
    images: str | None = None
    truth: str | None = None
    thumbnails: int = 2000
    crops: int = 15


def gather(systems: Mapping[str, Sequence[FoundRun]], wanted: Wanted) -> Contents:
    """The contents of a report about systems by name, each with its runs.

    Of several the first is what the others are compared with, and the last is what the sections beyond the comparison
    are about. Raises InputError for systems that did not answer the same captions.
    """
    runs = list(systems.values())[-1]
    contents = Contents(wanted.title, list({r.path.resolve(): r for own in systems.values() for r in own}.values()))
    export, coco, sweep = (latest(runs, c) for c in ("pipeline.export", "eval.coco", "eval.sweep"))
    if sweep is not None:
        contents.sweep = read_json(sweep.path / "sweep.json")
        contents.sweep_by = str(sweep.metrics.get("best_by", "accuracy"))
    if (noise := latest(runs, "eval.robustness")) is not None:
        contents.grades = read_json(noise.path / "robustness.json")
    at = wanted.images or (export.setting("images") if export is not None else None)
    _answers(contents, systems, at, wanted)
    if coco is not None:
        contents.detection = coco.metrics
        contents.charts["curves"] = curve_charts(coco, contents.offers)
        contents.box_errors = _box_errors(coco)
    contents.charts["sweep"] = sweep_charts(contents.sweep, contents.sweep_by, contents.offers)
    contents.charts["training"] = training_charts(runs)
    contents.validations = [r for r in runs if r.command == "siglip.evaluate"]
    contents.systems = systems_of(contents.runs)
    contents.charts["pareto"] = pareto_charts(contents.systems)
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


def _answers(contents: Contents, systems: Mapping[str, Sequence[FoundRun]], at: str | None, wanted: Wanted) -> None:
    """The part that needs the truth: outcomes, attribution, breakdowns and the records of every caption."""
    contents.charts |= {"breakdowns": [], "deciding": []}
    for name, runs in systems.items():
        found, lacking = answered_run(runs, name, wanted.truth)
        if found is None:
            if len(systems) > 1:
                raise InputError(f"runs: {name}: {lacking}")
            contents.notes.append(str(lacking))
            return
        contents.notes += [note if len(systems) == 1 else f"{name}: {note}" for note in found.notes]
        contents.answered.append(found)
    contents.pairs = compare_pairs(contents.answered)
    told = contents.answered[-1]
    contents.truth_path, contents.metrics = told.truth_path, grounding_metrics(told.outcomes)
    contents.stage_times = told.export.metrics.get("stages", {}) if told.export is not None else {}
    if told.cases:
        contents.stages = attribution(told.cases)
        contents.breakdowns = {by: breakdown(told.cases, by) for by in BREAKDOWNS}
        contents.charts["breakdowns"] = breakdown_charts(contents.breakdowns)
        contents.matrix = matrix_of(told.cases)
    contents.charts["deciding"] = deciding_charts(told)
    _shown(contents, at or told.images, wanted)


def _shown(contents: Contents, at: str | None, wanted: Wanted) -> None:
    """The records of every caption, with the images as far as they can be had."""
    images = Images(Path(at) if at and Path(at).is_dir() else None)
    contents.payload = payload_of(
        contents.answered, contents.sweep, images, wanted.crops, wanted.thumbnails, wanted.folder
    )  # fmt: skip
    contents.payload.records["captions"]["facets"]["label"] = codes(label_words(contents.answered))
    contents.offers = contents.payload.records["runs"][-1]["offers"]
    if at and images.folder is None:
        contents.notes.append(f"{at}: no such folder of images, so the report shows none.")
    for names, what in ((images.missing, "could not be read"), (images.outside, f"not within {at} and not shown")):
        if names:
            contents.notes.append(f"{count(len(names), 'image')} {what}: {', '.join(names)[:120]}")
