"""Settings of `siglip.bigvision`."""

from dataclasses import dataclass

from omegaconf import MISSING

from core.runs import RunConfig


@dataclass
class BigVisionConfig(RunConfig):
    """Settings of `siglip.bigvision`."""

    source: str = MISSING  # .npz of big_vision, or a transformers folder or hub name
    out: str = MISSING  # folder for an .npz, .npz for a folder
    like: str | None = None  # to a folder: checkpoint whose config, tokenizer and preprocessing are taken; null: none
    stacked: bool = False  # to an .npz: layers in one array each, as big_vision's scan=True has them
