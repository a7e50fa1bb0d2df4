"""What a report says, gathered from run folders: numbers, tables, charts and images, without any markup."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.counting import count
from core.cuts import CutConfig
from core.errors import InputError
from core.files import read_json
from core.records import read_detections, read_predictions
from core.store import CandidateStore
from core.values import AnnotatedImage
from data.captions import read_annotations
from eval.answers.joining import score_keyed
from eval.answers.measures import grounding_metrics
from eval.answers.outcomes import Outcome
from eval.attribution import Case, attribution, breakdown, cases_of, detection_errors
from eval.boxes.operating_point import cut_table
from eval.boxes.table import detection_table, truth_table
from eval.charts.kinds import Chart
from eval.charts.pareto import pareto_charts
from eval.report.charts import breakdown_charts, curve_charts, sweep_charts, training_charts
from eval.report.gallery import Images, card, spread
from eval.runs import FoundRun, latest, typed
from eval.speed import systems_of
from eval.sweep.points import NotCovered, Sweeper
from eval.sweep.replay import Replay

STORED = (("proposals", "detector_key", "detector"), ("embeddings", "embeddings_key", "scorer"))  # in which folder
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
    scenes: list[dict[str, Any]] = field(default_factory=list)
    successes: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    num_failures: int = 0
    images: Images = field(default_factory=lambda: Images(None))
    notes: list[str] = field(default_factory=list)

    def all_charts(self) -> list[Chart]:
        """Every chart, section after section."""
        return [chart for part in self.charts.values() for chart in part]


@dataclass(frozen=True)
class Limits:
    """How many images a report shows."""

    scenes: int
    successes: int
    failures: int


def gather(runs: Sequence[FoundRun], title: str, images: str | None, truth: str | None, limits: Limits) -> Contents:
    """The contents of a report about these runs."""
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
    folder = images or (export.setting("images") if export is not None else None)
    contents.images = Images(Path(folder) if folder and Path(folder).is_dir() else None)
    _answers(contents, runs, export, truth, limits)
    if folder and contents.images.folder is None:
        contents.notes.append(f"{folder}: no such folder of images, so the report shows none.")
    if contents.images.missing:
        first = ", ".join(dict.fromkeys(contents.images.missing))
        contents.notes.append(f"{count(len(set(contents.images.missing)), 'image')} could not be read: {first[:120]}")
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


def _answers(
    contents: Contents, runs: Sequence[FoundRun], export: FoundRun | None, truth: str | None, limits: Limits
) -> None:
    """The part that needs the truth: outcomes, attribution, breakdowns and images."""
    found = _predictions(runs, export)
    path = truth or (found[1] if found else None)
    if found is None or path is None:
        contents.notes.append("No predictions with their truth were found, so the report is about the runs alone.")
        return
    if not Path(path).is_file():
        contents.notes.append(f"{path}: no such truth file; give truth=FILE. The report is about the runs alone.")
        return
    annotated = read_annotations(path)
    outcomes = score_keyed(annotated, read_predictions(found[0]))
    contents.truth_path, contents.metrics = path, grounding_metrics(outcomes)
    export = _maker(runs, found[0]) or export
    contents.stage_times = export.metrics.get("stages", {}) if export is not None else {}
    cases = _cases(contents, export, annotated, outcomes)
    if cases:
        contents.stages = attribution(cases)
        contents.breakdowns = {by: breakdown(cases, by) for by in BREAKDOWNS}
        contents.charts["breakdowns"] = breakdown_charts(contents.breakdowns)
    _images(contents, cases, limits)


def _predictions(runs: Sequence[FoundRun], export: FoundRun | None) -> tuple[Path, str | None] | None:
    """The newest predictions and the truth they were asked from; those scored last come first."""
    judged = latest(runs, "eval.grounding")
    if judged is not None and judged.setting("box_format") in {None, "ltwh"}:
        path = Path(str(judged.setting("predictions")))
        if path.is_file():
            return path, judged.setting("truth")
    if export is not None and (export.path / "predictions.jsonl").is_file():
        return export.path / "predictions.jsonl", export.setting("annotations")
    return None


def _maker(runs: Sequence[FoundRun], predictions: Path) -> FoundRun | None:
    """The export that wrote the predictions, so that its candidates are not another's."""
    folder = predictions.resolve().parent
    return next((run for run in runs if run.command == "pipeline.export" and run.path.resolve() == folder), None)


def _key_of(known: dict[str, dict[str, Any]], noted: Any, name: str, weights: Any) -> str | None:
    """The store's key that the export noted; of an older export the one of its weights, or else the last."""
    if noted in known:
        return str(noted)
    for key, about in known.items():
        held = about.get(name)
        if weights is not None and (held.get("weights") if isinstance(held, dict) else held) == weights:
            return key
    return list(known)[-1] if known else None


def _cases(
    contents: Contents, export: FoundRun | None, annotated: list[AnnotatedImage], outcomes: list[Outcome]
) -> list[Case]:
    """Each caption with its image's candidates, at the cuts the export answered with."""
    if export is None:
        return []
    store = CandidateStore(str(export.setting("candidates") or export.path / "candidates"))
    detector, scorer = (
        _key_of(store.known(kind), export.metrics.get(figure), stage, (export.setting(stage) or {}).get("weights"))
        for kind, figure, stage in (
            ("proposals", "detector_key", "detector"),
            ("embeddings", "embeddings_key", "scorer"),
        )
    )
    if detector is None:
        contents.notes.append(f"{store.folder}: holds no proposals, so nothing is said about the stages.")
        return []
    try:
        sweeper = Sweeper(Replay(store, annotated))
        return cases_of(outcomes, sweeper, detector, typed(export.settings, CutConfig, export.path), scorer)
    except (InputError, NotCovered) as error:
        contents.notes.append(f"Nothing is said about the stages: {error}")
        return []


def _images(contents: Contents, cases: list[Case], limits: Limits) -> None:
    """Scenes, right answers and failures, image after image so that each image is read once."""
    if not cases:
        return
    wrong = [c for c in cases if c.fate != "right"]
    right = [c for c in cases if c.fate == "right"]
    contents.num_failures = len(wrong)
    contents.failures = [card(c, contents.images) for c in spread(wrong, limits.failures)]
    if contents.images.folder is None:
        return
    names = list(dict.fromkeys(c.outcome.image for c in cases))
    by_image: dict[str, list[Case]] = {name: [] for name in names}
    for case in cases:
        by_image[case.outcome.image].append(case)
    step = max(1, len(names) // max(1, limits.scenes))
    for name in names[::step][: limits.scenes]:
        scene = contents.images.scene(name)
        if scene is not None:
            contents.scenes.append({"scene": scene, "cases": by_image[name]})
    contents.successes = [card(c, contents.images) for c in spread(right, limits.successes)]
