"""What one training stage needs to know beyond Ultralytics' arguments; a file, so that every process reads the same."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.files import read_json, write_json

FILE = "plan.json"

# The metrics an epoch can be the best by, as results.csv calls them.
METRICS = {
    "AP": "metrics/mAP50-95(B)",
    "AP50": "metrics/mAP50(B)",
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
}


@dataclass(frozen=True)
class StagePlan:
    """One stage of a training."""

    index: int = 1  # 1-based
    num_epochs: int = 0  # epochs of this stage; 0: to the schedule's end
    previous: str | None = None  # folder of the stage whose full state this one goes on from
    rectangle: bool = False  # train at the images' shape
    crop: tuple[int, int] | None = None  # (width, height) of random crops
    crop_share: float = 0.0  # share of the training images that are crops
    best_metric: str = "AP"
    extended: bool = False  # the stage was complete with fewer epochs and goes on from its last
    run_dir: str = ""  # the command's run folder, where rank 0 of a multi-GPU stage tracks
    tracking: dict[str, Any] = field(default_factory=dict)  # core.tracking's settings, for the same

    def write(self, folder: Path) -> None:
        """Put the plan into the stage's folder."""
        write_json(folder / FILE, asdict(self))

    @staticmethod
    def read(folder: Path) -> "StagePlan":
        """The plan of a stage's folder."""
        values = read_json(folder / FILE)
        values["crop"] = tuple(values["crop"]) if values["crop"] else None
        return StagePlan(**values)
