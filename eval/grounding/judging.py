"""The work of eval.grounding: join, score, and say what is missing or looks like another box format."""

from typing import Any

from core.counting import count
from core.files import sha256_file
from core.records import PredictedImage, read_predictions
from core.runs import RunFolder
from core.values import AnnotatedImage
from data.captions import read_annotations
from data.sources import settle
from eval.answers.joining import score_keyed, score_positional
from eval.answers.measures import grounding_metrics
from eval.answers.outcomes import Outcome, outcome_row, write_outcomes
from eval.grounding.settings import BoxFormat, GroundingConfig, Protocol, Scoring
from eval.ledger import count_look
from eval.protocols import grefcoco, ours, refdrone, refdrone_vlm, rsvg, vrsbench
from eval.tables import print_table
from eval.tracked import tell

PROTOCOLS: dict[Protocol, Any] = {
    Protocol.ours: ours,
    Protocol.refdrone: refdrone,
    Protocol.refdrone_vlm: refdrone_vlm,
    Protocol.grefcoco: grefcoco,
    Protocol.rsvg: rsvg,
    Protocol.vrsbench: vrsbench,
}


def judge(config: GroundingConfig, folder: RunFolder) -> dict[str, Any]:
    """Score the file and write `outcomes.jsonl`, one line a caption, beside the metrics."""
    looked_at = config.truth
    settle(config, folder)
    truth = read_annotations(config.truth)
    entries = read_predictions(config.predictions, config.box_format.value)
    for path in (config.truth, config.predictions):
        folder.add_parent(path)
    outcomes = _scored(config, truth, entries)
    by_protocol = _by_protocol(config, outcomes)
    digests = {"truth_sha256": sha256_file(config.truth), "predictions_sha256": sha256_file(config.predictions)}
    told = count_look(looked_at, digests["predictions_sha256"], folder.command, config.looks)
    if told:
        print(told)
    _tell_missing(outcomes)
    _tell_other_format(config, truth, outcomes)
    rows = [outcome_row(outcome) for outcome in outcomes]
    write_outcomes(folder, rows)
    metrics = {**grounding_metrics(outcomes), **by_protocol, **digests}
    tell(config.tracking, folder, metrics, {"outcomes": rows})
    return metrics


def _by_protocol(config: GroundingConfig, outcomes: list[Outcome]) -> dict[str, Any]:
    """The protocol's figures under `protocol`, printed with our strict ones beside them; nothing for our own."""
    if config.protocol is Protocol.ours:
        return {}
    rules, name = PROTOCOLS[config.protocol], config.protocol.value
    figures, strict = rules.judge(outcomes, config.least_score), ours.judge(outcomes)
    nearest = {figure: rules.BESIDE.get(figure) for figure in figures}
    rows = [{"figure": f, name: v, "ours": strict.get(nearest[f]), "called": nearest[f]} for f, v in figures.items()]
    print_table(rows, ["figure", name, "ours", "called"], digits=4)
    return {"protocol": {"name": name, **figures}}


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
    missed = [o for o in outcomes if o.truths_ltwh and not o.boxes_ltwh]  # where nothing is, an empty answer is right
    empty = [o.image for o in missed if o.prediction is not None]
    for what, names in (("no prediction", silent), ("a prediction without a box", empty)):
        images = list(dict.fromkeys(names))
        if images:
            shown = ", ".join(images[:3]) + (", ..." if len(images) > 3 else "")
            where = f"{count(len(images), 'image')} ({count(len(names), 'caption')})"
            print(f"{what} for some captions of {where}, counted as misses: {shown}")
