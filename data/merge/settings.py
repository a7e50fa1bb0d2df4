"""Settings of `data.merge`."""

from dataclasses import dataclass

from omegaconf import MISSING

from core.runs import RunConfig
from data.formats.source import PartConfig
from data.merge.names import Collisions
from data.placing import Place


@dataclass
class MergeConfig(PartConfig, RunConfig):
    """Settings of `data.merge`."""

    sets: list[str] = MISSING  # crop sets (folders or published indexes), or labels: our files, any tool's; two or more
    images: list[str] | None = None  # for annotation files: the folder of images of each, or one for all
    names: list[str] | None = None  # a short name for each set; default its folder's or file's name
    collisions: Collisions = Collisions.error  # error, or rename: put the set's name before every name of every set
    place: Place = Place.link  # link or copy the files
    allow_mixed: bool = False  # merge crop sets though their pad policies or upscalers differ
