"""Score predictions against annotations: the share of captions whose box overlaps the true one by more than half."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from omegaconf import MISSING

from core.counting import count
from core.errors import InputError
from core.files import open_atomic, sha256_file
from core.records import PredictedImage, read_predictions
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from core.values import AnnotatedImage, Box, Prediction
from data.captions import read_annotations
from eval.ledger import count_look
from eval.statistics import bootstrap_by_image
from eval.tracked import tell

HIT_IOU = 0.5  # a hit is strictly above it: the published scorer rounds the IoU, and round(0.5) is 0


class BoxFormat(Enum):
    """How the prediction file writes boxes."""

    ltwh = "ltwh"
    xyxy = "xyxy"


class Duplicates(Enum):
    """What a second prediction for the same image and caption means."""

    error = "error"
    first = "first"
    last = "last"


class Scoring(Enum):
    """How predictions find their truth: by image and caption, or by place as the published notebook did."""

    keyed = "keyed"
    positional = "positional"


@dataclass
class GroundingConfig(RunConfig):
    """Settings of `eval.grounding`."""

    truth: str = MISSING  # annotation file; its captions are the denominator
    predictions: str = MISSING  # prediction file, JSON Lines or a JSON list
    box_format: BoxFormat = BoxFormat.ltwh  # how the prediction file writes boxes
    duplicates: Duplicates = Duplicates.error  # a second prediction for an image's caption: refuse, or take one
    looks: int | None = None  # budget of looks at this truth, counted in FILE.looks.json beside it; null: as it stands
    scoring: Scoring = Scoring.keyed  # positional repeats a published mistake: entry i against the i-th of the last n
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one caption; `prediction` is None when there was none for it."""

    image: str
    caption: str
    truth_ltwh: Box
    prediction: Prediction | None
    iou: float

    @property
    def hit(self) -> bool:
        """Whether the answer counts."""
        return self.iou > HIT_IOU


def iou_ltwh(a: Box, b: Box) -> float:
    """Intersection over union of two boxes in plain double arithmetic, as the published scorer computes it."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap)


def score_keyed(
    truth: list[AnnotatedImage], entries: list[PredictedImage], duplicates: Duplicates = Duplicates.error
) -> list[Outcome]:
    """One outcome for each caption of the truth, joined by image and caption.

    Raises InputError for a repeated caption in the truth, for predictions of unknown images or captions, and for
    repeated ones unless `duplicates` says which to take; the first offenders and their count are named.
    """
    known = _known_pairs(truth)
    answers = _answers(entries, known, duplicates)
    return [_outcome(image.image, a.caption, a.box_ltwh, answers.get((image.image, a.caption)))
            for image in truth for a in image.annotations]  # fmt: skip


def _outcome(image: str, caption: str, truth_ltwh: Box, answer: Prediction | None) -> Outcome:
    missing = answer is None or answer.box_ltwh is None
    return Outcome(image, caption, truth_ltwh, answer, 0.0 if missing else iou_ltwh(truth_ltwh, answer.box_ltwh))  # type: ignore[union-attr,arg-type]


def _known_pairs(truth: list[AnnotatedImage]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for image in truth:
        captions = [a.caption for a in image.annotations]
        repeated = next((c for c in captions if captions.count(c) > 1), None)
        if repeated is not None:
            raise InputError(f"truth line {image.line}: field 'caption': {repeated!r} twice in {image.image}; "
                             "one caption must mean one box")  # fmt: skip
        known[image.image] = set(captions)
    return known


def _answers(
    entries: list[PredictedImage], known: dict[str, set[str]], duplicates: Duplicates
) -> dict[tuple[str, str], Prediction]:
    strangers = [e for e in entries if e.image not in known]
    _refuse(strangers, ("predicted image is not in the truth", "predicted images are not in the truth"),
            [e.image for e in strangers], _known_as(strangers, known))  # fmt: skip
    lost = [(e, p) for e in entries for p in e.predictions if p.caption not in known[e.image]]
    _refuse([e for e, _ in lost], ("predicted caption is not in the truth of its image",
                                   "predicted captions are not in the truth of their image"),
            [f"{p.caption!r} of {e.image}" for e, p in lost])  # fmt: skip
    answers: dict[tuple[str, str], Prediction] = {}
    repeats: list[PredictedImage] = []
    for entry in entries:
        for prediction in entry.predictions:
            key = (entry.image, prediction.caption)
            if key in answers:
                repeats.append(entry)
            if key not in answers or duplicates is Duplicates.last:
                answers[key] = prediction
    if duplicates is Duplicates.error:
        names = list(dict.fromkeys(e.image for e in repeats))
        rest = f"an image and caption ({count(len(names), 'image')}); duplicates=first or duplicates=last takes one"
        _refuse(repeats, (f"prediction repeats {rest}", f"predictions repeat {rest}"), names)
    return answers


def _known_as(strangers: list[PredictedImage], known: dict[str, set[str]]) -> str:
    """What the truth calls the first stranger, if it differs only in its folder or its ending."""
    if not strangers:
        return ""
    name = strangers[0].image.replace("\\", "/").rpartition("/")[2]
    same = [k for k in known if name and name in {k, k.rpartition("/")[2], k.rpartition("/")[2].rpartition(".")[0]}]
    return f" (the truth names {strangers[0].image} {same[0]})" if len(same) == 1 else ""


def _refuse(offenders: list[PredictedImage], what: tuple[str, str], names: list[str], hint: str = "") -> None:
    """InputError that counts the offenders; `what`: of one, and of several."""
    if offenders:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(f"{offenders[0].place}: {count(len(offenders), *what)}: {shown}{hint}")


def score_positional(truth: list[AnnotatedImage], entries: list[PredictedImage]) -> list[Outcome]:
    """One outcome for each caption of the last n truth lines, entry i against line i of them, as once published.

    Image names are not looked at, which is the mistake this repeats. Raises InputError for more entries than lines.
    """
    if len(entries) > len(truth):
        raise InputError(f"scoring=positional: {len(entries)} predicted entries for {len(truth)} lines of truth")
    lines = truth[len(truth) - len(entries) :]
    outcomes = []
    for line, entry in zip(lines, entries, strict=True):
        answers = {p.caption: p for p in reversed(entry.predictions)}
        outcomes += [_outcome(line.image, a.caption, a.box_ltwh, answers.get(a.caption)) for a in line.annotations]
    return outcomes


def grounding_metrics(outcomes: list[Outcome]) -> dict[str, Any]:
    """`accuracy`, `num_hits`, `num_captions`, `num_missing` (no box for the caption) and `ci95` of the outcomes."""
    if not outcomes:
        raise InputError("truth: holds no captions, so there is nothing to score")
    hits = np.asarray([o.hit for o in outcomes], float)
    missing = [o for o in outcomes if o.prediction is None or o.prediction.box_ltwh is None]
    return {
        "accuracy": float(hits.sum() / len(hits)),
        "num_hits": int(hits.sum()),
        "num_captions": len(outcomes),
        "num_missing": len(missing),
        "ci95": list(bootstrap_by_image(hits, [o.image for o in outcomes])),
    }


def run(config: GroundingConfig, folder: RunFolder) -> dict[str, Any]:
    """Score the file and write `outcomes.jsonl`, one line a caption, beside the metrics."""
    truth = read_annotations(config.truth)
    entries = read_predictions(config.predictions, config.box_format.value)
    for path in (config.truth, config.predictions):
        folder.add_parent(path)
    outcomes = _scored(config, truth, entries)
    digests = {"truth_sha256": sha256_file(config.truth), "predictions_sha256": sha256_file(config.predictions)}
    looks = count_look(config.truth, digests["predictions_sha256"], folder.command, config.looks)
    if looks:
        print(looks)
    _tell_missing(outcomes)
    _tell_other_format(config, truth, outcomes)
    write_outcomes(folder, outcomes)
    metrics = {**grounding_metrics(outcomes), **digests}
    tell(config.tracking, folder, metrics, {"outcomes": [outcome_row(o) for o in outcomes]})
    return metrics


def _scored(config: GroundingConfig, truth: list[AnnotatedImage], entries: list[PredictedImage]) -> list[Outcome]:
    if config.scoring is Scoring.positional:
        return score_positional(truth, entries)
    return score_keyed(truth, entries, config.duplicates)


def _tell_other_format(config: GroundingConfig, truth: list[AnnotatedImage], outcomes: list[Outcome]) -> None:
    """Corners read as sides, or sides as corners, are boxes too; a low accuracy is looked at both ways."""
    hits = sum(o.hit for o in outcomes)
    if 2 * hits > len(outcomes):
        return
    other = BoxFormat.xyxy if config.box_format is BoxFormat.ltwh else BoxFormat.ltwh
    instead = sum(o.hit for o in _scored(config, truth, read_predictions(config.predictions, other.value)))
    if instead > hits:
        print(
            f"{hits} captions right; with box_format={other.value} {instead} would be, so that may be what the file has"
        )


def _tell_missing(outcomes: list[Outcome]) -> None:
    silent = [o.image for o in outcomes if o.prediction is None]
    empty = [o.image for o in outcomes if o.prediction is not None and o.prediction.box_ltwh is None]
    for what, names in (("no prediction", silent), ("a prediction without a box", empty)):
        images = list(dict.fromkeys(names))
        if images:
            shown = ", ".join(images[:3]) + (", ..." if len(images) > 3 else "")
            where = f"{count(len(images), 'image')} ({count(len(names), 'caption')})"
            print(f"{what} for some captions of {where}, counted as misses: {shown}")


def write_outcomes(folder: RunFolder, outcomes: list[Outcome]) -> None:
    """Write `outcomes.jsonl`: image, caption, iou, hit, score and confidence of every caption."""
    import json

    with open_atomic(folder.path / "outcomes.jsonl", "w") as stream:
        for o in outcomes:
            stream.write(json.dumps(outcome_row(o)) + "\n")


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a line of `outcomes.jsonl`."""
    answer = outcome.prediction
    return {
        "image": outcome.image,
        "caption": outcome.caption,
        "truth": list(outcome.truth_ltwh),
        "bbox": None if answer is None or answer.box_ltwh is None else list(answer.box_ltwh),
        "iou": outcome.iou,
        "hit": outcome.hit,
        "score": None if answer is None else answer.score,
        "confidence": None if answer is None else answer.confidence,
    }


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.grounding`."""
    from grounder.command import run_command

    run_command("eval.grounding", GroundingConfig, run, argv)


if __name__ == "__main__":
    main()
