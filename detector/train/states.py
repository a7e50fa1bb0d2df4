"""Exact training state: everything the next epoch depends on, in full precision, complete or not there at all.

    state/epoch_00007/state.pt       model, EMA, optimizer, scaler, counters, gradients not yet applied
    state/epoch_00007/results.csv    the epochs so far
    state/epoch_00007/manifest.json  written last

Random state needs no place in it: every epoch is seeded from (seed, epoch).
"""

from pathlib import Path
from typing import Any

import torch

from core.states import States


class StateFolder:
    """The states of one training stage."""

    def __init__(self, path: Path) -> None:
        self._states = States(path, "epoch", 5)

    @property
    def path(self) -> Path:
        """The folder of the states."""
        return self._states.path

    def save(self, state: dict[str, Any], results_csv: bytes) -> None:
        """Add the state of a complete epoch; a kill at any moment leaves the ones before it as they were."""
        partial = self._states.partial(state["epoch"])
        torch.save(state, partial / "state.pt")
        (partial / "results.csv").write_bytes(results_csv)
        self._states.complete(state["epoch"])

    def load(self) -> tuple[dict[str, Any], bytes] | None:
        """The newest complete state and its results.csv; None when no epoch was ever completed.

        Raises InputError when there are states but each is damaged, so that work is never silently begun anew.
        """
        found = self._states.newest()
        if found is None:
            return None
        state = torch.load(found / "state.pt", map_location="cpu", weights_only=True)
        return state, (found / "results.csv").read_bytes()


def capture(trainer: Any, finished: bool) -> dict[str, Any]:
    """Everything of a trainer at the end of an epoch that its further course depends on."""
    from ultralytics.utils.torch_utils import unwrap_model

    model = unwrap_model(trainer.model)
    pending = trainer.batch_number != trainer.last_step  # batches whose gradients no optimizer step has used yet
    return {
        "epoch": trainer.epoch,
        "finished": finished,
        "model": model.state_dict(),
        "ema": trainer.ema.ema.state_dict(),
        "updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "last_step": trainer.last_step,
        "gradients": [p.grad for p in model.parameters()] if pending else None,
        "fitness": _number(trainer.fitness),
        "best_fitness": _number(trainer.best_fitness),
        "stopper": {k: _number(v) for k, v in vars(trainer.stopper).items()},
    }


def restore(trainer: Any, state: dict[str, Any]) -> None:
    """Put a captured state back into a trainer whose model, optimizer and EMA exist; the loop takes the gradients."""
    from ultralytics.utils.torch_utils import unwrap_model

    model = unwrap_model(trainer.model)
    model.load_state_dict(state["model"])
    trainer.ema.ema.load_state_dict(state["ema"])
    trainer.ema.updates = state["updates"]
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.last_step = state["last_step"]
    trainer.pending = state["gradients"]
    trainer.fitness, trainer.best_fitness = state["fitness"], state["best_fitness"]
    trainer.stopper.__dict__.update(state["stopper"])
    if getattr(model.model[-1], "one2one_cv2", None) is not None:  # its loss weights drift with the epochs
        model.criterion = model.init_criterion()
        model.criterion.updates = state["epoch"]
        model.criterion.update()


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
