"""Settings of `siglip.convert`."""

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from core.runs import RunConfig


class Verify(Enum):
    """Whether the result is compared with the model that its config describes."""

    auto = "auto"
    none = "none"


class Cast(Enum):
    """What floating-point tensors become."""

    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


@dataclass
class ConvertConfig(RunConfig):
    """Settings of `siglip.convert`."""

    source: str = MISSING  # safetensors, .bin or .pt file; folder of them, sharded too; folder with DCP shards
    out: str | None = None  # file or folder to write, like the source; PyTorch's formats become safetensors
    verify: Verify = Verify.auto  # compare with the model's own tensors; none: take the names as they come
    dry_run: bool = False  # only show what would be renamed
    in_place: bool = False  # instead of out: write new headers into the source's safetensors files
    cast: Cast | None = None  # bf16, fp16 or fp32 for floating-point tensors; null: as they are
