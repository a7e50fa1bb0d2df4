"""Progress of long work: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

LINE_EVERY_S = 10.0


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and show on standard error how far they are; `total` defaults to their length if they have one."""
    if total is None:
        total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=label, total=total, file=sys.stderr)
        return
    started = shown = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= LINE_EVERY_S:
            shown = now
            _line(label, done, total, now - started)
    if shown > started:
        _line(label, done, total, time.monotonic() - started)


def _line(label: str, done: int, total: int | None, elapsed_s: float) -> None:
    of = f"/{total}" if total is not None else ""
    print(f"{label}: {done}{of} in {elapsed_s:.0f} s", file=sys.stderr, flush=True)
