"""The nouns of the house: annotations (what is true), candidates (what the detector offers), predictions (answers)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A caption of an image and the targets that it describes: one, several, or none.

    boxes_ltwh: `[left, top, width, height]` in pixels of the named image, all different; empty where the caption
    describes nothing in the image. id: names the entry within its image, None where the file gives none. tags: what
    else a benchmark says of the caption, as (name, value), such as whether it is unique.
    """

    caption: str
    boxes_ltwh: tuple[Box, ...]
    id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image's name and its annotations; `line` is its 1-based place in the annotation file.

    id: what results of other tools call the image, such as COCO's image id; None where the file does not say. size:
    (width, height) in pixels that the annotations were made on, where the file tells it.
    """

    image: str
    annotations: tuple[Annotation, ...]
    line: int = 0
    id: int | str | None = None
    size: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def targets(self) -> tuple[Box, ...]:
        """The image's true boxes in order of first appearance; equal boxes are one target, whatever describes it."""
        return tuple(dict.fromkeys(box for annotation in self.annotations for box in annotation.boxes_ltwh))

    @property
    def pairs(self) -> tuple[tuple[str, Box], ...]:
        """Each target with each of its captions, caption by caption."""
        return tuple((annotation.caption, box) for annotation in self.annotations for box in annotation.boxes_ltwh)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes the detector offers for one image.

    boxes_xyxy: (N, 4) float32, pixels of the original image. confidence: (N,) float32 in 0..1.
    """

    boxes_xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.boxes_xyxy.shape != (len(self.confidence), 4):
            raise ValueError(f"{self.boxes_xyxy.shape} boxes for {len(self.confidence)} confidences")

    def __len__(self) -> int:
        return len(self.confidence)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Candidates":
        """The candidates at `index` (integers, a mask or a slice), in that order."""
        return Candidates(self.boxes_xyxy[index], self.confidence[index])

    @staticmethod
    def empty() -> "Candidates":
        """No candidates at all."""
        return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Grounded:
    """What a one-stage model said of one caption of one image.

    candidates: the boxes that answer the caption, in pixels of the image. Where the model gives no confidence
    (`scored` is false) they stand in its own order with confidence 1.
    """

    candidates: Candidates
    scored: bool = True
    truncated: bool = False  # the caption was longer than the model reads
    unparsed: bool = False  # the model's words were no answer
    tokens: int = 0  # generated, of a model that writes


@dataclass(frozen=True, slots=True)
class FoundBox:
    """One more box of an answer of several, in pixels, with its score and confidence as in `Prediction`."""

    box_ltwh: Box
    score: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one caption of one image: its best box in pixels, or None where nothing was found.

    score: the scorer's, higher is better. confidence: the detector's, 0..1. Either may be unknown. others: the further
    boxes of an answer of several. id: of the caption's entry, None where the file gives none.
    """

    image: str
    caption: str
    box_ltwh: Box | None
    score: float | None = None
    confidence: float | None = None
    others: tuple[FoundBox, ...] = ()
    id: str | None = None

    @property
    def found(self) -> tuple[FoundBox, ...]:
        """Every box of the answer, the best first; none where nothing was found."""
        if self.box_ltwh is None:
            return ()
        return (FoundBox(self.box_ltwh, self.score, self.confidence), *self.others)
