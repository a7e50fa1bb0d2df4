"""This process's share of an export that `accelerate launch` runs in several."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class Share:
    """One of `processes` processes; `rank` 0 writes what belongs to all."""

    rank: int
    processes: int
    device: str

    @staticmethod
    def of_this_process(device: str) -> "Share":
        """Join the other processes, if there are any; on GPUs each takes the one of its local rank."""
        rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if processes == 1:
            return Share(0, 1, device)
        import torch.distributed

        # gloo carries a few names and times once; a week, as shares may end hours apart
        torch.distributed.init_process_group("gloo", timeout=timedelta(days=7))
        return Share(rank, processes, f"cuda:{os.environ.get('LOCAL_RANK', rank)}" if device == "cuda" else device)

    @property
    def is_first(self) -> bool:
        """Whether this process writes what belongs to all."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        if self.processes == 1:
            return [value]
        import torch.distributed

        gathered: list[Any] = [None] * self.processes
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def union(self, part: Mapping[str, T]) -> dict[str, T]:
        """Every process's entries in one."""
        return {key: value for values in self.gather(dict(part)) for key, value in values.items()}

    def joined(self, part: Mapping[str, list[T]]) -> dict[str, list[T]]:
        """Every process's lists, joined by key."""
        found: dict[str, list[T]] = {}
        for values in self.gather(dict(part)):
            for key, entries in values.items():
                found.setdefault(key, []).extend(entries)
        return found

    def end(self) -> None:
        """Part from the other processes."""
        if self.processes > 1:
            import torch.distributed

            torch.distributed.destroy_process_group()
