"""Seconds on a device that works on its own: it is waited for before and after."""

import statistics
import time
from collections.abc import Callable, Mapping


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str) -> float:
    """How long some work takes to its end on the device."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each way says it took, the ways taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            taken[name].append(ways[name]())
    return {name: statistics.median(times) for name, times in taken.items()}


def free(device: str) -> None:
    """Hand back the memory of what was let go, and begin to look for its peak anew."""
    import gc

    gc.collect()
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float | None:
    """The most that was allocated on the GPU since `free`, in GiB; None on a CPU."""
    if device == "cpu":
        return None
    import torch

    return float(torch.cuda.max_memory_allocated() / 2**30)
