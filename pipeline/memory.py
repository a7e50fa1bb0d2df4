"""The most memory that this process held, main memory and a GPU's."""

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
