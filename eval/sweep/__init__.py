"""Try every combination of settings on exported candidates, without asking a model again."""

import shlex
import sys
from collections.abc import Sequence
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from core.choosing import ChoosingConfig, ChoosingMethod, Combining, Select, check_choosing
from core.cuts import CutConfig, FusionConfig, combinations
from core.errors import InputError
from core.files import read_json, sha256_bytes, sha256_file, write_json, write_text
from core.progress import progress
from core.runs import RunFolder
from core.store import CandidateStore
from data.captions import read_annotations
from data.sources import settle
from eval.answers.measures import CURVES, FIGURES
from eval.ledger import count_look, ledger_path
from eval.sweep.belonging import doubts
from eval.sweep.columns import detector_columns, scorer_columns
from eval.sweep.points import NotCovered, Sweeper, SystemPoint
from eval.sweep.replay import GroundedReplay, Replay, find_key
from eval.sweep.settings import SweepConfig
from eval.tables import comma_separated, markdown, print_table, varying
from eval.tracked import tell

SETTINGS = ("detector", "imgsz", "detector_weights", "views", "confidence", "nms_iou", "max_det", "vote_iou", "fusion",
            "wbf_iou", "weights", "scorer", "upscaler", "scorer_weights", "method", "confidence_weight",
            "combine", "refusal", "absent_below", "select", "above")  # fmt: skip
AXES = ("confidence", "nms_iou", "wbf_iou", "confidence_weight", "max_det", "views", "fusion", "weights", "method",
        "combine", "refusal", "absent_below", "select", "above", "vote_iou")  # fmt: skip
# axes that pipeline.export covers only when it is asked to
RARELY = ("views", "fusion", "wbf_iou", "weights", "vote_iou")
SHOWN = ("accuracy", "ceiling", "chance", "AP", "AP50", "precision", "recall", "f1")
SHOWN_APART = ("instance_f1", "exact_share", "none_accuracy", "target_accuracy")  # of captions with several or none
PUBLISHED = {  # the published table's columns; its AP saw only boxes above the confidence
    "conf": "confidence", "IoU thresh": "nms_iou", "pycocotools mAP@0.5": "AP50_cut",
    "pycocotools mAP@0.5-0.95": "AP_cut", "self calc mAP@0.5 over no. GT": "map50_over_truth",
    "self calc mAP@0.5 over no. preds": "map50_over_predictions",
}  # fmt: skip


def points_of(config: SweepConfig, store: CandidateStore) -> list[SystemPoint]:
    """Every combination of the lists; InputError for keys that the store does not hold and for empty lists."""
    for name in AXES:
        if not getattr(config, name):
            raise InputError(f"{name}: is an empty list, so there is nothing to try")
    detectors, scorers = _keys(config, store)
    fusion = FusionConfig(view_weights=config.view_weights, min_votes=config.min_votes, score_rule=config.score_rule)
    cuts = combinations(config, CutConfig(fusion=fusion))
    choosings = choosings_of(config)
    return [SystemPoint(views, cut, detector, scorer, choosing) for detector, views, scorer, choosing, cut in
            product(detectors, config.views, scorers, choosings, cuts)]  # fmt: skip


def choosings_of(config: SweepConfig) -> list[ChoosingConfig]:
    """Every way of choosing; what one way has no use for is tried with the first value alone. Raises InputError."""
    axes = product(config.method, config.confidence_weight, config.combine, config.refusal, config.absent_below,
                   config.select, config.above)  # fmt: skip
    if ChoosingMethod.assignment not in config.method and config.refusal != [None]:
        raise InputError("refusal: only an assignment can be refused; it needs method=[assignment]")
    found = []
    for method, weight, combine, refusal, absent, select, above in axes:
        assigns = method is ChoosingMethod.assignment
        if select is not Select.above and above != config.above[0]:
            continue
        if combine is Combining.posterior and weight != config.confidence_weight[0]:
            continue
        if not assigns and refusal != config.refusal[0]:
            continue
        refusal = refusal if assigns else None
        found.append(ChoosingConfig(method, weight, combine, config.posterior, refusal, absent, select, above,
                                    config.fallback))  # fmt: skip
        check_choosing(found[-1], "")
    return found


def _store(config: SweepConfig) -> CandidateStore:
    """The store itself, or that of a pipeline.export run whose folder was given."""
    folder = Path(config.candidates)
    inner = folder / "candidates"
    return CandidateStore(inner if (inner / "proposals").is_dir() and not (folder / "proposals").is_dir() else folder)


def _keys(config: SweepConfig, store: CandidateStore) -> tuple[list[str], list[str | None]]:
    detectors, scorers = list(store.known("proposals")), list(store.known("embeddings"))
    if not detectors:
        raise InputError(f"{config.candidates}: holds no proposals; pipeline.export makes them")
    chosen: list[str | None] = [None if s == "none" else find_key(scorers, s, "scorers") for s in config.scorers]
    return [find_key(detectors, d, "detectors") for d in config.detectors] or detectors, chosen or [*scorers] or [None]


def _replay(config: SweepConfig, store: CandidateStore, points: Sequence[SystemPoint]) -> Replay:
    """A replay of detectors and scorers, or of one-stage models that answered alone; InputError for both at once."""
    known = store.known("proposals")
    alone = {
        p.scorer is None and all("grounded" in known[key] for key in p.detector.split("+")) for p in points
    }  # fmt: skip
    if len(alone) > 1:
        raise InputError("detectors, scorers: one-stage models that answer alone are swept by themselves; name them by "
                         "detectors=[KEY] scorers=[none]")  # fmt: skip
    truth = read_annotations(config.truth)
    return GroundedReplay(store, truth) if True in alone else Replay(store, truth)


def sweep(config: SweepConfig) -> tuple[list[dict[str, Any]], Sweeper]:
    """The rows of the table, in the order of the lists, and the sweeper that made them."""
    store = _store(config)
    if not store.folder.is_dir():
        raise InputError(f"{config.candidates}: no such folder; pipeline.export makes it")
    points = points_of(config, store)
    sweeper = Sweeper(_replay(config, store, points), config.match_iou)
    if not len(sweeper.truth):
        raise InputError(f"{config.truth}: holds no boxes, so there is nothing to judge by")
    sweeper.prepare(points)
    if next((store.folder / "choices").glob("*/*"), None) is not None:
        print(f"{config.candidates}: a re-ranker chose here; its choices are not swept, and every point is without it "
              "(pipeline.export with reranker= repeats what is kept of them)", file=sys.stderr)  # fmt: skip
    for doubt in doubts(sweeper.replay, str(config.truth), [points[0].detector]):
        print(doubt, file=sys.stderr)
    detectors, scorers = store.known("proposals"), store.known("embeddings")
    rows = []
    for point in progress(points, "sweeping (points)", len(points)):
        try:
            names = detector_columns(detectors, point.detector) | scorer_columns(scorers, point.scorer)
            rows.append(point.columns() | names | sweeper.figures(point))
        except NotCovered as lacking:
            raise InputError(_how_to_cover(config, store, point, str(lacking))) from None
    return rows, sweeper


def _word(value: Any) -> str:
    """A value or a list as Hydra's grammar writes it."""
    if value is None:
        return "null"
    if not isinstance(value, str) and isinstance(value, Sequence):
        return "[" + ",".join(map(_word, value)) + "]"
    return str(value.value if isinstance(value, Enum) else value)


def _how_to_cover(config: SweepConfig, store: CandidateStore, point: SystemPoint, image: str) -> str:
    """One line: what is lacking, and the command that adds it."""
    default = SweepConfig()
    asked = [name for name in RARELY if getattr(config, name) != getattr(default, name)]
    lists = [f"sweep.{name}={_word(getattr(config, name))}" for name in ("confidence", "nms_iou", "max_det", *asked)]
    record = store.folder.resolve().parent / "run.json"
    words = ["python", "-m", "pipeline.export", "annotations=...", "images=...", "detector=...", "scorer=..."]
    if record.is_file():
        made = read_json(record)
        if made.get("command") == "pipeline.export":
            settings = [w for w in made["command_line"][1:] if "=" in w and not w.startswith(("sweep.", "run_dir="))]
            words = ["python", "-m", "pipeline.export", *settings]
    words += [f"candidates={store.folder}", *lists]
    setting = ", ".join(f"{n}={point.columns()[n]}" for n in ("confidence", "nms_iou", "max_det", "vote_iou", "fusion"))
    return f"{store.folder}: holds no score of some crop of {image} at {setting}; this adds it: {shlex.join(words)}"


def best_row(rows: Sequence[dict[str, Any]], by: str = "accuracy") -> dict[str, Any]:
    """The row with the highest figure `by` (what is lost or wrong: the lowest), of equal ones the highest F1."""
    return max(rows, key=lambda row: _rank(row, by))


def shown_columns(rows: Sequence[dict[str, Any]], by: str) -> list[str]:
    """The columns of the table: the settings that vary and the figures, of several and none where it is about them."""
    return [*varying(rows, SETTINGS), SHOWN[0], *(() if by == "accuracy" else SHOWN_APART), *SHOWN[1:]]


def ranked_rows(rows: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The rows, the best first."""
    return sorted(rows, key=lambda row: _rank(row, by), reverse=True)


def _rank(row: dict[str, Any], by: str) -> tuple[float, float]:
    value = row.get(by)
    return -np.inf if value is None else -value if by in CURVES else value, row["f1"]


def _judged_by(config: SweepConfig, sweeper: Sweeper) -> str:
    """The figure that the best point has most of."""
    if config.by is not None:
        return config.by
    return "accuracy" if (sweeper.num_truths == 1).all() else "exact_share"


def published_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in the columns of the published confidence x IoU table, as Markdown at full precision."""
    named = [{title: row[column] for title, column in PUBLISHED.items()} for row in rows]
    return markdown(named, list(PUBLISHED), digits=6)


def run(config: SweepConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `sweep.json`, `sweep.csv`, `sweep.md` and `published.md`; heat maps and curves are the report's."""
    looks = _count_looks(config)
    settle(config, folder)
    if config.by is not None and config.by not in FIGURES:
        raise InputError(f"by: {config.by!r} is not one of {', '.join(FIGURES)}")
    rows, sweeper = sweep(config)
    by = _judged_by(config, sweeper)
    if looks:
        print(looks)
    for path in (config.candidates, config.truth):
        folder.add_parent(path)
    columns = shown_columns(rows, by)
    write_json(folder.path / "sweep.json", rows)
    write_text(folder.path / "sweep.csv", comma_separated(rows))
    write_text(folder.path / "sweep.md", markdown(rows, columns))
    write_text(folder.path / "published.md", published_table(rows))
    if len(rows) <= 60:
        print_table(rows, columns)
    best = best_row(rows, by)
    value = "nothing to measure" if best[by] is None else f"{best[by]:.4f}"
    print("best: " + ", ".join(f"{c} {best[c]}" for c in varying(rows, SETTINGS)) + f": {by} {value}")
    metrics = {
        "num_points": len(rows),
        "best_by": by,
        "best_accuracy": best["accuracy"],
        **({} if by == "accuracy" else {f"best_{by}": best[by]}),
        "best": {name: best[name] for name in SETTINGS},
        "candidates": str(Path(config.candidates)),
        "truth_sha256": sha256_file(config.truth),
    }
    tell(config.tracking, folder, metrics, {"points": rows}, files=[folder.path / "sweep.csv"])
    return metrics


def _count_looks(config: SweepConfig) -> str | None:
    """Every setting tried on a set with a ledger is a look at it."""
    if not ledger_path(config.truth).is_file():
        return None
    points = points_of(config, _store(config))
    what = sha256_bytes("\n".join(map(str, points)).encode())
    return count_look(config.truth, what, "eval.sweep", num_looks=len(points))


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.sweep`."""
    from grounder.command import run_command

    run_command("eval.sweep", SweepConfig, run, argv)
