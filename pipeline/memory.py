"""The memory of this process: the most that it held, main memory and a GPU's; and giving back what is free."""

import contextlib
import ctypes
import resource
import sys
from pathlib import Path


def peak_memory() -> dict[str, float]:
    """MiB under `peak_memory_mib` and, where torch uses a GPU, under `peak_gpu_memory_mib` (reserved, its busiest one).

    Main memory is the kernel's high-water mark of this process; where there is none, `getrusage`, which includes what
    the process was started from.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = {"peak_memory_mib": int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024}
    else:
        found = {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        reserved = [torch.cuda.max_memory_reserved(n) for n in range(torch.cuda.device_count())]
        found["peak_gpu_memory_mib"] = max(reserved) / 2**20
    return found


def release_free_memory() -> None:
    """Hand back to the system what was freed but stays with glibc's allocator; nothing where there is no glibc.

    Freed activations leave holes between what lives on, and the largest image of the day decides how many: 100 MiB
    for good. Costs about 5 ms (docs/log.md, 2026-11-27).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has no such function
            ctypes.CDLL(None).malloc_trim(0)
