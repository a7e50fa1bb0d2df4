"""The blocks of a large matrix over a CPU's threads, each block by one thread, added up in one order.

Operations on a block are so small that threads which share one wait for each other at its every step. Beside other busy
programs such a wait takes a slice of the scheduler's time, thousands of times a loss. Here a thread takes a whole row
of blocks and meets the others only to keep sums in the order of the rows: any number of threads gives the same bits.
"""

import threading
from collections.abc import Callable
from functools import partial

import torch

OneBlock = Callable[[int, int, Callable[[], None]], None]  # (row, column, wait_turn)


def over_blocks(one_block: OneBlock, num_rows: int, num_columns: int, device: str) -> None:
    """Call `one_block(row, column, wait_turn)` for every block, each row's columns in their order by one thread.

    `wait_turn()` returns when the rows before this one have finished that column; what is added to a column's sums
    after it is added row after row. On a CPU rows run on its threads at once, elsewhere one after the other.
    """
    threads = torch.get_num_threads()
    if device != "cpu" or threads == 1 or num_rows == 1:
        for row in range(num_rows):
            for column in range(num_columns):
                one_block(row, column, _at_once)
        return
    work = _Work(one_block, num_rows, num_columns)
    others = [threading.Thread(target=work.run, daemon=True) for _ in range(min(threads, num_rows) - 1)]
    for thread in others:
        thread.start()
    try:
        work.run()
    finally:
        for thread in others:
            thread.join()
        torch.set_num_threads(threads)
    if work.failure is not None:
        raise work.failure


def _at_once() -> None:
    return


class _Work:
    """Rows to take, and how far each column has come."""

    def __init__(self, one_block: OneBlock, num_rows: int, num_columns: int) -> None:
        self._one_block, self._num_rows, self._num_columns = one_block, num_rows, num_columns
        self._moved = threading.Condition()
        self._next_row = 0
        self._finished = [0] * num_columns  # rows that are through with the column
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Take rows until none is left; for one thread, whose operations are its own from here on."""
        torch.set_num_threads(1)
        with torch.no_grad():  # a thread of its own has a gradient mode of its own
            while (row := self._take()) is not None:
                try:
                    for column in range(self._num_columns):
                        self._one_block(row, column, partial(self._wait, row, column))
                        self._finish(row, column)
                except BaseException as error:  # raised again by over_blocks, once no thread waits for this one
                    with self._moved:
                        self.failure = self.failure or error
                        self._moved.notify_all()
                    return

    def _take(self) -> int | None:
        with self._moved:
            if self.failure is not None or self._next_row == self._num_rows:
                return None
            self._next_row += 1
            return self._next_row - 1

    def _wait(self, row: int, column: int) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._finished[column] == row or self.failure is not None)
            if self.failure is not None:
                raise RuntimeError("another thread of this loss failed") from self.failure

    def _finish(self, row: int, column: int) -> None:
        self._wait(row, column)
        with self._moved:
            self._finished[column] = row + 1
            self._moved.notify_all()
