"""Detected crops to rank: what a run of pipeline.export kept, its images, and the captions' true boxes.

Shapes: N candidates of an image, K candidates of all images, M captions of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.cuts import CutConfig
from core.decoding import DecodingConfig, use_decoding
from core.errors import InputError
from core.images import read_image
from core.listing import image_path
from core.pixels import crop_box
from core.stages import Image, Scorer
from core.store import CandidateStore
from data.captions import read_annotations
from data.cropset import Crop, CropSet, crop_name, read_crop_set
from eval.runs import read_settings, typed
from eval.sweep.replay import ImageReplay, Replay, find_key
from siglip.ranking import Opened


@dataclass(frozen=True)
class DetectedCrops:
    """Every image's candidates one after the other, cut out when asked for, and the captions they must answer."""

    folder: Path  # of the images
    images: list[ImageReplay]
    boxes: list[NDArray[np.float32]]  # of each image (N, 4), by descending confidence
    enlarged: CropSet | None = None  # the same crops, enlarged; None: as they are cut

    @property
    def policy(self) -> str:
        """How the crops were enlarged."""
        return "none" if self.enlarged is None else self.enlarged.policy

    def crops(self) -> Sequence[Image]:
        """The K crops in the images' order; one image is open at a time."""
        if self.enlarged is not None:
            made = self.enlarged
            return Opened(len(made.crops), lambda k: read_image(made.path(made.crops[k])))
        owner = [i for i, boxes in enumerate(self.boxes) for _ in boxes]
        flat = np.concatenate(self.boxes)
        image = lru_cache(maxsize=1)(lambda i: read_image(image_path(self.folder, self.images[i].name)))
        return Opened(len(flat), lambda k: crop_box(image(owner[k]), flat[k]))


def read_detected(path: str, annotations: str | None = None, images: str | None = None,
                  detectors: str = "", enlarged: str | None = None) -> DetectedCrops:  # fmt: skip
    """The candidates of a pipeline.export run: its folder, or a folder `candidates/` of any run.

    annotations, images: where the run's own are no longer, or where the folder is of no run. detectors: what the key
    begins with, if the folder holds several, or several joined by `+`. enlarged: the crop set that `siglip.candidates`
    and `upscale.crops` made of them. The cuts are the run's. Raises InputError.
    """
    place = Path(path)
    store, settings, run = _store(place)
    truth_file, folder = annotations or settings.get("annotations"), images or settings.get("images")
    for name, value in (("annotations", truth_file), ("images", folder)):
        if value is None:
            raise InputError(f"{name}: must be given: {place} is not part of a run that would tell")
    truth = [entry for entry in read_annotations(str(truth_file)) if entry.annotations]
    key = find_key(list(store.known("proposals")), detectors, "detectors")
    replayed = Replay(store, truth).images(key)
    cuts = typed(settings, CutConfig, run)
    use_decoding(typed(settings, DecodingConfig, run).decoding, override=False)  # as the detector saw the images
    boxes = [image.candidates(cuts).boxes_xyxy for image in replayed]
    if not any(len(b) for b in boxes):
        raise InputError(f"{path}: holds no candidate in any image of {truth_file}")
    detected = DetectedCrops(Path(str(folder)), replayed, boxes)
    return detected if enlarged is None else replace(detected, enlarged=_enlarged(enlarged, detected))


def planned_crops(detected: DetectedCrops) -> list[Crop]:
    """A crop set's entries of the K crops in their order; a crop's caption is its box."""
    return [
        Crop(crop_name(image.name, number, ".png"), " ".join(f"{value:.3f}" for value in box), image.name, number)
        for image, boxes in zip(detected.images, detected.boxes, strict=True)
        for number, box in enumerate(boxes.tolist())
    ]


def _enlarged(path: str, detected: DetectedCrops) -> CropSet:
    """The crop set, in the order of the K crops; InputError when it is of other boxes."""
    made = read_crop_set(path)
    held = {(crop.image, crop.index): crop for crop in made.crops}
    wanted = planned_crops(detected)
    for crop in wanted:
        found = held.get((crop.image, crop.index))
        if found is None or found.caption != crop.caption:
            raise InputError(f"candidate_crops: {path}: holds no crop of candidate {crop.index} of {crop.image} "
                             f"({crop.caption}); siglip.candidates cuts them, upscale.crops enlarges")  # fmt: skip
    return replace(made, crops=tuple(held[crop.image, crop.index] for crop in wanted))


def _store(place: Path) -> tuple[CandidateStore, dict[str, Any], Path]:
    """The store, and the settings of the run it lies in (empty if it lies in none)."""
    run = place if (place / "config.yaml").is_file() else place.parent
    settings = read_settings(run)
    inside = Path(str(settings.get("candidates") or place / "candidates")) if run == place else place
    if not (inside / "proposals").is_dir():
        raise InputError(f"candidates: {inside} is no candidates folder of pipeline.export")
    return CandidateStore(inside), settings, run


def detected_metrics(scorer: Scorer, detected: DetectedCrops) -> dict[str, Any]:
    """How often a caption's best-scored candidate is right: IoU with a target of its own strictly above one half.

    `detected_accuracy` counts all captions that describe something, `detected_ranking_accuracy` those with a right
    candidate to find, whose share is `detected_ceiling`.
    """
    distinct = sorted({caption for image in detected.images for caption in image.captions})
    place = {caption: m for m, caption in enumerate(distinct)}
    embeddings, texts = scorer.embed_images(detected.crops()), scorer.embed_texts(distinct)
    hits = reachable = start = 0
    for image, boxes in zip(detected.images, detected.boxes, strict=True):
        if not len(boxes):
            continue
        own = [place[caption] for caption in image.captions]
        scores_NM = scorer.scores(embeddings[start : start + len(boxes)], texts[own])
        start += len(boxes)
        right_NM = image.hits_of(image.overlaps_of(boxes))
        reachable += int(right_NM.any(axis=0).sum())
        hits += int(right_NM[scores_NM.argmax(axis=0), np.arange(len(own))].sum())
    captions = sum(int(image.described_MG.any(axis=1).sum()) for image in detected.images)
    return {
        "detected_ranking_accuracy": hits / reachable if reachable else 0.0,
        "detected_accuracy": hits / captions if captions else 0.0,
        "detected_ceiling": reachable / captions if captions else 0.0,
        "num_candidates": start,
    }
