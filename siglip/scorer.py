"""Settings of a scorer and the one place that builds it; light to import."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siglip.scorer_hugging_face import SiglipScorer

TEMPLATE = "{}"  # captions are scored as they are, in training and in use; HF's pipelines wrap them by default


@dataclass
class ScorerConfig:
    """A scorer: a checkpoint, or an architecture to train from scratch."""

    weights: str | None = None  # folder or hub name of a checkpoint
    architecture: dict[str, Any] = field(default_factory=dict)  # without weights: SiglipConfig's text and vision values
    template: str | None = None  # prompt template with one {}; null: the checkpoint's own
    batch: int = 64  # crops that go through the image tower together
    precision: str = "float32"  # float32 or bfloat16
    any_policy: bool = False  # allow crops enlarged by another policy than the scorer was trained on


def build_scorer(config: ScorerConfig, device: str = "cpu") -> "SiglipScorer":
    """The scorer of these settings on `device`.

    Raises InputError for weights that are missing or broken and for a template other than the checkpoint's.
    """
    from siglip.scorer_hugging_face import SiglipScorer

    return SiglipScorer(config, device)
