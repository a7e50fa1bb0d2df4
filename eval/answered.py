"""What a run answered, caption by caption: the records that the report, and whoever else looks at a run, start from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.choosing import ChoosingConfig
from core.cuts import CutConfig
from core.errors import InputError
from core.records import read_predictions
from core.store import CandidateStore
from core.values import AnnotatedImage
from data.captions import read_annotations
from eval.answers.joining import score_keyed
from eval.answers.outcomes import Outcome
from eval.attribution import Case, cases_of
from eval.runs import FoundRun, latest, run_at, typed
from eval.sweep.points import NotCovered, Sweeper, SystemPoint
from eval.sweep.replay import GroundedReplay, Replay

STORED = (("proposals", "detector_key", "detector"), ("embeddings", "embeddings_key", "scorer"))  # in which folder


@dataclass
class AnsweredRun:
    """One run over a truth: an outcome a caption, and with its store a case a caption, in the truth's order.

    export: the pipeline.export run that answered, None where it is not to be found. sweeper, point: its store and its
    own setting, None where the store says nothing of it. notes: what is lacking, a sentence each.
    """

    name: str
    truth_path: str
    annotated: list[AnnotatedImage]
    outcomes: list[Outcome]
    export: FoundRun | None = None
    sweeper: Sweeper | None = None
    point: SystemPoint | None = None
    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_sigmoid(self) -> bool:
        """Whether the scores are probabilities, as a sigmoid's and a one-stage model's are, not raw logits."""
        if self.sweeper is None or self.point is None or self.point.scorer is None:
            return True
        return bool(self.sweeper.replay.store.known("embeddings")[self.point.scorer]["calibration"]["sigmoid"])

    @property
    def images(self) -> str | None:
        """The folder of the images that the export read, where it is known."""
        return None if self.export is None else self.export.setting("images")


def answered_run(
    runs: Sequence[FoundRun], name: str, truth: str | None = None
) -> tuple[AnsweredRun | None, str | None]:
    """What the newest of some runs answered, or None and why not.

    truth: annotation file; None: the one that the answers were judged by or asked from. Raises InputError for
    files that do not fit each other.
    """
    export = latest(runs, "pipeline.export")
    found = _predictions(runs, export)
    path = truth or (found[1] if found else None)
    if found is None or path is None:
        return None, "No predictions with their truth were found, so the report is about the runs alone."
    if not Path(path).is_file():
        return None, f"{path}: no such truth file; give truth=FILE. The report is about the runs alone."
    annotated = read_annotations(path)
    outcomes = score_keyed(annotated, read_predictions(found[0]))
    told = AnsweredRun(name, str(path), annotated, outcomes, _maker(runs, found[0]) or export)
    _replay(told)
    return told, None


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
    for run in (*runs, run_at(folder)):
        if run is not None and run.command == "pipeline.export" and run.path.resolve() == folder:
            return run
    return None


def _key_of(known: dict[str, dict[str, Any]], noted: Any, name: str, weights: Any) -> str | None:
    """The store's key that the export noted; of an older export the one of its weights, or else the last."""
    if noted in known:
        return str(noted)
    for key, about in known.items():
        held = about.get(name)
        if weights is not None and (held.get("weights") if isinstance(held, dict) else held) == weights:
            return key
    return list(known)[-1] if known else None


def _replay(told: AnsweredRun) -> None:
    """Each caption with its image's candidates, at the setting that the export answered with."""
    if told.export is None:
        return
    export = told.export
    store = CandidateStore(str(export.setting("candidates") or export.path / "candidates"))
    detector, scorer = (
        _key_of(store.known(kind), export.metrics.get(figure), stage, (export.setting(stage) or {}).get("weights"))
        for kind, figure, stage in STORED
    )
    if detector is None:
        told.notes.append(f"{store.folder}: holds no proposals, so nothing is said about the stages.")
        return
    is_grounded = "grounded" in store.known("proposals")[detector]
    if "detector_key" in export.metrics and "embeddings_key" not in export.metrics:
        scorer = None  # it has no scorer, whatever others left in the store
    replay = GroundedReplay if is_grounded and scorer is None else Replay
    try:
        cut = typed(export.settings, CutConfig, export.path)
        choosing = typed(export.setting("choosing") or {}, ChoosingConfig, export.path)
        told.sweeper = Sweeper(replay(store, told.annotated))
        told.cases = cases_of(told.outcomes, told.sweeper, detector, cut, scorer)
        told.point = SystemPoint("*", cut, detector, scorer, choosing)
    except (InputError, NotCovered) as error:
        told.notes.append(f"Nothing is said about the stages: {error}")
        told.sweeper = None
