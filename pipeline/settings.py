"""Settings of a pipeline; light to import."""

from dataclasses import dataclass, field

from core.choosing import ChoosingConfig
from core.cuts import CutConfig
from core.decoding import DecodingConfig
from core.engines import Engine
from detector.settings import DetectorConfig, SliceConfig
from onestage.settings import OneStageConfig, RerankerConfig
from siglip.settings import ScorerConfig
from upscale.settings import UpscalerConfig


@dataclass
class OneStageStage(OneStageConfig):
    """A one-stage model and the slices it looks at."""

    slices: SliceConfig = field(default_factory=SliceConfig)  # each slice is a view; NMS or fusion brings them together


@dataclass
class PipelineConfig(DecodingConfig, CutConfig):
    """A whole system: its stages, its cuts and its choosing."""

    detector: DetectorConfig | None = field(default_factory=DetectorConfig)
    upscaler: UpscalerConfig | None = field(default_factory=UpscalerConfig)
    scorer: ScorerConfig | None = field(default_factory=ScorerConfig)  # null: boxes only, the fallback answers
    onestage: OneStageStage | None = field(default_factory=OneStageStage)  # answers alone, or in the detector's place
    reranker: RerankerConfig | None = field(default_factory=RerankerConfig)  # chooses among the best candidates
    choosing: ChoosingConfig = field(default_factory=ChoosingConfig)
    device: str = "cpu"  # cpu, cuda, cuda:1
    engine: Engine = Engine.torch  # torch; on a CPU detector and scorer also by onnx or openvino, in float32
