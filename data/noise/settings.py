"""Settings of `data.noise`."""

from dataclasses import dataclass

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.runs import RunConfig
from data.formats.source import PartConfig


@dataclass
class NoiseConfig(DecodingConfig, PartConfig, RunConfig):
    """Settings of `data.noise`."""

    annotations: str = MISSING  # caption JSONL or JSON list, or labels of another tool; boxes may be absent
    images: str = MISSING  # folder of the images
    grade: str = MISSING  # clean, gauss500, iso30, multiplicative10, jpeg20, blur5, lowres3, ...
    seed: int = 0  # another seed draws other noise; the same image always gets the same
    workers: int = 4  # threads
