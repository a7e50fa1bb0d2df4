"""The pipeline behind a queue: what concurrent requests ask is brought together, and no image is looked at twice.

Shapes: N candidates of an image, M captions, D embedding width.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.answering import Answer, Seen, answer, known_captions
from core.boxes import xyxy_to_ltwh
from core.cuts import candidates_of
from core.errors import InputError
from core.images import decode_image
from core.pixels import crop_box
from core.stages import Image
from core.values import Box
from pipeline.server.limits import Instance
from pipeline.system import Pipeline

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """An answer with how likely it is, and the candidates that came next.

    answer: as of a request that asks for boxes alone. score, probability: of its best box, None where nothing answers.
    runners_up: (box, score, probability) of the others by falling score. The probability is `Answer.probabilities`.
    """

    answer: Box | list[Box] | None
    score: float | None
    probability: float | None
    runners_up: tuple[tuple[Box, float | None, float], ...] = ()


CAPTIONS = 4096  # whose embeddings are remembered, a few kB each
# one answer an instance: a box, or None where nothing in the image answers; a list of boxes with choosing.select=above
Boxes = list[Box | list[Box] | Told | None]


class Recent(Generic[T]):
    """The last used values of a bounded number of keys."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        """The value of a key, which becomes the latest used; None when it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: T) -> None:
        """Keep a value, and let go of the one unused for longest when there are too many."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)


class Answering:
    """Answers requests together; remembers recent images and captions by content.

    Use it from one thread at a time. Its answers do not depend on what is asked beside: captions are assigned within
    their own request.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        batch: int = 8,
        images: int = 256,
        decode: Callable[[bytes, str], Image] = decode_image,
    ) -> None:
        self._pipeline, self._batch, self._decode = pipeline, batch, decode
        self._images: Recent[Seen] = Recent(images)
        self._captions: Recent[NDArray[np.float32]] = Recent(CAPTIONS)
        self._known: dict[str, NDArray[np.float32]] = {}  # what the scorer knows, read at the first request

    def answer(self, requests: Sequence[Sequence[Instance]]) -> list[Boxes | InputError]:
        """Each request's boxes in the order of its instances, or the error that one of its images causes."""
        seen, errors = self._look(requests)
        texts = self._read({i.caption for request in requests for i in request})
        answers: list[Boxes | InputError] = []
        for request in requests:
            broken = next((i for i in request if i.digest in errors), None)
            if broken is not None:
                answers.append(InputError(f"instances[{broken.place}]: {errors[broken.digest]}"))
            else:
                answers.append(self._choose(request, seen, texts))
        return answers

    def _look(self, requests: Sequence[Sequence[Instance]]) -> tuple[dict[str, Seen], dict[str, str]]:
        """What is seen in every distinct image, a bounded number of decoded images at a time; errors by digest."""
        wanted = {i.digest: i.data for request in requests for i in request}
        found = {digest: self._images.get(digest) for digest in wanted}
        seen = {digest: known for digest, known in found.items() if known is not None}
        errors: dict[str, str] = {}
        fresh = [digest for digest in wanted if digest not in seen]
        for start in range(0, len(fresh), self._batch):
            decoded: dict[str, Image] = {}
            for digest in fresh[start : start + self._batch]:
                try:
                    decoded[digest] = self._decode(wanted[digest], "the image")
                except InputError as error:
                    errors[digest] = str(error)
            for digest, new in self._ask_models(decoded).items():
                seen[digest] = new
                self._images.put(digest, new)
        return seen, errors

    def _ask_models(self, images: Mapping[str, Image]) -> dict[str, Seen]:
        if not images:
            return {}
        views = self._pipeline.propose(list(images.values()))
        candidates = {d: candidates_of(v, self._pipeline.config) for d, v in zip(images, views, strict=True)}
        if self._pipeline.scorer is None or not any(len(found) for found in candidates.values()):
            return {digest: Seen(found) for digest, found in candidates.items()}
        embeddings = self._pipeline.embed_crops(
            crop_box(images[digest], box) for digest, found in candidates.items() for box in found.boxes_xyxy
        )
        ends = np.cumsum([len(found) for found in candidates.values()])
        parts = np.split(embeddings, ends[:-1])
        return {d: Seen(found, part) for (d, found), part in zip(candidates.items(), parts, strict=True)}

    def _read(self, captions: set[str]) -> dict[str, NDArray[np.float32]]:
        if self._pipeline.scorer is None:
            return {}
        if not self._known:
            names = known_captions(self._pipeline.scorer.calibration)
            self._known = dict(zip(names, self._pipeline.embed_texts(names), strict=True)) if names else {}
        known = {caption: self._captions.get(caption) for caption in captions - self._known.keys()}
        fresh = sorted(caption for caption, embedding in known.items() if embedding is None)
        texts = self._known | {caption: embedding for caption, embedding in known.items() if embedding is not None}
        if fresh:
            for caption, embedding in zip(fresh, self._pipeline.embed_texts(fresh), strict=True):
                self._captions.put(caption, embedding)
                texts[caption] = embedding
        return texts

    def _choose(
        self, request: Sequence[Instance], seen: Mapping[str, Seen], texts: Mapping[str, NDArray[np.float32]]
    ) -> Boxes:
        boxes: Boxes = [None] * len(request)
        for digest in dict.fromkeys(i.digest for i in request):
            places = [n for n, i in enumerate(request) if i.digest == digest]
            captions = [request[n].caption for n in places]
            scorer, known = self._pipeline.scorer, seen[digest]
            calibration = None if known.embeddings_ND is None or scorer is None else scorer.calibration
            scores = known.scores(captions, texts, calibration)
            answered = answer(known.candidates, scores, len(captions), self._pipeline.config.choosing)
            for n, prediction in zip(places, answered.predictions("", captions), strict=True):
                found = [found.box_ltwh for found in prediction.found]
                boxes[n] = found if answered.choice.several else prediction.box_ltwh
                if request[n].runners_up is not None:
                    boxes[n] = told(answered, places.index(n), boxes[n], int(request[n].runners_up or 0))
        return boxes


def told(answered: Answer, caption: int, box: Any, runners_up: int) -> Told:
    """The answer to one caption with what is known beside its box."""
    likely = answered.probabilities(caption)
    scores = None if answered.scores_NM is None else answered.scores_NM[:, caption].astype(float)
    chosen = answered.choice.places(caption)
    order = np.argsort(-(likely if scores is None else scores), kind="stable")
    rest = [int(n) for n in order if n not in chosen][:runners_up]
    boxes = xyxy_to_ltwh(answered.candidates.boxes_xyxy.astype(np.float64)).tolist()
    others = tuple((tuple(boxes[n]), None if scores is None else float(scores[n]), float(likely[n])) for n in rest)
    best = chosen[0] if chosen else None
    score = None if best is None or scores is None else float(scores[best])
    return Told(box, score, None if best is None else float(likely[best]), others)
