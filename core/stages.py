"""What a detector, an upscaler and a scorer must offer to take part in the pipeline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.values import Candidates, Grounded

Image = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True, slots=True)
class View:
    """What one detector said of one view of an image (the whole, a slice set, a flip), before NMS, in image pixels."""

    name: str
    candidates: Candidates


class Detector(Protocol):
    """Proposes boxes."""

    @property
    def key(self) -> str:
        """Content key: the checkpoints' digests and every setting that changes boxes."""

    def propose(self, images: Sequence[Image]) -> list[list[View]]:
        """Per image one View per member and view, before NMS, at confidence >= 0.001, in original-image pixels."""


class Upscaler(Protocol):
    """Enlarges crops."""

    @property
    def key(self) -> str:
        """Content key: the checkpoint's digest and every setting that changes pixels."""

    @property
    def policy(self) -> str:
        """The name and padding policy, which a scorer remembers having been trained on."""

    @property
    def batched(self) -> bool:
        """Whether several crops in one call go faster than several calls from several threads."""

    @property
    def scale(self) -> int:
        """Enlargement factor of width and height."""

    def upscale(self, crops: Sequence[Image]) -> list[Image]:
        """Each crop enlarged `scale` times, in the same order; what the policy leaves alone keeps its size."""


class Scorer(Protocol):
    """Compares crops with captions."""

    @property
    def key(self) -> str:
        """Content key: the checkpoint's digest, template and preprocessing."""

    @property
    def policy(self) -> str | None:
        """How the crops that it was trained on were enlarged; None: not known."""

    @property
    def calibration(self) -> dict[str, Any]:
        """`scale`, `bias` and `sigmoid`: how a cosine becomes a score."""

    def embed_images(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors."""

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors."""

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, D) and (M, D) -> (N, M): sigmoid probabilities for SigLIP, raw logits for softmax-trained families."""


class NotFiniteOutputError(InputError):
    """A model that gave NaN or infinity: its checkpoint is at fault, not what it was asked."""


def require_finite(values: NDArray[np.floating], stage: str, checkpoint: str) -> None:
    """NotFiniteOutputError naming the stage and its checkpoint when a model's output holds NaN or infinity."""
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        raise NotFiniteOutputError(
            f"{stage}: {checkpoint}: gives NaN or infinity ({wrong} of {values.size} numbers of its output), so its "
            "weights are broken or its precision is too small"
        )


def require_policy(trained_on: str | None, policy: str, where: str, any_policy: bool) -> None:
    """InputError naming both when crops enlarged by `policy` meet a scorer that was trained on others.

    trained_on: the scorer's policy; None is at home with any. any_policy: the setting that allows it.
    """
    if trained_on not in (None, policy) and not any_policy:
        raise InputError(
            f"{where}: crops are enlarged by {policy!r}, but the scorer was trained on {trained_on!r}; "
            "scorer.any_policy=true allows it"
        )


class OneStage(Protocol):
    """Goes from images and captions to boxes in one step."""

    @property
    def key(self) -> str:
        """Content key: the checkpoint's digest (or the server and model) and every setting that changes boxes."""

    @property
    def per_caption(self) -> bool:
        """Whether it takes one caption at a time, so that time grows with them; false: an image's all at once."""

    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """(image, caption, answer) by their places, each as soon as it is known and in any order.

        captions: those of each image. Boxes are in pixels of their image, uncut by NMS unless the model has its own.
        """
