"""Settings of a scorer and the one place that builds it; light to import."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError

if TYPE_CHECKING:
    from siglip.scorers.merged import MergedScorer
    from siglip.scorers.two_towers import Towers, TwoTowerScorer

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


@dataclass
class ScorerMemberConfig:
    """One checkpoint."""

    weights: str | None = None  # folder or hub name of a checkpoint, or what siglip.export wrote
    family: Family = Family.auto  # transformers, open_clip, onnx; auto: what the folder holds, transformers for a name
    template: str | None = None  # prompt template with one {}; null: the checkpoint's own
    batch: int = 64  # crops that go through the image tower together
    precision: Precision = Precision.float32  # float32, bfloat16 or float16 (GPU)
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


def build_scorer(config: ScorerConfig, device: str = "cpu") -> "TwoTowerScorer | MergedScorer":
    """The scorer of these settings on `device`.

    Raises InputError for weights that are missing or broken, for a template other than the checkpoint's, and for
    members that were trained on differently enlarged crops unless `any_policy` allows it.
    """
    if not config.members:
        return _build_member(config, device, "scorer")
    from siglip.scorers.merged import MergedScorer

    if config.weights:
        raise InputError("scorer: give either weights or members, not both")
    members = [_build_member(m, device, f"scorer.members[{i}]") for i, m in enumerate(config.members)]
    return MergedScorer(members, [m.weight for m in config.members], config.any_policy)


def _build_member(config: ScorerMemberConfig, device: str, where: str) -> "TwoTowerScorer":
    from siglip.scorers.two_towers import TwoTowerScorer

    if not config.weights:
        raise InputError(f"{where}.weights: must be given: a checkpoint folder or a hub name")
    if config.batch < 1:
        raise InputError(f"{where}.batch: {config.batch} is not at least 1")
    if config.precision is Precision.float16 and device == "cpu":
        raise InputError(f"{where}.precision: float16 needs a GPU; a CPU takes float32 or bfloat16")
    return TwoTowerScorer(_load(_family(config), config, device), config)


def _family(config: ScorerMemberConfig) -> Family:
    """What the settings say or, where they leave it open, the marks of the weights' folder."""
    if config.family is not Family.auto:
        return config.family
    folder = Path(str(config.weights))
    if (folder / EXPORTED).is_file():
        return Family.onnx
    named_open_clip = (folder / "open_clip_config.json").is_file() and not (folder / "config.json").is_file()
    return Family.open_clip if named_open_clip else Family.transformers


def _load(family: Family, config: ScorerMemberConfig, device: str) -> "Towers":
    match family:
        case Family.onnx:
            from siglip.scorers.onnx_family import load
        case Family.open_clip:
            from siglip.scorers.open_clip_family import load
        case _:
            from siglip.scorers.transformers_family import load
    return load(config, device)
