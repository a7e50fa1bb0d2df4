"""The work of `eval.fit`: features of every caption's candidates from the stores, weights, and accuracy by them."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.choosing import ChoosingConfig, Combining
from core.cuts import CutConfig
from core.errors import InputError
from core.posterior import PosteriorWeights, posterior_features
from core.store import CandidateStore
from data.sources import read_any
from eval.fit.logit import Choices, fit_weights, gather
from eval.fit.settings import FitConfig
from eval.statistics import paired_difference
from eval.sweep.points import NotCovered, Sweeper, SystemPoint
from eval.sweep.replay import Replay, find_key

DIGITS = 3  # of the weights that are told, and that accuracy is of


@dataclass(frozen=True)
class Tuning:
    """One store with its truth, and the point at which its captions are answered."""

    sweeper: Sweeper
    detector: str
    scorer: str

    def captions(self, config: FitConfig) -> list[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]:
        """Of each caption its image, its candidates' (N, 3) features and which of them are right."""
        cut, found = _cut(config), []
        replay = self.sweeper.replay
        for image, crops in zip(replay.images(self.detector, config.views), replay.scores(self.scorer), strict=True):
            candidates, overlaps_NG = self.sweeper.candidates(image, cut)
            if not len(candidates):
                continue
            scores, hits_NM = crops.of(candidates.boxes_xyxy), image.hits_of(overlaps_NG)
            if scores is None or scores.logs_NM2 is None:
                raise NotCovered(image.name)
            features_NM3 = posterior_features(scores.logs_NM2, candidates.confidence)
            found += [(image.name, features_NM3[:, m], hits_NM[:, m]) for m in range(len(image.captions))]
        return found

    def hits(self, config: FitConfig, choosing: ChoosingConfig) -> NDArray[np.bool_]:
        """(M,) which captions of one target are answered rightly."""
        point = SystemPoint(config.views, _cut(config), self.detector, self.scorer, choosing)
        return self.sweeper.answers(point).counts.hit[self.sweeper.num_truths == 1]

    def images(self) -> list[str]:
        """The image of each caption of one target."""
        return [e.image for e in self.sweeper.replay.truth for a in e.annotations if len(a.boxes_ltwh) == 1]


def open_tunings(config: FitConfig) -> list[Tuning]:
    """The stores and truths of the settings, in pairs; InputError for what does not fit together."""
    folders, truths = _listed(config.candidates), _listed(config.truth)
    if len(folders) != len(truths):
        raise InputError(f"truth: {len(truths)} files for {len(folders)} folders of candidates")
    return [_open(folder, truth, config) for folder, truth in zip(folders, truths, strict=True)]


def _open(folder: str, truth: str, config: FitConfig) -> Tuning:
    store = CandidateStore(folder)
    if not store.folder.is_dir():
        raise InputError(f"{folder}: no such folder; pipeline.export makes it")
    scorers = list(store.known("embeddings"))
    if not scorers:
        raise InputError(f"{folder}: holds no scorer's embeddings, so there is nothing to weigh")
    detector = find_key(list(store.known("proposals")), config.detectors, "detectors")
    scorer = find_key(scorers, config.scorers, "scorers")
    return Tuning(Sweeper(Replay(store, read_any(truth))), detector, scorer)


def listed_truths(config: FitConfig) -> list[str]:
    """The annotation files of the settings."""
    return _listed(config.truth)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value]


def _cut(config: FitConfig) -> CutConfig:
    return CutConfig(config.confidence, config.nms_iou, config.max_det, config.fusion, config.vote_iou)


def choosing_of(config: FitConfig, weights: PosteriorWeights) -> ChoosingConfig:
    """How answers are chosen by these weights."""
    return ChoosingConfig(config.method, combine=Combining.posterior, posterior=weights, refusal=config.refusal)


@dataclass
class Fitter:
    """Fits weights and judges them on the same tuning data, fold by fold."""

    config: FitConfig
    tunings: Sequence[Tuning]

    def __post_init__(self) -> None:
        self._choices = gather([c for tuning in self.tunings for c in tuning.captions(self.config)])
        if not len(self._choices):
            raise InputError("truth: no caption has both a right candidate and a wrong one, so nothing can be fitted")
        self.num_told = len(self._choices)
        self._images = [image for tuning in self.tunings for image in tuning.images()]  # of each caption
        self._fold_of = self._folds()

    def _folds(self) -> dict[str, int]:
        """The part that each image is in; a noisy copy is in that of its original, by its name."""
        images = sorted(set(self._images))
        if not 2 <= self.config.folds <= len(images):
            raise InputError(f"folds: {self.config.folds} is not within 2 and the number of images, {len(images)}")
        order = np.random.default_rng(self.config.seed).permutation(len(images))
        return {images[place]: number % self.config.folds for number, place in enumerate(order)}

    def fit(self, images: set[str] | None = None) -> PosteriorWeights:
        """The weights for the captions of these images (None: of all), rounded as they are told."""
        part = self._choices
        if images is not None:
            part = part.take(np.asarray([image in images for image in part.images], bool))
        return _weights(part, self.config.posterior)

    def rows(self) -> list[dict[str, Any]]:
        """Accuracy by the score alone, by the weights given, by those of the other images, and by those of all.

        `gain`: of accuracy over the weights given, with its 95 % interval by image.
        """
        fitted = self.fit()
        given = self._hits(choosing_of(self.config, self.config.posterior))
        ways: list[tuple[str, PosteriorWeights | None, NDArray[np.bool_]]] = [
            ("score alone", None, self._hits(ChoosingConfig(self.config.method))),
            ("weights given", self.config.posterior, given),
            ("fitted on the other images", None, self._hits_apart()),
            ("fitted on all images", fitted, self._hits(choosing_of(self.config, fitted))),
        ]
        return [self._row(name, weights, hits, given) for name, weights, hits in ways]

    def _row(
        self, name: str, weights: PosteriorWeights | None, hits: NDArray[np.bool_], given: NDArray[np.bool_]
    ) -> dict[str, Any]:
        change = paired_difference(given, hits, self._images)
        told = dict.fromkeys(asdict(self.config.posterior)) if weights is None else asdict(weights)
        low, high = change.ci95
        return {"chosen by": name, **told, "accuracy": float(hits.mean()), "gain": change.difference,
                "gain_ci95_low": low, "gain_ci95_high": high}  # fmt: skip

    def _hits(self, choosing: ChoosingConfig) -> NDArray[np.bool_]:
        return np.concatenate([tuning.hits(self.config, choosing) for tuning in self.tunings])

    def _hits_apart(self) -> NDArray[np.bool_]:
        """Every image judged by the weights that were fitted without it."""
        folds = np.asarray([self._fold_of[image] for image in self._images])
        hits = np.zeros(len(folds), bool)
        for fold in range(self.config.folds):
            others = {image for image, part in self._fold_of.items() if part != fold}
            said = self._hits(choosing_of(self.config, self.fit(others)))
            hits[folds == fold] = said[folds == fold]
        return hits


def _weights(choices: Choices, start: PosteriorWeights) -> PosteriorWeights:
    if not len(choices):
        return start
    known, own, confidence = (round(float(w), DIGITS) for w in fit_weights(choices, astuple(start)))
    return PosteriorWeights(known, own, confidence)


def settings_words(weights: PosteriorWeights) -> list[str]:
    """The weights as settings of pipeline.export, pipeline.locate and the server."""
    return ["choosing.combine=posterior", *(f"choosing.posterior.{n}={w}" for n, w in asdict(weights).items())]
