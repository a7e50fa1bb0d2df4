"""Settings of `pipeline.server`."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from core.runs import RunConfig
from core.weights import WeightsConfig
from pipeline.server.limits import LimitsConfig
from pipeline.server.queueing import QueueConfig


@dataclass
class ServerConfig(WeightsConfig, RunConfig):
    """Settings of `pipeline.server`."""

    pipeline: str = MISSING  # run folder of pipeline.export, whose settings and checkpoints are used
    host: str = "127.0.0.1"  # address to listen at: this machine alone; 0.0.0.0 is open to whoever reaches it
    allowed_hosts: list[str] | None = None  # hosts (name or name:port) that Host and Origin may name; docs/serving.md
    port: int = 5004  # port to listen at; 0 takes a free one
    device: str | None = None  # cpu, cuda, cuda:1; null: the run's own
    fallback_box: list[float] | None = field(default_factory=lambda: [0.0] * 4)  # ltwh for nothing found; null: empty
    unsure_below: float = 0.5  # an answer less probable than this is "not sure" on the page and in `details`, 0..1
    image_batch: int = 8  # decoded images held and detected together
    remembered_images: int = 256  # images whose candidates and embeddings are kept for later captions
    linger_s: float = 1.0  # after SIGTERM still answer newcomers so long, with /ready at 503
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
