"""A vision-language model chooses among a caption's best crops: numbered images, a forced choice with "none"."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.files import sha256_bytes
from core.pixels import crop_box
from core.stages import Image
from onestage.chat import ChatClient, Reply, in_parallel, log_probability
from onestage.settings import RerankerConfig

NONE = "none"
WORDS = (
    "You see {count} images, numbered 1 to {count} in this order. Which one shows: {caption}? "
    "Answer with its number alone, or with none."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the model chose among the images it was shown.

    place: counted from 0, -1 for "none", None for words that are no choice. shares: each image's and then none's
    share of the probability where the server tells it.
    """

    place: int | None
    shares: tuple[float, ...] = ()
    tokens: int = 0


class Reranker:
    """Asks a server which of a caption's best crops is meant."""

    def __init__(self, config: RerankerConfig) -> None:
        self.config = config
        self._client = ChatClient(str(config.weights), config, "reranker")
        told = (config.weights, config.model, WORDS, config.best, config.side, config.margin, config.structured.value,
                config.logprobs, config.temperature, config.seed)  # fmt: skip
        self.key = sha256_bytes(repr(told).encode())[:16]

    def question(self, caption: str, pixel_boxes_N4: NDArray[np.integer]) -> str:
        """What names one question's content within an image: the caption and the boxes shown, in order."""
        return sha256_bytes(repr([caption, np.asarray(pixel_boxes_N4).tolist()]).encode())[:32]

    def choose(self, image: Image, asked: Sequence[tuple[str, NDArray[np.floating]]]) -> Iterator[tuple[int, Choice]]:
        """(place in `asked`, choice) as they come; each asks for a caption and its (N, 4) boxes, best first."""
        jobs = [partial(self._one, image, caption, boxes) for caption, boxes in asked]
        yield from in_parallel(jobs, self.config.parallel)

    def _one(self, image: Image, caption: str, boxes_N4: NDArray[np.floating]) -> Choice:
        crops = [self._crop(image, box) for box in boxes_N4]
        names = [*map(str, range(1, len(crops) + 1)), NONE]
        schema = {"type": "object", "properties": {"choice": {"type": "string", "enum": names}},
                  "required": ["choice"], "additionalProperties": False}  # fmt: skip
        reply = self._client.ask(WORDS.format(count=len(crops), caption=caption), crops, schema)
        return Choice(chosen_name(reply.text, names), shares_of(reply, names), reply.tokens)

    def _crop(self, image: Image, box: NDArray[np.floating]) -> Image:
        import cv2

        x1, y1, x2, y2 = map(float, box)
        dx, dy = (x2 - x1) * self.config.margin, (y2 - y1) * self.config.margin
        crop = crop_box(image, [x1 - dx, y1 - dy, x2 + dx, y2 + dy])
        scale = self.config.side / max(crop.shape[:2])
        size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
        return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def chosen_name(text: str, names: Sequence[str]) -> int | None:
    """The place of the one name that the words hold, -1 for "none", None where they hold no name or several."""
    found = {word for word in re.findall(r"[a-z]+|\d+", text.lower()) if word in names}
    if len(found) != 1:
        return None
    name = found.pop()
    return -1 if name == NONE else names.index(name)


def shares_of(reply: Reply, names: Sequence[str]) -> tuple[float, ...]:
    """Each name's share of the probability at the first token that names one; empty where the server tells none."""
    for step in reply.logprobs:
        if _name(step.get("token")) not in names:
            continue
        told: dict[str, float] = {}
        listed: Any = step.get("top_logprobs") or [step]
        for entry in listed if isinstance(listed, list) else []:
            name = _name(entry.get("token")) if isinstance(entry, dict) else ""
            logprob = log_probability(entry.get("logprob")) if name in names else None
            if logprob is not None:
                told[name] = told.get(name, 0.0) + math.exp(logprob)
        total = sum(told.values())
        return tuple(told.get(name, 0.0) / total for name in names) if total > 0 else ()
    return ()


def _name(token: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", token.lower()) if isinstance(token, str) else ""
