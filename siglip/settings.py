"""Settings of a scorer; light to import."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

TEMPLATE = "{}"  # captions are scored as they are, in training and in use; HF's pipelines wrap them by default
EXPORTED = "scorer.json"  # what marks a folder that `siglip.export` wrote


class Family(Enum):
    """Which library runs a scorer."""

    auto = "auto"
    transformers = "transformers"
    open_clip = "open_clip"
    onnx = "onnx"


class Precision(Enum):
    """What the towers compute in; embeddings are float32 always."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class CropView(Enum):
    """A view of a crop; a crop's embedding is the mean of those of its views."""

    plain = "plain"
    flip_lr = "flip_lr"


@dataclass
class ScorerMemberConfig:
    """One checkpoint."""

    weights: str | None = None  # folder or hub name of a checkpoint, or what siglip.export wrote
    family: Family = Family.auto  # transformers, open_clip, onnx; auto: what the folder holds, transformers for a name
    template: str | None = None  # prompt template with one {}; null: the checkpoint's own
    batch: int = 64  # crops that go through the image tower together
    precision: Precision = Precision.float32  # float32, bfloat16 or float16 (GPU)
    views: list[CropView] = field(default_factory=lambda: [CropView.plain])  # [plain,flip_lr]: mirrored as well
    weight: float = 1.0  # share of this member's logits in a merged scorer


@dataclass
class ScorerConfig(ScorerMemberConfig):
    """A scorer: a checkpoint, several merged by `members`, or an architecture to train from scratch."""

    members: list[ScorerMemberConfig] = field(default_factory=list)  # merged by weight; `weights` is then left out
    architecture: dict[str, Any] = field(default_factory=dict)  # without weights: SiglipConfig's text and vision values
    any_policy: bool = False  # allow crops enlarged by another policy than the scorer was trained on


def scorer_weights(config: ScorerConfig | None) -> list[str]:
    """The checkpoints that the settings name, by `weights` or by `members`; none: there is no scorer."""
    if config is None:
        return []
    named = [config.weights, *(member.weights for member in config.members)]
    return [weights for weights in named if weights]
