"""Settings of a pipeline; light to import."""

from dataclasses import dataclass, field

from core.choosing import ChoosingConfig
from core.cuts import CutConfig
from detector.settings import DetectorConfig
from siglip.settings import ScorerConfig
from upscale.settings import UpscalerConfig


@dataclass
class PipelineConfig(CutConfig):
    """A whole system: its stages, its cuts and its choosing."""

    detector: DetectorConfig | None = field(default_factory=DetectorConfig)
    upscaler: UpscalerConfig | None = field(default_factory=UpscalerConfig)
    scorer: ScorerConfig | None = field(default_factory=ScorerConfig)  # null: boxes only, the fallback answers
    choosing: ChoosingConfig = field(default_factory=ChoosingConfig)
    device: str = "cpu"  # cpu, cuda, cuda:1
