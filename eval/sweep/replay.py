"""What the models said about a set, laid out so that any number of settings can be tried on it without asking them.

Shapes: R raw boxes of an image (all views, before NMS), N candidates at one setting, K stored crops, M captions,
G targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answering import Scores, scores_of
from core.boxes import xyxy_to_ltwh
from core.cuts import CutConfig, candidates_of, cut_and_fuse, fitting_views
from core.errors import InputError
from core.files import read_json
from core.grounded import read_said
from core.pixels import pixel_boxes
from core.stages import View
from core.store import CandidateStore
from core.suppression import vote
from core.values import AnnotatedImage, Candidates
from eval.answers.outcomes import HIT_IOU
from eval.boxes.matching import iou_ltwh
from eval.sweep.loops import suppress_sorted

FLOOR = 0.001  # AP sees every box from here on, as detectors store them


@dataclass
class ImageReplay:
    """One image: its views, its targets and captions, and what has been worked out about them so far.

    targets_ltwh: (G, 4) float64 pixels. described_MG: which caption describes which target. Places of candidates count
    through all views' raw boxes, view after view.
    """

    name: str
    digest: str
    size: tuple[int, int]  # width, height in pixels
    captions: list[str]
    targets_ltwh: NDArray[np.float64]
    described_MG: NDArray[np.bool_]
    views: list[View]
    grounded: bool = False  # the boxes are a one-stage model's for the one caption, and their confidence its score
    boxes_xyxy: NDArray[np.float32] = field(init=False)
    confidence: NDArray[np.float32] = field(init=False)
    overlaps: NDArray[np.float64] = field(init=False)  # (R, G) IoU of raw boxes and targets
    _suppressed: dict[float, list[NDArray[np.intp]]] = field(default_factory=dict)
    _votes: dict[float, tuple[NDArray[np.float32], NDArray[np.bool_]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sets = [v.candidates for v in self.views] or [Candidates.empty()]
        self.boxes_xyxy = np.concatenate([c.boxes_xyxy for c in sets])
        self.confidence = np.concatenate([c.confidence for c in sets])
        self.overlaps = self.overlaps_of(self.boxes_xyxy)

    def overlaps_of(self, boxes_xyxy: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, G) IoU of boxes and targets."""
        boxes_ltwh = np.asarray(xyxy_to_ltwh(boxes_xyxy.astype(np.float64)), np.float64)
        return iou_ltwh(self.targets_ltwh[None], boxes_ltwh[:, None])

    def hits_of(self, overlaps_NG: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N, M) whether each box is a hit for each caption: IoU with a target of its own strictly above one half."""
        return (overlaps_NG > HIT_IOU) @ self.described_MG.T

    def prepare(self, nms_ious: Sequence[float], floor: float = FLOOR) -> None:
        """Run NMS from `floor` on at several overlaps at once; higher confidences are then a matter of looking."""
        fresh = [iou for iou in nms_ious if iou not in self._suppressed]
        kept: dict[float, list[NDArray[np.intp]]] = {iou: [] for iou in fresh}
        start = 0
        for view in self.views:
            passed = np.flatnonzero(view.candidates.confidence >= np.float32(floor))
            boxes, confidence = view.candidates.boxes_xyxy[passed], view.candidates.confidence[passed]
            for iou, places in zip(fresh, suppress_at(boxes, confidence, fresh), strict=True):
                kept[iou].append(start + passed[places])
            start += len(view.candidates)
        self._suppressed |= kept

    def cut_views(self, confidence: float, nms_iou: float, max_det: int | None) -> list[NDArray[np.intp]]:
        """Per view the places that the cuts keep, by descending confidence; equals core.suppression.cut."""
        if nms_iou not in self._suppressed:
            self.prepare([nms_iou])
        limit = np.float32(confidence)
        return [
            kept[: int(np.searchsorted(-self.confidence[kept], -limit, side="right"))][:max_det]
            for kept in self._suppressed[nms_iou]
        ]

    def cut_and_fuse(self, cut: CutConfig) -> Candidates:
        """As core.cuts.cut_and_fuse, with the suppression that is known already."""
        return cut_and_fuse(self.views, cut, self._kept(cut))

    def candidates(self, cut: CutConfig) -> Candidates:
        """As core.cuts.candidates_of, with the suppression that is known already."""
        return candidates_of(self.views, cut, self._kept(cut))

    def _kept(self, cut: CutConfig) -> list[Candidates]:
        kept = self.cut_views(cut.confidence, cut.nms_iou, cut.max_det)
        boxes = self.boxes_xyxy
        if cut.vote_iou:
            boxes = self._voted(cut.vote_iou, kept)
        return [Candidates(boxes[k], self.confidence[k]) for k in kept]

    def _voted(self, vote_iou: float, kept: Sequence[NDArray[np.intp]]) -> NDArray[np.float32]:
        """(R, 4) the raw boxes, those in `kept` moved by their view's votes; no cut changes where a box moves to."""
        moved, known = self._votes.setdefault(vote_iou, (self.boxes_xyxy.copy(), np.zeros(len(self.boxes_xyxy), bool)))
        for view, places in zip(self.views, kept, strict=True):
            fresh = places[~known[places]]
            asked = Candidates(self.boxes_xyxy[fresh], self.confidence[fresh])
            moved[fresh] = vote(asked, view.candidates, vote_iou).boxes_xyxy
            known[fresh] = True
        return moved


def suppress_at(
    boxes_xyxy: NDArray[np.float32], confidence: NDArray[np.float32], nms_ious: Sequence[float]
) -> list[NDArray[np.intp]]:
    """`core.suppression.nms` at several overlaps, to the bit, from one pass over the pairs of boxes."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    kept = suppress_sorted(np.ascontiguousarray(boxes_xyxy[order], np.float32), np.asarray(nms_ious, np.float64))
    return [order[row] for row in kept]


class CropScores:
    """One scorer's scores of an image's stored crops for its captions, found by pixel box."""

    def __init__(self, stored_K4: NDArray[np.int32], scores: Scores, size: tuple[int, int]) -> None:
        self._place = {box: k for k, box in enumerate(map(tuple, stored_K4.tolist()))}
        self._scores, self._size = scores, size  # scores: of the K stored crops
        self._known: dict[bytes, int] = {}
        self._raw: tuple[NDArray[np.float32], NDArray[np.intp]] | None = None  # an image's raw boxes and their rows

    def of(self, boxes_xyxy: NDArray[np.float32]) -> Scores | None:
        """The scores of N boxes' crops, or None when a crop has never been scored."""
        keys = [box.tobytes() for box in boxes_xyxy]
        fresh = [n for n, key in enumerate(keys) if key not in self._known]
        if fresh:
            for n, box in zip(fresh, pixel_boxes(boxes_xyxy[fresh], *self._size).tolist(), strict=True):
                self._known[keys[n]] = self._place.get(tuple(box), -1)
        rows = [self._known[key] for key in keys]
        return None if -1 in rows else self._scores.take(np.asarray(rows, np.intp))

    def of_raw(self, boxes_xyxy: NDArray[np.float32], places: NDArray[np.intp]) -> Scores | None:
        """As `of(boxes_xyxy[places])`; all boxes are looked up at the first call, later calls only take rows."""
        rows = self._rows(boxes_xyxy)[places]
        return None if len(rows) and rows.min() < 0 else self._scores.take(rows)

    def of_all(self, boxes_xyxy: NDArray[np.float32]) -> tuple[NDArray[np.bool_], Scores]:
        """(R,) which of an image's raw boxes have a scored crop, and all their scores, some crop's of those without."""
        rows = self._rows(boxes_xyxy)
        if not (rows >= 0).any():
            width = self._scores.matrix_NM.shape[1]
            return rows >= 0, Scores(
                np.zeros((len(rows), width)), self._scores.sigmoid, np.zeros((len(rows), width, 2))
            )
        return rows >= 0, self._scores.take(np.maximum(rows, 0))

    def _rows(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.intp]:
        """(R,) the row of each raw box's crop, -1 where there is none."""
        if self._raw is None or self._raw[0] is not boxes_xyxy:
            pixels = pixel_boxes(boxes_xyxy, *self._size).tolist()
            self._raw = boxes_xyxy, np.asarray([self._place.get(tuple(box), -1) for box in pixels], np.intp)
        return self._raw[1]


class Replay:
    """A truth and the store that answers for it."""

    def __init__(self, store: CandidateStore, truth: Sequence[AnnotatedImage]) -> None:
        self.store, self.truth = store, truth
        self._digests = store.find_digests([entry.image for entry in truth])
        self._sizes = _sizes(store)
        self._images: dict[tuple[str, str], list[ImageReplay]] = {}
        self._scores: dict[str, list[CropScores]] = {}

    def images(self, detector: str, views: str = "*") -> list[ImageReplay]:
        """Every image of the truth as a detector (`key`, or `key+key` for several) saw it in the views of a pattern."""
        if (detector, views) not in self._images:
            self._images[detector, views] = [self._image(entry, detector, views) for entry in self.truth]
        return self._images[detector, views]

    def _image(self, entry: AnnotatedImage, detector: str, pattern: str) -> ImageReplay:
        digest = self._digests[entry.image]
        said = [view for key in detector.split("+") for view in self.store.read_views(key, digest)]
        views = fitting_views(said, pattern, "views")
        targets = entry.targets
        boxes = np.asarray(targets, np.float64).reshape(-1, 4)
        captions = [a.caption for a in entry.annotations]
        described = [[target in a.boxes_ltwh for target in targets] for a in entry.annotations]
        described_MG = np.asarray(described, bool).reshape(len(captions), len(targets))
        return ImageReplay(entry.image, digest, self._sizes[digest], captions, boxes, described_MG, views)

    def scores(self, scorer: str) -> list[CropScores]:
        """One scorer's crop scores per image of the truth; `scorer` is a key of the store's embeddings."""
        if scorer not in self._scores:
            about = self.store.known("embeddings")[scorer]
            texts = self.store.read_texts(str(about["scorer_key"]))
            self._scores[scorer] = [self._crop_scores(scorer, about, texts, entry) for entry in self.truth]
        return self._scores[scorer]

    def logits(self, scorer: str) -> list[CropScores]:
        """As `scores`, before the sigmoid: (K, M) float32."""
        about = self.store.known("embeddings")[scorer]
        raw = {**about, "calibration": {**about["calibration"], "sigmoid": False}}
        texts = self.store.read_texts(str(about["scorer_key"]))
        return [self._crop_scores(scorer, raw, texts, entry) for entry in self.truth]

    def _crop_scores(
        self, scorer: str, about: dict[str, Any], texts: dict[str, NDArray[np.float32]], entry: AnnotatedImage
    ) -> CropScores:
        digest = self._digests[entry.image]
        boxes, embeddings_KD = self.store.read_embeddings(scorer, digest)
        lost = [a.caption for a in entry.annotations if a.caption not in texts]
        if lost:
            raise InputError(f"{self.store.folder}: holds no embedding of the caption {lost[0]!r} of {entry.image} by "
                             f"scorer {scorer}; run pipeline.export over this truth")  # fmt: skip
        captions = [a.caption for a in entry.annotations]
        if not captions:
            return CropScores(boxes, Scores(np.zeros((len(boxes), 0)), True), self._sizes[digest])
        return CropScores(boxes, scores_of(about["calibration"], embeddings_KD, captions, texts), self._sizes[digest])


class GroundedReplay(Replay):
    """A truth and the one-stage models that answer for it: each caption is an image of its own with its own boxes.

    So AP and counts are over captions too: a box counts for the caption that it was given to.
    """

    def __init__(self, store: CandidateStore, truth: Sequence[AnnotatedImage]) -> None:
        super().__init__(store, truth)
        self.truth = [replace(entry, annotations=(a,)) for entry in truth for a in entry.annotations]
        self._keys = {key: str(about.get("grounded")) for key, about in store.known("proposals").items()}

    def _image(self, entry: AnnotatedImage, detector: str, pattern: str) -> ImageReplay:
        digest, asked = self._digests[entry.image], entry.annotations[0]
        keys = [self._keys[key] for key in detector.split("+")]
        said = [view for key in keys for view in read_said(self.store, key, digest, asked.caption).views]
        boxes = np.asarray(entry.targets, np.float64).reshape(-1, 4)
        described_1G = np.ones((1, len(boxes)), bool)
        views = fitting_views(said, pattern, "views")
        size = self._sizes[digest]
        return ImageReplay(entry.image, digest, size, [asked.caption], boxes, described_1G, views, grounded=True)


def _sizes(store: CandidateStore) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for path in sorted((store.folder / "sets").glob("*.json")):
        sizes |= {row["digest"]: (row["size"][0], row["size"][1]) for row in read_json(path)["images"]}
    return sizes


def find_key(known: Sequence[str], wanted: str, field: str) -> str:
    """The key that `wanted` begins, or several joined by `+`; InputError when none or more than one does."""
    found = []
    for part in wanted.split("+"):
        fitting = [key for key in known if key.startswith(part)]
        if len(fitting) != 1:
            listed = ", ".join(known) or "nothing"
            raise InputError(f"{field}: {part!r} begins {len(fitting)} keys of the store, which holds {listed}")
        found.append(fitting[0])
    return "+".join(found)
