"""Exact states that a run goes on from, and the complete folders it leaves; either whole or not there at all.

    state/step_0000040/model/          weights, as torch's distributed checkpoint: each process writes its shards
    state/step_0000040/optimizer/      AdamW's moments, likewise
    state/step_0000040/progress.json   step, epoch and what the log of this epoch has so far
    state/step_0000040/manifest.json   written last

Random state needs no place in it: every step is seeded from (seed, step, process).
"""

import ctypes
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed import barrier
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, load, save
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from core.errors import InputError, reason
from core.files import read_json, write_json
from core.manifest import write_manifest
from core.states import PARTIAL, States
from siglip.loss.gathering import num_processes, rank


class StateFolder:
    """The states of one training; all its processes call each method together."""

    def __init__(self, path: Path) -> None:
        self._states = States(path, "step", 7)

    @property
    def path(self) -> Path:
        """The folder of the states."""
        return self._states.path

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
        """Add the state of a step; a kill at any moment leaves the ones before it as they were."""
        step = int(progress["step"])
        target = self._states.target(step)
        if target.is_dir():  # the same step is the same state, and replacing it would leave a moment without
            return
        partial = self._states.partial(step) if rank() == 0 else target.with_suffix(PARTIAL)
        _meet()
        _save(partial / "model", {"model": get_model_state_dict(model)})
        _save(partial / "optimizer", {"optimizer": get_optimizer_state_dict(model, optimizer)})
        if rank() == 0:
            write_json(partial / "progress.json", progress)
            self._states.complete(step)
        _meet()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Put the newest complete state back and return its progress; None when there was never one.

        Raises InputError when there are states but each is damaged, so that work is never silently begun anew.
        """
        found = self._states.newest(tell=rank() == 0)
        if found is None:
            return None
        moments = {"optimizer": get_optimizer_state_dict(model, optimizer)}
        _load(found / "optimizer", moments)
        set_optimizer_state_dict(model, optimizer, moments["optimizer"])
        weights = {"model": get_model_state_dict(model)}
        _load(found / "model", weights)
        set_model_state_dict(model, weights["model"])
        _meet()  # nobody clears a damaged state away while another still reads
        if rank() == 0:
            self._states.clear_after(found)
        return dict(read_json(found / "progress.json"))


def _meet() -> None:
    if num_processes() > 1:
        barrier()


def _save(folder: Path, values: dict[str, Any]) -> None:
    alone = num_processes() == 1
    warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process is what is meant
    save(values, storage_writer=FileSystemWriter(folder, sync_files=False), no_dist=alone)  # write_manifest syncs


def _load(folder: Path, values: dict[str, Any]) -> None:
    warnings.filterwarnings("ignore", "torch.distributed is disabled")
    try:
        load(values, storage_reader=FileSystemReader(folder), no_dist=num_processes() == 1)
    except CheckpointException as error:  # the files verified, so it is their content that does not fit
        raise InputError(f"{folder}: is another model's state: {reason(error, -1)}") from error


def whole_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every weight in full on the CPU of process 0, under its plain name; empty on the others. All call it together."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found: dict[str, torch.Tensor] = get_model_state_dict(model, options=options)
    return {name: value.detach().clone() for name, value in found.items()} if rank() == 0 else {}


def publish(target: Path, write: Callable[[Path], None]) -> None:
    """Replace the folder `target` by what `write` puts into a fresh one, with a manifest; for process 0.

    A kill leaves the old folder or the new one; where the system cannot swap two names in one step, for an instant the
    old one under `.NAME.old`.
    """
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    write_manifest(partial)
    if not target.exists():
        partial.rename(target)
    elif not _swap(partial, target):
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        partial.rename(target)
    for rest in (partial, old):
        shutil.rmtree(rest, ignore_errors=True)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names in one step, as Linux can on most file systems; False, and nothing done, where it cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0
