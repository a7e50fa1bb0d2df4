"""What is suspected of each caption's label, as a word to filter by."""

from collections.abc import Sequence

from eval.answered import AnsweredRun
from eval.labels.ranking import suspects
from eval.labels.signs import images_of

UNSUSPECTED = "not suspected"
LEAST = 0.5  # strength of what is told: weaker signs are errors of the models, most of them


def label_words(runs: Sequence[AnsweredRun]) -> list[str]:
    """The kind of the strongest suspicion of each caption, in the truth's order; all unsuspected without stores.

    A candidate that nobody labelled belongs to no caption and is not among them.
    """
    if not all(run.cases for run in runs):
        return [UNSUSPECTED] * len(runs[0].outcomes)
    of_caption: dict[tuple[str, int], str] = {}
    of_target: dict[tuple[str, tuple[float, ...]], str] = {}
    for sign in suspects(runs):
        if sign.strength < LEAST or sign.kind == "no label":
            continue
        if sign.place is not None:
            of_caption.setdefault((sign.image, sign.place), sign.kind)
        else:
            of_target.setdefault((sign.image, sign.box_ltwh), sign.kind)
    words = []
    for image in images_of(runs[0]):
        for place, case in enumerate(image.cases):
            targets = (of_target.get((image.name, box)) for box in case.outcome.truths_ltwh)
            found = of_caption.get((image.name, place)) or next(filter(None, targets), UNSUSPECTED)
            words.append(found)
    return words
