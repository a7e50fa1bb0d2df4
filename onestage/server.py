"""A vision-language model behind an OpenAI-compatible server as a one-stage model."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from core.errors import InputError
from core.files import sha256_bytes
from core.stages import Image
from core.values import Candidates, Grounded
from onestage.chat import ChatClient, in_parallel
from onestage.parsing import NoAnswer, parse_boxes, schema_of
from onestage.settings import PROMPT, AxisOrder, OneStageConfig

ORDERS = {AxisOrder.xyxy: "x1, y1, x2, y2", AxisOrder.yxyx: "ymin, xmin, ymax, xmax"}


class ServerModel:
    """A server's model as `core.stages.OneStage`; an answer that does not parse is no answer."""

    per_caption = True

    def __init__(self, config: OneStageConfig) -> None:
        self._config, self._prompt = config, config.prompt or PROMPT
        self._resized = (config.resized[0], config.resized[1]) if config.resized else None
        self._client = ChatClient(str(config.weights), config, "onestage")
        self._words("a caption", (1, 1))  # a prompt that cannot be filled in fails before any work
        told = (
            config.weights, config.model, self._prompt, config.coordinates.value, config.order.value, self._resized,
            config.box_key, config.structured.value, config.logprobs, config.temperature, config.seed,
            config.max_tokens,
        )  # fmt: skip
        self.key = sha256_bytes(repr(told).encode())[:16]

    def _words(self, caption: str, size: tuple[int, int]) -> str:
        try:
            return self._prompt.format(
                caption=caption, key=self._config.box_key, order=ORDERS[self._config.order], width=size[0],
                height=size[1],
            )  # fmt: skip
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"onestage.prompt: {error} in {self._prompt[:60]!r}; it may name caption, key, order, width, height"
            ) from error

    def ground(self, images: Sequence[Image], captions: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, Grounded]]:
        """See `core.stages.OneStage`; raises InputError when the server is gone, after what it had answered."""
        places = [(number, place) for number, asked in enumerate(captions) for place in range(len(asked))]
        jobs = [partial(self._one, images[n], captions[n][p]) for n, p in places]
        for job, found in in_parallel(jobs, self._config.parallel):
            yield *places[job], found

    def _one(self, image: Image, caption: str) -> Grounded:
        config, size = self._config, (image.shape[1], image.shape[0])
        reply = self._client.ask(self._words(caption, size), [image], schema_of(config.box_key))
        try:
            boxes = parse_boxes(reply.text, config.box_key, config.coordinates, config.order, size, self._resized)
        except NoAnswer:
            return Grounded(Candidates.empty(), scored=False, unparsed=True, tokens=reply.tokens)
        sure = reply.probability
        confidence = np.full(len(boxes), 1.0 if sure is None else sure, np.float32)
        return Grounded(Candidates(boxes, confidence), scored=sure is not None, tokens=reply.tokens)
