"""big_vision's sigmoid loss over the batches of all processes, in blocks, so that no matrix of all pairs exists.

Shapes: B pairs of this process, N pairs of all processes, D embedding width, b and n the sides of one block.
Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training (2023), arXiv:2303.15343, algorithm 1; big_vision at
commit 01edb81, trainers/proj/image_text/siglip.py.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from siglip.loss.blocks import over_blocks
from siglip.loss.gathering import gather_rows, place_of, sum_over

BLOCK = 512  # rows and columns of logits that exist at a time


def pair_signs(captions_b: Tensor, captions_n: Tensor, true_bn: Tensor, same_caption: str) -> tuple[Tensor, Tensor]:
    """(b, n) which pairs are positive and which count, both bool, from ids of captions and the true pairs.

    same_caption: what another pair with the same caption is: `positive`, `ignored` (it does not count), or `negative`,
    as the published training had it.
    """
    same_bn = captions_b[:, None] == captions_n[None, :]
    if same_caption == "positive":
        return same_bn, torch.ones_like(same_bn)
    return true_bn, (~same_bn | true_bn) if same_caption == "ignored" else torch.ones_like(same_bn)


def sigmoid_loss(
    image_emb_BD: Tensor, text_emb_BD: Tensor, scale: Tensor, bias: Tensor, captions_B: Tensor,
    same_caption: str = "positive", everywhere: bool = False, block: int = BLOCK,
) -> Tensor:  # fmt: skip
    """The scalar loss: minus the log likelihood of every pair, summed over texts, averaged over images.

    Row i of images and texts (unit vectors) is a true pair; `scale` (already exponentiated) and `bias` are scalars;
    captions_B are ids that mean the same on every process. `everywhere`: over the N pairs of all processes, whose
    numbers may differ; the value is then the same on each, and the gradients are those of this process's embeddings
    and its share of those of scale and bias: summed over processes they are the whole.
    """
    dtype = torch.promote_types(image_emb_BD.dtype, torch.float32)
    with torch.autocast(image_emb_BD.device.type, enabled=False):  # half-precision logits lose the small negatives
        image_BD, text_BD = image_emb_BD.to(dtype), text_emb_BD.to(dtype)
        scale, bias = scale.to(dtype).reshape(()), bias.to(dtype).reshape(())
        if not everywhere:
            total: Tensor = _Blocks.apply(
                image_BD, text_BD, scale, bias, captions_B, captions_B, 0, same_caption, len(image_BD), block
            )
            return total
        text_ND, captions_N = gather_rows(text_BD), gather_rows(captions_B)
        share: Tensor = _Blocks.apply(
            image_BD, text_ND, scale, bias, captions_B, captions_N, place_of(captions_B), same_caption, len(text_ND),
            block,
        )  # fmt: skip
        return share + (sum_over(share.detach()) - share.detach())


class _Blocks(torch.autograd.Function):
    """The loss of these images with all texts; the gradients are made with it, block by block, and only kept."""

    @staticmethod
    def forward(
        ctx: Any, image_BD: Tensor, text_ND: Tensor, scale: Tensor, bias: Tensor, captions_B: Tensor,
        captions_N: Tensor, offset: int, same_caption: str, divisor: int, block: int,
    ) -> Tensor:  # fmt: skip
        """offset: the text that belongs to image 0; divisor: the number of images to average over."""
        wanted = any(ctx.needs_input_grad)
        grad_image_BD, grad_text_ND = (torch.zeros_like(t) if wanted else None for t in (image_BD, text_ND))
        rows, columns = _spans(len(image_BD), block), _spans(len(text_ND), block)
        # of losses, of gradients to scale and bias; one row a block of images, so that no two threads share one
        sums = torch.zeros(len(rows), 3, dtype=torch.float64, device=image_BD.device)
        places_B = torch.arange(offset, offset + len(image_BD), device=image_BD.device)
        places_N = torch.arange(len(text_ND), device=image_BD.device)

        def one_block(row: int, column: int, wait_turn: Callable[[], None]) -> None:
            b, n = rows[row], columns[column]
            logits_bn = (image_BD[b] @ text_ND[n].T).mul_(scale).add_(bias)
            true_bn = places_B[b, None] == places_N[None, n]
            positive_bn, counts_bn = pair_signs(captions_B[b], captions_N[n], true_bn, same_caption)
            logits_bn[positive_bn] *= -1  # from here on: minus the sign times the logit
            loss_bn = F.logsigmoid(-logits_bn).mul_(counts_bn)
            sums[row, 0] -= loss_bn.sum(dtype=torch.float64)
            if grad_image_BD is None or grad_text_ND is None:
                return
            slope_bn = torch.sigmoid(logits_bn, out=loss_bn).mul_(counts_bn)
            slope_bn[positive_bn] *= -1
            to_image_bD = slope_bn @ text_ND[n]
            sums[row, 1] += (to_image_bD * image_BD[b]).sum(dtype=torch.float64)
            sums[row, 2] += slope_bn.sum(dtype=torch.float64)
            grad_image_BD[b] += to_image_bD.mul_(scale)
            to_text = slope_bn.T, image_BD[b] * scale
            wait_turn()
            grad_text_ND[n].addmm_(*to_text)

        over_blocks(one_block, len(rows), len(columns), image_BD.device.type)
        total = sums.sum(dim=0) / divisor
        if grad_image_BD is not None and grad_text_ND is not None:
            grad_image_BD /= divisor
            grad_text_ND /= divisor
        to_scale, to_bias = total[1].to(scale.dtype, copy=True), total[2].to(bias.dtype, copy=True)
        ctx.gradients = (grad_image_BD, grad_text_ND, to_scale, to_bias)
        return total[0].to(image_BD.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The kept gradients, scaled in place: a second backward pass has nothing left to work on."""
        if ctx.gradients is None:
            raise RuntimeError("the sigmoid loss keeps its gradients for one backward pass only")
        made, ctx.gradients = ctx.gradients, None
        return (*(g.mul_(grad) for g in made), *[None] * 6)


def _spans(size: int, block: int) -> list[slice]:
    return [slice(start, min(start + block, size)) for start in range(0, size, block)]
