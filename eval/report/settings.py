"""Settings of `eval.report`."""

from dataclasses import dataclass, field

from core.runs import RunConfig
from core.tracking import TrackingConfig
from data.formats.source import PartConfig


@dataclass
class ReportConfig(PartConfig, RunConfig):
    """Settings of `eval.report`."""

    run: str | None = None  # run folder, or a folder of run folders, that the page is about
    runs: list[str] = field(default_factory=list)  # beside run: more of its folders; alone: systems to be compared
    images: str | None = None  # folder of the images; null: the export's
    truth: str | None = None  # annotation file, or labels of another tool; null: the one that eval.grounding used
    title: str | None = None  # heading; null: the folder's name
    thumbnails: int = 2000  # images shown in the page, evenly over the set; of the others the boxes alone
    crops: int = 15  # candidates of an image that have a crop of their own in the page, the most confident
    png: bool = True  # write the charts as PNG files too
    tracking: TrackingConfig = field(default_factory=TrackingConfig)  # the report, its numbers and tables go to W&B too
