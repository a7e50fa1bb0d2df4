"""Losses for small vocabularies: which of all known captions a crop has, and which words that caption is made of.

Where a training knows a few dozen captions, a batch holds most of them several times, and pairs are a poor question.
Here every crop is asked for its caption among all of them at once.

Shapes: B crops of this process, V known captions, W words, D embedding width.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from siglip.loss.gathering import sum_over


def vocabulary_loss(
    image_emb_BD: Tensor, text_emb_VD: Tensor, scale: Tensor, bias: Tensor, captions_B: Tensor,
    none: bool = True, everywhere: bool = False,
) -> Tensor:  # fmt: skip
    """The mean over crops of minus log p(its caption), a softmax over the V captions.

    Embeddings are unit vectors, a caption's logit is scale times cosine plus bias; captions_B: places among the V.
    `none`: beside them stands a "none of them" whose logit is 0, so that the bias learns how sure a caption must be.
    `everywhere`: the mean is over the crops of all processes, whose numbers may differ; the value is then the same on
    each, the gradients are this process's share.
    """
    dtype = torch.promote_types(image_emb_BD.dtype, torch.float32)
    with torch.autocast(image_emb_BD.device.type, enabled=False):  # half precision loses the small probabilities
        logits_BV = image_emb_BD.to(dtype) @ text_emb_VD.to(dtype).T * scale.to(dtype) + bias.to(dtype)
        if none:
            logits_BV = torch.cat([logits_BV, logits_BV.new_zeros(len(logits_BV), 1)], dim=1)
        return _mean(F.cross_entropy(logits_BV, captions_B, reduction="sum"), len(captions_B), everywhere)


def word_loss(logits_BW: Tensor, words_BW: Tensor, everywhere: bool = False) -> Tensor:
    """The mean over crops and words of the binary cross-entropy of each word's presence in the crop's caption."""
    dtype = torch.promote_types(logits_BW.dtype, torch.float32)
    with torch.autocast(logits_BW.device.type, enabled=False):
        told = F.binary_cross_entropy_with_logits(logits_BW.to(dtype), words_BW.to(dtype), reduction="sum")
        return _mean(told / max(1, logits_BW.shape[1]), len(logits_BW), everywhere)


def _mean(total: Tensor, count: int, everywhere: bool) -> Tensor:
    if not everywhere:
        return total / max(1, count)
    number = sum_over(torch.tensor(float(count), dtype=total.dtype, device=total.device))
    share = total / number
    return share + (sum_over(share.detach()) - share.detach())


def word_table(captions: Sequence[str]) -> tuple[list[str], NDArray[np.float32]]:
    """(W words in their order, (V, W) which of them each caption holds); words as `siglip.model` splits captions."""
    from siglip.model import words_of

    split = [words_of(caption) for caption in captions]
    words = sorted({word for part in split for word in part})
    place = {word: i for i, word in enumerate(words)}
    table = np.zeros((len(captions), len(words)), np.float32)
    for row, part in enumerate(split):
        table[row, [place[word] for word in part]] = 1
    return words, table
