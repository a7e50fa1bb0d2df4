"""big_vision's sigmoid loss for pairs of images and texts.

Shapes: B images and T texts of the batch, D embedding width.
Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training (2023), arXiv:2303.15343, algorithm 1; big_vision at
commit 01edb81, trainers/proj/image_text/siglip.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def pair_targets(image_captions: Tensor, text_captions: Tensor, same_caption: str) -> tuple[Tensor, Tensor]:
    """(B, T) targets of +1 and -1, and (B, T) weights of 0 and 1; the first B pairs i, i are the true ones.

    image_captions: (B,) and text_captions: (T,) ids of captions. same_caption: what another pair with the same caption
    is: `positive`, `ignored` (weight 0), or `negative`, as the published training had it.
    """
    true_BT = torch.eye(len(image_captions), len(text_captions), dtype=torch.bool, device=image_captions.device)
    same_BT = image_captions[:, None] == text_captions[None, :]
    positive_BT = same_BT if same_caption == "positive" else true_BT
    weight_BT = torch.ones_like(same_BT)
    if same_caption == "ignored":
        weight_BT = ~same_BT | true_BT
    return positive_BT.float() * 2 - 1, weight_BT.float()


def sigmoid_loss(
    image_emb_BD: Tensor, text_emb_TD: Tensor, scale: Tensor, bias: Tensor, targets_BT: Tensor, weights_BT: Tensor
) -> Tensor:
    """The scalar loss: minus the log likelihood of every pair, summed over texts, averaged over images.

    Embeddings are unit vectors; `scale` (already exponentiated) and `bias` are scalars.
    """
    logits_BT = image_emb_BD @ text_emb_TD.T * scale + bias
    return -(F.logsigmoid(targets_BT * logits_BT) * weights_BT).sum() / len(image_emb_BD)
