"""Which prediction answers which caption: joined by image and id, else by image and caption, or once by place."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from core.counting import count
from core.errors import InputError
from core.records import PredictedImage
from core.texts import alike, composed
from core.values import AnnotatedImage, Annotation, Prediction
from eval.answers.outcomes import Outcome, outcome_of


class Duplicates(Enum):
    """What a second prediction for the same image and caption means."""

    error = "error"
    first = "first"
    last = "last"


@dataclass
class _Image:
    """The captions of one image of the truth, by id and by words; places count its annotations."""

    ids: dict[str, int] = field(default_factory=dict)
    captions: dict[str, list[int]] = field(default_factory=dict)

    def place(self, prediction: Prediction) -> int | None:
        """The annotation that a prediction answers, None when there is none or more than one."""
        if prediction.id is not None and self.ids:
            return self.ids.get(prediction.id)
        caption = prediction.caption
        if caption not in self.captions and not caption.isascii():
            caption = alike([caption], self.captions)[caption]
        places = self.captions.get(caption, [])
        return places[0] if len(places) == 1 else None


def score_keyed(
    truth: list[AnnotatedImage], entries: list[PredictedImage], duplicates: Duplicates = Duplicates.error
) -> list[Outcome]:
    """One outcome for each caption of the truth, joined by image and id where both files have ids, else by caption.

    Raises InputError for predictions of unknown images, captions or ids, for an id beside another caption than its own,
    for a caption that several entries share and no id tells apart, and for repeated predictions unless `duplicates`
    says which to take; the first offenders and their count are named.
    """
    known = {image.image: _known(image.annotations) for image in truth}
    forms = alike((entry.image for entry in entries), known)
    entries = [replace(entry, image=forms[entry.image]) for entry in entries]
    _refuse_strangers(truth, entries, known)
    answers = _answers(entries, known, duplicates)
    return [_outcome(image.image, a, answers.get((image.image, place)))
            for image in truth for place, a in enumerate(image.annotations)]  # fmt: skip


def _outcome(image: str, annotation: Annotation, answer: Prediction | None) -> Outcome:
    return outcome_of(image, annotation, answer)


def _known(annotations: Sequence[Annotation]) -> _Image:
    known = _Image()
    for place, annotation in enumerate(annotations):
        if annotation.id is not None:
            known.ids[annotation.id] = place
        known.captions.setdefault(annotation.caption, []).append(place)
    return known


def _refuse_strangers(truth: list[AnnotatedImage], entries: list[PredictedImage], known: dict[str, _Image]) -> None:
    strangers = [e for e in entries if e.image not in known]
    _refuse(strangers, ("predicted image is not in the truth", "predicted images are not in the truth"),
            [e.image for e in strangers], _known_as(strangers, known))  # fmt: skip
    lost = [(e, p) for e in entries for p in e.predictions if known[e.image].place(p) is None]
    shared = [(e, p) for e, p in lost if len(known[e.image].captions.get(p.caption, ())) > 1 and p.id is None]
    _refuse([e for e, _ in shared], ("predicted caption stands for several entries of the truth; give its id",
                                     "predicted captions stand for several entries of the truth; give their ids"),
            [f"{p.caption!r} of {e.image}" for e, p in shared])  # fmt: skip
    _refuse([e for e, _ in lost], ("predicted caption is not in the truth of its image",
                                   "predicted captions are not in the truth of their image"),
            [f"{_named(p, known[e.image])} of {e.image}" for e, p in lost])  # fmt: skip
    captions = {image.image: [a.caption for a in image.annotations] for image in truth}
    other = []
    for entry in entries:
        for p in entry.predictions:
            place = known[entry.image].place(p)
            if place is not None and not _same(captions[entry.image][place], p.caption):
                other.append((entry, f"{p.id!r} of {entry.image} is {captions[entry.image][place]!r}, not "
                                     f"{p.caption!r}"))  # fmt: skip
    _refuse([e for e, _ in other], ("prediction has an id that names another caption",
                                    "predictions have an id that names another caption"),
            [what for _, what in other])  # fmt: skip


def _same(caption: str, other: str) -> bool:
    return caption == other or composed(caption) == composed(other)


def _named(prediction: Prediction, image: _Image) -> str:
    return f"id {prediction.id!r}" if prediction.id is not None and image.ids else repr(prediction.caption)


def _answers(
    entries: list[PredictedImage], known: dict[str, _Image], duplicates: Duplicates
) -> dict[tuple[str, int], Prediction]:
    answers: dict[tuple[str, int], Prediction] = {}
    repeats: list[PredictedImage] = []
    for entry in entries:
        for prediction in entry.predictions:
            place = known[entry.image].place(prediction)
            assert place is not None
            key = (entry.image, place)
            if key in answers:
                repeats.append(entry)
            if key not in answers or duplicates is Duplicates.last:
                answers[key] = prediction
    if duplicates is Duplicates.error:
        names = list(dict.fromkeys(e.image for e in repeats))
        rest = f"an image and caption ({count(len(names), 'image')}); duplicates=first or duplicates=last takes one"
        _refuse(repeats, (f"prediction repeats {rest}", f"predictions repeat {rest}"), names)
    return answers


def _known_as(strangers: list[PredictedImage], known: dict[str, _Image]) -> str:
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
        outcomes += [_outcome(line.image, a, answers.get(a.caption)) for a in line.annotations]
    return outcomes
