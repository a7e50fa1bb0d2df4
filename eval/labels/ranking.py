"""Signs of several runs made into one ranked list of suspects, and that list as annotations for a label tool."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

from core.values import AnnotatedImage, Annotation
from eval.answered import AnsweredRun
from eval.answers.outcomes import HIT_IOU, iou_ltwh
from eval.attribution import BACKGROUND, NOTHING
from eval.labels.signs import Sign, images_of, signs_of

NO_LABEL = "no label"  # the caption that an exported box has which nobody labelled
CONTRADICTION = 0.5  # of the strength of one that every run holds: two runs of which one must be wrong


def suspects(runs: Sequence[AnsweredRun]) -> list[Sign]:
    """What every run holds against the labels, and what runs contradict each other on, the strongest first.

    The strength of a sign is that of the run which holds it least; signs of equal strength keep the truth's order.
    """
    first, *others = [signs_of(run) for run in runs]
    found = [s for s in (_held_by_all(sign, others) for sign in first) if s is not None]
    known = {(s.image, s.place) for s in found if s.kind == "other target"}
    found += [s for s in _contradicted(runs) if (s.image, s.place) not in known]
    return sorted(found, key=lambda sign: -sign.strength)


def _held_by_all(sign: Sign, others: Sequence[list[Sign]]) -> Sign | None:
    """The sign as the run has it which holds it least, None where one holds nothing like it."""
    strength = sign.strength
    for signs in others:
        alike = [other.strength for other in signs if _is_alike(sign, other)]
        if not alike:
            return None
        strength = min(strength, max(alike))
    return replace(sign, strength=strength)


def _is_alike(a: Sign, b: Sign) -> bool:
    if (a.kind, a.image, a.caption, a.place) != (b.kind, b.image, b.caption, b.place):
        return False
    if a.kind == "no label":  # each run's own box of the same thing
        return iou_ltwh(a.box_ltwh, b.box_ltwh) > HIT_IOU
    return a.box_ltwh == b.box_ltwh


def family(run: AnsweredRun) -> str:
    """What answers in a run: its scorer's weights, or of a one-stage model its own."""
    if run.sweeper is None or run.point is None:
        return run.name
    store, scorer = run.sweeper.replay.store, run.point.scorer
    if scorer is None:
        return str(store.known("proposals")[run.point.detector])
    about = store.known("embeddings")[scorer]
    return str(about.get("scorer", about.get("scorer_key")))


def _contradicted(runs: Sequence[AnsweredRun]) -> list[Sign]:
    """Captions that two runs of different families answer with different targets, one of them perhaps the label's."""
    found: dict[tuple[str, int], Sign] = {}
    for a, b in combinations(runs, 2):
        if family(a) == family(b):
            continue
        strengths = {(s.image, s.place): s.strength for s in (*signs_of(a), *signs_of(b)) if s.kind == "other target"}
        for image, of_b in zip(images_of(a), images_of(b), strict=True):
            for place, (one, two) in enumerate(zip(image.cases, of_b.cases, strict=True)):
                if one.taken == two.taken or {one.taken, two.taken} & {BACKGROUND, NOTHING}:
                    continue
                wrong = one if one.taken != one.outcome.caption else two
                strength = CONTRADICTION * strengths.get((image.name, place), 0.0)
                answer, truths = wrong.outcome.prediction, wrong.outcome.truths_ltwh
                if answer is None or not truths or found.get((image.name, place)):
                    continue
                found[image.name, place] = Sign("contradicted", image.name, wrong.outcome.caption, truths[0], strength,
                                                place, answer.found[0].box_ltwh, wrong.taken)  # fmt: skip
    return list(found.values())


def rows_of(found: Sequence[Sign]) -> list[dict[str, Any]]:
    """The suspects as rows of `suspects.json`, with their rank."""
    return [{"rank": rank, **{n: v for n, v in asdict(sign).items() if n != "place"}}
            for rank, sign in enumerate(found, 1)]  # fmt: skip


def to_annotations(found: Sequence[Sign], annotated: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images with a suspect, the likeliest first, with all their labels as they are, to be mended in a label tool.

    A candidate that nobody labelled is among them as a box with the caption `no label`.
    """
    known = {entry.image: entry for entry in annotated}
    images = []
    for name in dict.fromkeys(sign.image for sign in found):
        boxes = tuple(dict.fromkeys(s.box_ltwh for s in found if s.image == name and s.kind == "no label"))
        has_ids = any(a.id is not None for a in known[name].annotations)
        more = (Annotation(NO_LABEL, boxes, NO_LABEL if has_ids else None),) if boxes else ()
        images.append(replace(known[name], annotations=(*known[name].annotations, *more)))
    return images
