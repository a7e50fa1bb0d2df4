"""An export's answers, from the store alone but for what a re-ranker has never been asked."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.answering import Answer, Scores, Seen, answer, embeddings_of
from core.choosing import NOBODY, Choice, merit
from core.cuts import candidates_of
from core.grounded import read_choice, write_choice
from core.images import read_image
from core.listing import image_path
from core.pixels import pixel_boxes
from core.store import CandidateStore
from core.values import Prediction
from data.captions import CaptionedImage
from pipeline.grounding import Grounding
from pipeline.system import OnStage, Pipeline

if TYPE_CHECKING:
    from onestage.reranking import Reranker


@dataclass
class Answers:
    """Everything that an export's answers come from; the numbers count what a one-stage model and a re-ranker did."""

    store: CandidateStore
    pipeline: Pipeline
    grounding: Grounding | None
    reranker: "Reranker | None"
    images: Path
    digests: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    on_stage: OnStage
    num_candidates: int = 0  # that passed the cuts; the fallback of an image where none does is not counted
    num_reranked: int = 0
    num_unparsed_choices: int = 0

    def all(self, captioned: Sequence[CaptionedImage]) -> list[Prediction]:
        """Every caption's prediction, in the file's order."""
        texts = self.store.read_texts(self.pipeline.scorer.key) if self.pipeline.scorer is not None else {}
        return [prediction for entry in captioned for prediction in self._of(entry, texts)]

    def _of(self, entry: CaptionedImage, texts: Mapping[str, NDArray[np.float32]]) -> list[Prediction]:
        if self.grounding is not None and self.pipeline.scorer is None:
            return self._grounded(self.grounding, entry)
        captions, answered = list(entry.captions), self._scored(entry, texts)
        if self.reranker is not None:
            answered = self._reranked(entry.image, captions, [answered] * len(captions), range(len(captions)))[0]
        return answered.predictions(entry.image, captions, entry.ids)

    def _scored(self, entry: CaptionedImage, texts: Mapping[str, NDArray[np.float32]]) -> Answer:
        digest, pipeline = self.digests[entry.image], self.pipeline
        calibration = pipeline.scorer.calibration if pipeline.scorer is not None else None
        views, least = self.store.read_views(pipeline.detector.key, digest), np.float32(pipeline.config.confidence)
        seen = Seen(candidates_of(views, pipeline.config))
        passing = any((view.candidates.confidence >= least).any() for view in views)
        self.num_candidates += len(seen.candidates) if passing else 0
        if calibration is not None:
            stored = self.store.read_embeddings(pipeline.embeddings_key, digest)
            pixels = pixel_boxes(seen.candidates.boxes_xyxy, *self.sizes[entry.image])
            seen = Seen(seen.candidates, embeddings_of(pixels, *stored))
        scores = seen.scores(entry.captions, texts, calibration)
        return answer(seen.candidates, scores, len(entry.captions), pipeline.config.choosing)

    def _grounded(self, grounding: Grounding, entry: CaptionedImage) -> list[Prediction]:
        """Each caption's own boxes, whose confidence is the score; a model without confidences tells neither."""
        config, captions = self.pipeline.config, list(entry.captions)
        said = [grounding.said(self.digests[entry.image], caption) for caption in captions]
        answers = []
        for one in said:
            found = candidates_of(one.views, config)
            scores = Scores(found.confidence[:, None].astype(np.float64), True) if len(found) else None
            answers.append(answer(found, scores, 1, config.choosing))
        if self.reranker is not None:
            answers = self._reranked(entry.image, captions, answers, [0] * len(captions))
        told = []
        for caption, key, one, answered in zip(captions, entry.ids, said, answers, strict=True):
            prediction = answered.predictions(entry.image, [caption], [key])[0]
            told.append(prediction if one.scored else _unscored(prediction))
        return told

    def _reranked(
        self, image: str, captions: Sequence[str], answers: Sequence[Answer], columns: Sequence[int]
    ) -> list[Answer]:
        """The answers with the re-ranker's choices; answer i is caption i's, in its column `columns[i]`."""
        assert self.reranker is not None
        shown = [self._best(answered, m) for answered, m in zip(answers, columns, strict=True)]
        choices = self._choices(image, captions, answers, shown)
        chosen = [np.array(answered.chosen_M) for answered in answers]
        shared = chosen[0] if chosen and all(a is answers[0] for a in answers) else None
        for i, (m, choice) in enumerate(zip(columns, choices, strict=True)):
            if choice is not None:
                (chosen[i] if shared is None else shared)[m] = NOBODY if choice < 0 else shown[i][choice]
        picked = [Choice(c if shared is None else shared) for c in chosen]
        return [replace(a, choice=choice) for a, choice in zip(answers, picked, strict=True)]

    def _best(self, answered: Answer, m: int) -> NDArray[np.intp]:
        """Places of the best candidates for column m, the chosen one first; none where nobody was chosen."""
        assert self.reranker is not None
        config, candidates = self.pipeline.config.choosing, answered.candidates
        if int(answered.chosen_M[m]) == NOBODY:
            return np.zeros(0, np.intp)
        rank, scores = candidates.confidence.astype(np.float64), answered.scores
        if scores is not None:
            rank = merit(scores.matrix_NM, rank, config, scores.sigmoid, scores.logs_NM2)[:, m]
        order = np.argsort(-rank, kind="stable")
        first = int(answered.chosen_M[m])
        return np.asarray([first, *order[order != first]][: self.reranker.config.best], np.intp)

    def _choices(
        self, image: str, captions: Sequence[str], answers: Sequence[Answer], shown: Sequence[NDArray[np.intp]]
    ) -> list[int | None]:
        """What the re-ranker chose for each caption, by content from the store or asked now; None: no choice."""
        assert self.reranker is not None
        digest, size = self.digests[image], self.sizes[image]
        boxes = [a.candidates.boxes_xyxy[places] for a, places in zip(answers, shown, strict=True)]
        questions = [
            self.reranker.question(c, pixel_boxes(b, *size)) for c, b in zip(captions, boxes, strict=True)
        ]  # fmt: skip
        key, stored = self.reranker.key, {}
        for q, places in zip(questions, shown, strict=True):
            stored[q] = read_choice(self.store, key, digest, q) if len(places) else {"place": None}
        fresh = [i for i, q in enumerate(questions) if stored[q] is None]
        fresh = [i for i in fresh if questions.index(questions[i]) == i]
        if fresh:
            began, pixels = time.perf_counter(), read_image(image_path(self.images, image))
            for job, choice in self.reranker.choose(pixels, [(captions[i], boxes[i]) for i in fresh]):
                told = {"place": choice.place, "shares": list(choice.shares), "tokens": choice.tokens,
                        "caption": captions[fresh[job]]}  # fmt: skip
                stored[questions[fresh[job]]] = told
                write_choice(self.store, key, digest, questions[fresh[job]], told)
            self.on_stage("reranker", time.perf_counter() - began, len(fresh))
        self.num_reranked += sum(len(places) > 0 for places in shown)
        found = [(stored[q] or {}).get("place") for q in questions]
        self.num_unparsed_choices += sum(p is None and len(s) > 0 for p, s in zip(found, shown, strict=True))
        return [
            place if isinstance(place, int) and place < len(s) else None for place, s in zip(found, shown, strict=True)
        ]


def _unscored(prediction: Prediction) -> Prediction:
    """The same answer of a model that gives no confidences: what stands in for them is not told."""
    others = tuple(replace(box, score=None, confidence=None) for box in prediction.others)
    return replace(prediction, score=None, confidence=None, others=others)
