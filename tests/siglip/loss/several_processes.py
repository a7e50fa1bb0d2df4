"""One of four gloo processes of test_loss: its share of the global loss against the whole batch's reference.

    several_processes.py FOLDER

The first two, the first three and all four of them form a group in turn, and meet by a file in the folder.
"""

import os
import sys

import torch
import torch.nn.functional as F
from open_clip.loss import SigLipLoss  # before any group is there, or torch's functions keep to the first
from torch import distributed

from siglip.loss.gathering import sum_over
from siglip.loss.sigmoid import sigmoid_loss
from siglip.loss.vocabulary import vocabulary_loss, word_loss


def whole_batch(sizes: list[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Images, texts, scale and bias of all processes, the same on each, and the ids of their captions."""
    generator = torch.Generator().manual_seed(sum(sizes))
    total = sum(sizes)
    image, text = (F.normalize(torch.randn(total, 16, dtype=torch.float64, generator=generator)) for _ in range(2))
    scale, bias = torch.tensor(12.5, dtype=torch.float64), torch.tensor(-7.5, dtype=torch.float64)
    return [t.requires_grad_() for t in (image, text, scale, bias)], torch.randint(0, 5, (total,), generator=generator)


def reference(image, text, scale, bias, captions, same_caption):
    same, true = captions[:, None] == captions[None], torch.eye(len(captions), dtype=torch.bool)
    positive = same if same_caption == "positive" else true
    counts = ~same | true if same_caption == "ignored" else torch.ones_like(same)
    logits = image @ text.T * scale + bias
    return -(F.logsigmoid(torch.where(positive, logits, -logits)) * counts).sum(dim=-1).mean()


def assert_close(made: torch.Tensor, wanted: torch.Tensor) -> None:
    assert (made - wanted).norm() <= 1e-12 * wanted.norm(), (made, wanted)


def check(sizes: list[int], same_caption: str) -> None:
    rank = distributed.get_rank()
    span = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    whole, captions = whole_batch(sizes)
    expected = reference(*whole, captions, same_caption)
    wanted = torch.autograd.grad(expected, whole)
    own = [whole[0].detach()[span].requires_grad_(), whole[1].detach()[span].requires_grad_(), *whole[2:]]
    made = sigmoid_loss(*own, captions[span], same_caption, everywhere=True, block=3)
    assert_close(made, expected)
    gradients = torch.autograd.grad(made, own)
    assert_close(gradients[0], wanted[0][span])
    assert_close(gradients[1], wanted[1][span])
    assert_close(sum_over(gradients[2]), wanted[2])
    assert_close(sum_over(gradients[3]), wanted[3])


def check_vocabulary(sizes: list[int], none: bool) -> None:
    """Crops dealt out over processes, each of which embeds all captions and the words of its own crops."""
    rank = distributed.get_rank()
    span = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    whole, captions = whole_batch(sizes)
    generator = torch.Generator().manual_seed(1)
    text = F.normalize(torch.randn(5, 16, dtype=torch.float64, generator=generator)).requires_grad_()
    words = torch.randn(len(captions), 3, dtype=torch.float64, generator=generator).requires_grad_()
    table = torch.randint(0, 2, (5, 3), generator=generator)
    image, _, scale, bias = whole
    logits = image @ text.T * scale + bias
    logits = torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1) if none else logits
    expected = F.cross_entropy(logits, captions)
    expected = expected + F.binary_cross_entropy_with_logits(words, table[captions].double())
    wanted = torch.autograd.grad(expected, [image, text, scale, bias, words])
    own = [image.detach()[span].requires_grad_(), text, scale, bias, words.detach()[span].requires_grad_()]
    made = vocabulary_loss(*own[:4], captions[span], none, everywhere=True)
    made = made + word_loss(own[4], table[captions[span]], everywhere=True)
    assert_close(made, expected)
    gradients = torch.autograd.grad(made, own)
    for which in (0, 4):
        assert_close(gradients[which], wanted[which][span])
    for which in (1, 2, 3) if none else (1, 2):  # without a "none" no gradient reaches the bias
        assert_close(sum_over(gradients[which]), wanted[which])


def check_open_clip(size: int) -> None:
    """open_clip's distributed loss, whose gradients are meant to be averaged over processes where ours are summed."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    for way in ("bidir", "shift", "reduce", "gather"):
        whole, _ = whole_batch([size] * world)
        span = slice(size * rank, size * (rank + 1))
        own = [whole[0].detach()[span].requires_grad_(), whole[1].detach()[span].requires_grad_(), *whole[2:]]
        theirs = SigLipLoss(rank=rank, world_size=world, dist_impl=way)(*own)
        wanted = torch.autograd.grad(theirs, own)
        made = sigmoid_loss(*own, torch.arange(size) + size * rank, "negative", everywhere=True)
        assert_close(made, sum_over(theirs) / world)
        gradients = torch.autograd.grad(made, own)
        for made_one, want in zip(gradients[:2], wanted[:2], strict=True):
            assert_close(made_one * world, want)
        for made_one, want in zip(gradients[2:], wanted[2:], strict=True):
            assert_close(sum_over(made_one) * world, sum_over(want))


def check_all() -> int:
    """Every case, in a process group that is there; how many there were."""
    world = distributed.get_world_size()
    cases = 0
    last = [7] * (world - 1)
    for sizes in ([7] * world, [*last, 2], [5 + r for r in range(world)], *([[*last, 0]] if last else [])):
        for same_caption in ("positive", "ignored", "negative"):
            check(sizes, same_caption)
            cases += 1
        for none in (False, True):
            check_vocabulary(sizes, none)
    check_open_clip(6)
    return cases


def main() -> None:
    rank = int(os.environ["RANK"])
    for world in range(max(2, rank + 1), int(os.environ["WORLD_SIZE"]) + 1):
        meeting = f"file://{sys.argv[1]}/{world}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
        print(f"of {world}: equal in all {check_all()} cases", flush=True)
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
