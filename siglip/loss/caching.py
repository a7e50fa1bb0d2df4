"""One step's gradients from micro-batches: those of the whole batch at once, or the published accumulation.

Shapes: B pairs of this process, T distinct captions of them, D embedding width.
Source of the gradient caching: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup
(2021), arXiv:2101.06983.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Embedded:
    """What the towers make of one micro-batch: unit vectors (b, D) and (t, D), and the loss's two scalars."""

    image: Tensor
    text: Tensor
    scale: Tensor
    bias: Tensor
    words: Tensor | None = None  # (b, W) logits of the words of each crop's caption, where they are learned

    @property
    def parts(self) -> list[Tensor]:
        """What a loss is of, in the order in which it is called."""
        return [self.image, self.text, self.scale, self.bias, *([] if self.words is None else [self.words])]


@dataclass(frozen=True)
class MicroBatch:
    """A part of a process's batch: which of its crops, and which captions go through the text tower with them.

    A process that has fewer parts than others sends a stand-in through the towers, since all must call them equally
    often; `num_texts` is 0 then, and so is the length of `crops`.
    """

    crops: slice
    captions: NDArray[np.intp]
    num_texts: int


def split_batch(
    ids_B: NDArray[np.intp], num_parts: int, own_captions: bool, vocabulary: int | None = None
) -> list[MicroBatch]:
    """A process's pairs, given by their captions' ids, as `num_parts` nearly equal micro-batches.

    own_captions: each part brings the distinct captions of its own crops; otherwise the distinct captions of all B
    pairs are dealt out, so that each goes through the text tower once a step. vocabulary: there are so many captions,
    and all of them are dealt out, whatever the pairs.
    """
    edges = np.cumsum([0, *(len(part) for part in np.array_split(ids_B, num_parts))])
    spans = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    distinct = np.unique(ids_B) if vocabulary is None else np.arange(vocabulary)
    texts = [np.unique(ids_B[s]) for s in spans] if own_captions else np.array_split(distinct, num_parts)
    stand_in = distinct[:1] if len(distinct) else np.zeros(1, np.intp)
    return [MicroBatch(s, t if len(t) else stand_in, len(t)) for s, t in zip(spans, texts, strict=True)]


Forward = Callable[[int], Embedded]
Backward = Callable[[Tensor], None]
Sync = Callable[[bool], AbstractContextManager[Any]]  # gradients travel between processes only within Sync(True)
LossOf = Callable[..., Tensor]  # of (B, D) images, (T, D) texts, scale, bias and, if they are learned, (B, W) words


def whole_batch(
    forward: Forward, num_parts: int, loss_of: LossOf, backward: Backward, sync: Sync, factor: float
) -> Tensor:
    """The loss of all parts together; every part's gradients, times `factor`, are sent `backward`.

    Each part but the last runs twice: first without a graph, to have its embeddings; then, with the random numbers it
    had, to carry the gradients of those embeddings on to the weights. One part's activations exist at a time.
    """
    states, parts = [], []
    for k in range(num_parts - 1):
        states.append(_random_state())
        with torch.no_grad():
            parts.append(forward(k))
    with sync(num_parts == 1):
        kept = forward(num_parts - 1)
    parts.append(kept)
    whole = Embedded(
        torch.cat([p.image for p in parts]), torch.cat([p.text for p in parts]), kept.scale, kept.bias,
        None if kept.words is None else torch.cat([p.words for p in parts if p.words is not None]),
    )  # fmt: skip
    leaves = [value.detach().requires_grad_() for value in whole.parts]
    loss = loss_of(*leaves)
    gradients = Embedded(*(g * factor for g in torch.autograd.grad(loss, leaves)))
    to_parts = _split(gradients, parts)
    scalars = (kept.scale * gradients.scale).sum() + (kept.bias * gradients.bias).sum()
    with sync(num_parts == 1):
        backward(_surrogate(kept, to_parts[-1]) + scalars)
    after = _random_state()
    for k in range(num_parts - 1):
        _set_random_state(states[k])
        with sync(k == num_parts - 2):
            backward(_surrogate(forward(k), to_parts[k]))
    _set_random_state(after)
    return loss.detach()


def part_by_part(forward: Forward, num_parts: int, loss_of: Sequence[LossOf], backward: Backward, sync: Sync) -> Tensor:
    """The published accumulation: the mean of the parts' own losses, whose pairs never meet another part's."""
    total = torch.zeros(())
    for k in range(num_parts):
        with sync(k == num_parts - 1):
            part = forward(k)
            loss = loss_of[k](*part.parts) / num_parts
            backward(loss)
        total = total.to(loss.device) + loss.detach()
    return total


def _split(whole: Embedded, parts: Sequence[Embedded]) -> list[Embedded]:
    """The rows of each part out of those of all parts."""
    images, texts = whole.image.split([len(p.image) for p in parts]), whole.text.split([len(p.text) for p in parts])
    rows = [None] * len(parts) if whole.words is None else whole.words.split([len(p.image) for p in parts])
    return [Embedded(i, t, whole.scale, whole.bias, w) for i, t, w in zip(images, texts, rows, strict=True)]


def _surrogate(part: Embedded, gradients: Embedded) -> Tensor:
    """A scalar whose gradient is that of the loss with respect to these embeddings.

    Scale and bias take part with weight zero: a data-parallel reducer waits until every parameter had its gradient.
    """
    total = (part.image * gradients.image).sum() + (part.text * gradients.text).sum()
    if part.words is not None and gradients.words is not None:
        total = total + (part.words * gradients.words).sum()
    return total + 0 * (part.scale.sum() + part.bias.sum())


def _random_state() -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state_all(state[1:])
