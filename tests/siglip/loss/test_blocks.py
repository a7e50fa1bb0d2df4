"""Blocks over threads: each once, added row after row, the same bits for any number of threads, failures told."""

import random
import time

import pytest
import torch
import torch.nn.functional as F

from siglip.loss.blocks import over_blocks
from siglip.loss.sigmoid import sigmoid_loss


@pytest.fixture
def threads():
    """`threads(n)`: let torch use so many; put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_every_block_comes_once_and_columns_are_added_row_after_row(threads, number):
    threads(number)
    done, added = [], {column: [] for column in range(5)}

    def one_block(row, column, wait_turn):
        time.sleep(random.random() / 500)  # threads overtake each other
        done.append((row, column))
        wait_turn()
        added[column].append(row)

    over_blocks(one_block, 7, 5, "cpu")
    assert sorted(done) == [(row, column) for row in range(7) for column in range(5)]
    assert all(rows == list(range(7)) for rows in added.values())
    assert torch.get_num_threads() == number


def test_a_failing_block_ends_all_threads_with_its_own_error(threads):
    threads(3)

    def one_block(row, column, wait_turn):
        if (row, column) == (2, 1):
            raise ZeroDivisionError("block 2, 1")
        wait_turn()

    with pytest.raises(ZeroDivisionError, match="block 2, 1"):
        over_blocks(one_block, 9, 4, "cpu")
    assert torch.get_num_threads() == 3


def test_the_loss_is_the_same_to_the_bit_for_any_number_of_threads(threads):
    torch.manual_seed(0)
    image, text = (F.normalize(torch.randn(70, 24)) for _ in range(2))
    ids = torch.randint(0, 30, (70,))
    results = []
    for number in (1, 2, 4):
        threads(number)
        inputs = [image.clone(), text.clone(), torch.tensor(9.0), torch.tensor(-4.0)]
        loss = sigmoid_loss(*(t.requires_grad_() for t in inputs), ids, block=16)
        results.append([loss, *torch.autograd.grad(loss, inputs)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
