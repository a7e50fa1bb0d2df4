"""The loss against a reference of six lines, transformers' own, and open_clip's; forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from siglip.loss import pair_targets, sigmoid_loss


def reference(image, text, scale, bias):
    """big_vision's lines: the diagonal is positive, everything else negative."""
    logits = image @ text.T * scale + bias
    eye = torch.eye(len(image), dtype=logits.dtype)
    m1_diag1 = -torch.ones_like(logits) + 2 * eye
    loglik = F.logsigmoid(m1_diag1 * logits)
    return (-loglik.sum(dim=-1)).mean()


def random_batch(n=9, width=16):
    generator = torch.Generator().manual_seed(n)
    image, text = (F.normalize(torch.randn(n, width, dtype=torch.float64, generator=generator)) for _ in range(2))
    scale, bias = torch.tensor(12.5, dtype=torch.float64), torch.tensor(-7.5, dtype=torch.float64)
    return [t.requires_grad_() for t in (image, text, scale, bias)]


def ours(image, text, scale, bias, captions=None, same_caption="negative"):
    ids = torch.arange(len(image)) if captions is None else captions
    targets, weights = pair_targets(ids, ids, same_caption)
    return sigmoid_loss(image, text, scale, bias, targets.double(), weights.double())


@pytest.mark.parametrize("n", [1, 2, 9, 33])
def test_equals_big_visions_lines_with_gradients(n):
    inputs = random_batch(n)
    expected = reference(*inputs)
    expected_gradients = torch.autograd.grad(expected, inputs)
    made = ours(*inputs)
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=0)
    for gradient, wanted in zip(torch.autograd.grad(made, inputs), expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-14)


def test_equals_open_clips_loss():
    from open_clip.loss import SigLipLoss

    image, text, scale, bias = random_batch()
    expected = SigLipLoss()(image, text, scale, bias)
    torch.testing.assert_close(ours(image, text, scale, bias), expected, rtol=1e-12, atol=0)


def test_equals_transformers_own_loss(checkpoint):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).double().eval()
    pixels = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    ids = torch.randint(0, 6, (5, 8))
    output = model(input_ids=ids, pixel_values=pixels, return_loss=True)
    made = ours(output.image_embeds, output.text_embeds, model.logit_scale.exp(), model.logit_bias)
    torch.testing.assert_close(made, output.loss, rtol=1e-12, atol=0)


def test_same_captions_are_what_the_setting_says():
    captions = torch.tensor([0, 1, 0])
    positive = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]])
    diagonal = torch.eye(3) * 2 - 1
    everything = torch.ones(3, 3)
    others = torch.tensor([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]])
    for setting, targets, weights in (
        ("positive", positive, everything), ("ignored", diagonal, others), ("negative", diagonal, everything),
    ):  # fmt: skip
        made = pair_targets(captions, captions, setting)
        assert torch.equal(made[0], targets)
        assert torch.equal(made[1], weights)


def test_a_hand_made_loss():
    """Two pairs, orthogonal, scale 1, bias 0: each row is log 2 for the foreign text and log(1 + 1/e) for its own."""
    image = torch.eye(2, dtype=torch.float64)
    one, zero = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    expected = torch.log(torch.tensor(2.0, dtype=torch.float64)) + torch.log1p(torch.exp(-one))
    torch.testing.assert_close(ours(image, image, one, zero), expected, rtol=1e-12, atol=0)
