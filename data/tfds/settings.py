"""Settings of `data.tfds`."""

from dataclasses import dataclass

from omegaconf import MISSING

from core.runs import RunConfig


@dataclass
class TfdsConfig(RunConfig):
    """Settings of `data.tfds`."""

    crops: str = MISSING  # crop set that becomes the split `train`
    val_crops: str | None = None  # crop set that becomes the split `val`; null: none
    name: str = "described_crops"  # what tfds.builder(name, data_dir=RUN) opens; lower case, digits and _
    version: str = "1.0.0"  # version of the data set, three numbers
    shard: int = 10_000  # crops a file
