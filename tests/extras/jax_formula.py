"""big_vision's sigmoid loss in JAX, and ours against it, forward and backward; also one of several gloo processes.

Source of the formula: big_vision at commit 01edb81, trainers/proj/image_text/siglip.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import distributed

from siglip.loss.gathering import sum_over
from siglip.loss.sigmoid import sigmoid_loss

jax.config.update("jax_enable_x64", True)


def jax_loss(zimg, ztxt, t, b, positive, counts):
    """big_vision's lines; its `eye` and the missing pairs are given, for captions that come twice."""
    logits = jnp.dot(zimg, ztxt.T) * t + b
    m1_diag1 = -jnp.ones_like(logits) + 2 * positive
    loglik = jax.nn.log_sigmoid(m1_diag1 * logits) * counts
    return jnp.mean(-jnp.sum(loglik, axis=-1))


def batch(total, seed):
    """Unit images and texts (total, 16), scale and bias, as numpy float64, and the ids of captions."""
    rng = np.random.default_rng(seed)
    image, text = rng.normal(size=(2, total, 16))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text)]
    return [*unit, np.asarray(12.5), np.asarray(-7.5)], rng.integers(0, 5, total)


def jax_value_and_gradients(inputs, captions, same_caption):
    same, true = captions[:, None] == captions[None], np.eye(len(captions), dtype=bool)
    positive = same if same_caption == "positive" else true
    counts = ~same | true if same_caption == "ignored" else np.ones_like(same)
    wanted = jax.value_and_grad(jax_loss, argnums=(0, 1, 2, 3))(*inputs, positive.astype(float), counts.astype(float))
    return np.asarray(wanted[0]), [np.asarray(g) for g in wanted[1]]


def assert_close(made, wanted):
    """1e-12 relative, as a norm."""
    assert np.linalg.norm(made.detach().numpy() - wanted) <= 1e-12 * np.linalg.norm(wanted)


def check(sizes, rank, same_caption):
    """This process's share (rows of `sizes[rank]`) of the loss over all against JAX over the whole batch."""
    inputs, captions = batch(sum(sizes), seed=sum(sizes))
    value, gradients = jax_value_and_gradients(inputs, captions, same_caption)
    span = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    own = [torch.tensor(x, requires_grad=True) for x in (inputs[0][span], inputs[1][span], inputs[2], inputs[3])]
    made = sigmoid_loss(*own, torch.tensor(captions[span]), same_caption, everywhere=True, block=3)
    assert_close(made, value)
    got = torch.autograd.grad(made, own)
    assert_close(got[0], gradients[0][span])
    assert_close(got[1], gradients[1][span])
    assert_close(sum_over(got[2]), gradients[2])
    assert_close(sum_over(got[3]), gradients[3])


def main():
    distributed.init_process_group("gloo")
    world, cases = distributed.get_world_size(), 0
    for sizes in ([7] * world, [7] * (world - 1) + [2]):
        for same_caption in ("positive", "ignored", "negative"):
            check(sizes, distributed.get_rank(), same_caption)
            cases += 1
    print(f"equal in all {cases} cases", flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
