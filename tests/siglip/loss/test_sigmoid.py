"""The loss against a reference of six lines, transformers' own, and open_clip's; forward and backward."""

from pathlib import Path

import pytest
import several_processes
import torch
import torch.nn.functional as F
from torch import distributed

from siglip.loss.sigmoid import pair_signs, sigmoid_loss


def reference(image, text, scale, bias, positive=None, counts=1.0):
    """big_vision's lines: the diagonal is positive, everything else negative, unless told otherwise."""
    logits = image @ text.T * scale + bias
    eye = torch.eye(len(image), dtype=logits.dtype) if positive is None else positive.to(logits.dtype)
    m1_diag1 = -torch.ones_like(logits) + 2 * eye
    loglik = F.logsigmoid(m1_diag1 * logits) * counts
    return (-loglik.sum(dim=-1)).mean()


def random_batch(n=9, width=16, seed=None):
    generator = torch.Generator().manual_seed(n if seed is None else seed)
    image, text = (F.normalize(torch.randn(n, width, dtype=torch.float64, generator=generator)) for _ in range(2))
    scale, bias = torch.tensor(12.5, dtype=torch.float64), torch.tensor(-7.5, dtype=torch.float64)
    return [t.requires_grad_() for t in (image, text, scale, bias)]


def ours(image, text, scale, bias, captions=None, same_caption="negative", block=4):
    ids = torch.arange(len(image)) if captions is None else captions
    return sigmoid_loss(image, text, scale, bias, ids, same_caption, block=block)


def assert_same(made, expected, inputs):
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, inputs)
    for gradient, want in zip(torch.autograd.grad(made, inputs), wanted, strict=True):
        assert (gradient - want).norm() <= 1e-12 * want.norm()


@pytest.mark.parametrize("n", [1, 2, 9, 33])
@pytest.mark.parametrize("block", [1, 4, 64])
def test_equals_big_visions_lines_with_gradients(n, block):
    inputs = random_batch(n)
    assert_same(ours(*inputs, block=block), reference(*inputs), inputs)


@pytest.mark.parametrize("same_caption", ["positive", "ignored", "negative"])
def test_captions_that_come_twice(same_caption):
    inputs = random_batch(11)
    captions = torch.tensor([0, 1, 0, 2, 3, 1, 0, 4, 5, 5, 6])
    same, true = captions[:, None] == captions[None], torch.eye(11, dtype=torch.bool)
    positive = same if same_caption == "positive" else true
    counts = (~same | true).double() if same_caption == "ignored" else 1.0
    assert_same(ours(*inputs, captions, same_caption), reference(*inputs, positive, counts), inputs)


def test_equals_open_clips_loss():
    from open_clip.loss import SigLipLoss

    image, text, scale, bias = inputs = random_batch()
    assert_same(ours(*inputs), SigLipLoss()(image, text, scale, bias), inputs)


def test_equals_transformers_own_loss(checkpoint):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).double().eval()
    pixels = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    ids = torch.randint(0, 6, (5, 8))
    output = model(input_ids=ids, pixel_values=pixels, return_loss=True)
    scale = model.logit_scale.exp()
    made = ours(output.image_embeds, output.text_embeds, scale, model.logit_bias)
    torch.testing.assert_close(made, output.loss, rtol=1e-12, atol=0)
    parameters = list(model.parameters())
    wanted = torch.autograd.grad(output.loss, parameters, retain_graph=True)
    for gradient, want in zip(torch.autograd.grad(made, parameters), wanted, strict=True):
        assert (gradient - want).norm() <= 1e-12 * want.norm() + 1e-15


def test_same_captions_are_what_the_setting_says():
    captions, diagonal = torch.tensor([0, 1, 0]), torch.eye(3, dtype=torch.bool)
    same = torch.tensor([[True, False, True], [False, True, False], [True, False, True]])
    others = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    everything = torch.ones(3, 3, dtype=torch.bool)
    for setting, positive, counts in (
        ("positive", same, everything), ("ignored", diagonal, others), ("negative", diagonal, everything),
    ):  # fmt: skip
        made = pair_signs(captions, captions, diagonal, setting)
        assert torch.equal(made[0], positive)
        assert torch.equal(made[1], counts)


def test_a_hand_made_loss():
    """Two pairs, orthogonal, scale 1, bias 0: each row is log 2 for the foreign text and log(1 + 1/e) for its own."""
    image = torch.eye(2, dtype=torch.float64)
    one, zero = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    expected = torch.log(torch.tensor(2.0, dtype=torch.float64)) + torch.log1p(torch.exp(-one))
    torch.testing.assert_close(ours(image, image, one, zero), expected, rtol=1e-12, atol=0)


def test_a_second_backward_pass_is_refused():
    inputs = random_batch(3)
    made = ours(*inputs)
    made.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass only"):
        made.backward()


def test_half_precision_embeddings_give_float32_logits():
    inputs = [t.detach().float() for t in random_batch(9)]
    halves = [inputs[0].bfloat16(), inputs[1].bfloat16(), *inputs[2:]]
    expected = reference(*(t.double() for t in halves))
    with torch.autocast("cpu", torch.bfloat16):
        made = ours(*halves)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.faults
def test_two_three_and_four_processes_with_uneven_batches(run_processes, tmp_path, count):
    """Every process checks its own share against the whole batch's reference; see several_processes.py."""
    most = count(short=3, full=4)
    said = run_processes(most, Path(__file__).with_name("several_processes.py"), tmp_path)
    for processes in range(2, most + 1):
        assert said.count(f"of {processes}: equal in all 12 cases") == processes


def test_a_gloo_group_of_one():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        assert several_processes.check_all() == 9
    finally:
        distributed.destroy_process_group()
