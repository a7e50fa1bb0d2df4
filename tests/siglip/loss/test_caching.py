"""Gradients from micro-batches against one batch, dropout included, and against the published accumulation by hand."""

import contextlib
from pathlib import Path

import large_batch
import numpy as np
import pytest
import torch
from torch import nn

from siglip.loss.caching import Embedded, part_by_part, split_batch, whole_batch
from siglip.loss.sigmoid import sigmoid_loss


class Towers(nn.Module):
    """Two small towers with dropout."""

    def __init__(self, dropout=0.0, dtype=torch.float32):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Dropout(dropout), nn.Linear(32, 16))
        self.text = nn.Sequential(nn.Embedding(9, 24), nn.Dropout(dropout), nn.Linear(24, 16))
        self.scale, self.bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(-4.0))
        self.to(dtype)

    def forward(self, pixels, captions):
        image, text = self.image(pixels), self.text(captions)
        return Embedded(
            image / image.norm(dim=-1, keepdim=True),
            text / text.norm(dim=-1, keepdim=True),
            self.scale.exp(),
            self.bias * 1,
        )


def problem(pairs, parts, own_captions=False, dropout=0.0, dtype=torch.float32):
    torch.manual_seed(3)
    model = Towers(dropout, dtype)
    ids = np.random.default_rng(0).integers(0, 9, pairs)
    pixels = torch.randn(pairs, 12, dtype=dtype)
    split = split_batch(ids, parts, own_captions)

    def forward(k):
        part = split[k]
        made = model(
            pixels[part.crops] if part.crops.stop > part.crops.start else pixels[:1], torch.from_numpy(part.captions)
        )
        return Embedded(
            made.image[: part.crops.stop - part.crops.start], made.text[: part.num_texts], made.scale, made.bias
        )

    return model, ids, forward, split


def loss_for(ids):
    _, rows = np.unique(ids, return_inverse=True)
    rows, captions = torch.from_numpy(rows), torch.from_numpy(ids)
    return lambda image, text, scale, bias: sigmoid_loss(image, text[rows], scale, bias, captions)


def no_sync(last):
    return contextlib.nullcontext()


def gradients(model):
    made = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.zero_grad()
    return made


def relative(made, wanted):
    return ((made - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize(("pairs", "micro"), [(96, 12), (97, 12), (25, 24), (9, 2), (5, 1)])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_micro_batches_give_the_whole_batchs_gradients(pairs, micro, dtype, limit):
    model, ids, forward, _ = problem(pairs, 1, dtype=dtype)
    expected = whole_batch(forward, 1, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    wanted = gradients(model)
    parts = -(-pairs // micro)
    model, ids, forward, split = problem(pairs, parts, dtype=dtype)
    loss = whole_batch(forward, parts, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    assert sum(part.num_texts for part in split) == len(set(ids))  # each caption goes through the tower once
    assert relative(loss, expected) <= limit
    assert relative(gradients(model), wanted) <= limit


def test_one_batch_equals_plain_autograd():
    model, ids, forward, _ = problem(40, 1, dtype=torch.float64)
    made = forward(0)
    loss_for(ids)(made.image, made.text, made.scale, made.bias).backward()
    wanted = gradients(model)
    whole_batch(forward, 1, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    assert relative(gradients(model), wanted) <= 1e-14


def test_dropout_is_replayed():
    """The same as keeping every part's graph: drawn once, and the random stream goes on as if nothing was replayed."""
    model, ids, forward, _ = problem(60, 5, dropout=0.4, dtype=torch.float64)
    torch.manual_seed(11)
    made = [forward(k) for k in range(5)]
    loss = loss_for(ids)(
        torch.cat([m.image for m in made]), torch.cat([m.text for m in made]), made[0].scale, made[0].bias
    )
    loss.backward()
    wanted, follows = gradients(model), torch.rand(3)
    torch.manual_seed(11)
    cached = whole_batch(forward, 5, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    assert relative(cached, loss.detach()) <= 1e-14
    assert relative(gradients(model), wanted) <= 1e-13
    assert torch.equal(torch.rand(3), follows)
    torch.manual_seed(12)
    whole_batch(forward, 5, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    assert relative(gradients(model), wanted) > 1e-3  # other masks, other gradients: the comparison can fail


def test_the_published_accumulation_is_the_mean_of_losses_that_never_meet():
    model, ids, forward, split = problem(36, 3, own_captions=True, dtype=torch.float64)
    losses = [loss_for(ids[part.crops]) for part in split]
    total = part_by_part(forward, 3, losses, lambda s: s.backward(), no_sync)
    made = gradients(model)
    by_hand = torch.zeros((), dtype=torch.float64)
    for k in range(3):
        part = forward(k)
        by_hand = by_hand + losses[k](part.image, part.text, part.scale, part.bias) / 3
    by_hand.backward()
    assert relative(total, by_hand.detach()) <= 1e-13
    assert relative(made, gradients(model)) <= 1e-13
    model, ids, forward, _ = problem(36, 1, dtype=torch.float64)
    whole_batch(forward, 1, loss_for(ids), lambda s: s.backward(), no_sync, 1.0)
    assert relative(gradients(model), made) > 1e-2


def test_gradients_travel_with_the_last_part_only():
    seen = []

    @contextlib.contextmanager
    def sync(last):
        seen.append(last)
        yield

    _, ids, forward, _ = problem(40, 4)
    whole_batch(forward, 4, loss_for(ids), lambda s: s.backward(), sync, 1.0)
    assert seen == [False, False, False, False, True]


def test_a_process_with_fewer_pairs_takes_part_as_often():
    split = split_batch(np.array([4, 4]), 3, own_captions=False)
    assert [p.crops.stop - p.crops.start for p in split] == [1, 1, 0]
    assert [p.num_texts for p in split] == [1, 0, 0]
    assert all(len(p.captions) == 1 for p in split)
    empty = split_batch(np.zeros(0, np.intp), 2, own_captions=True)
    assert [(p.crops.stop, p.num_texts, len(p.captions)) for p in empty] == [(0, 0, 1), (0, 0, 1)]


@pytest.fixture(scope="module")
def crops_960(tmp_path_factory):
    return large_batch.write_crops(tmp_path_factory.mktemp("large") / "crops")


def test_960_pairs_twelve_at_a_time_have_the_gradients_of_one_batch(crops_960, tmp_path, monkeypatch):
    of_loss, of_gradients = large_batch.relative_error(crops_960, tmp_path / "run")
    assert of_loss <= 1e-6
    assert of_gradients <= 1e-6
    monkeypatch.setattr("siglip.loss.caching._set_random_state", lambda state: None)
    assert large_batch.relative_error(crops_960, tmp_path / "forgetful")[1] > 1e-2  # the second passes draw anew


def test_two_data_parallel_processes_have_the_whole_batchs_gradients(crops_960, tmp_path, run_processes):
    """The same with two processes, and small towers in float64; every process checks itself, see data_parallel.py."""
    said = run_processes(2, Path(__file__).with_name("data_parallel.py"), crops_960, tmp_path / "run")
    assert said.count("equal, ") == 2
