"""The one place that builds a scorer; light to import."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.engines import Engine
from core.errors import InputError
from siglip.settings import EXPORTED, CropView, Family, Precision, ScorerConfig, ScorerMemberConfig
from siglip.weights import find_scorer

if TYPE_CHECKING:
    from siglip.scorers.merged import MergedScorer
    from siglip.scorers.two_towers import Towers, TwoTowerScorer


def build_scorer(
    config: ScorerConfig, device: str = "cpu", engine: Engine = Engine.torch
) -> "TwoTowerScorer | MergedScorer":
    """The scorer of these settings on `device`; `engine` computes what siglip.export wrote.

    Raises InputError for weights that are missing or broken, for a template other than the checkpoint's, and for
    members that were trained on differently enlarged crops unless `any_policy` allows it.
    """
    if not config.members:
        return _build_member(config, device, "scorer", engine)
    from siglip.scorers.merged import MergedScorer

    if config.weights:
        raise InputError("scorer: give either weights or members, not both")
    if config.views != [CropView.plain]:
        raise InputError("scorer.views: each of scorer.members has its own views")
    members = [_build_member(m, device, f"scorer.members[{i}]", engine) for i, m in enumerate(config.members)]
    return MergedScorer(members, [m.weight for m in config.members], config.any_policy)


def _build_member(config: ScorerMemberConfig, device: str, where: str, engine: Engine) -> "TwoTowerScorer":
    from siglip.scorers.two_towers import TwoTowerScorer

    if not config.weights:
        raise InputError(f"{where}.weights: must be given: a checkpoint folder or a hub name")
    if config.batch < 1:
        raise InputError(f"{where}.batch: {config.batch} is not at least 1")
    if not config.views or len(set(config.views)) < len(config.views):
        raise InputError(f"{where}.views: {[v.value for v in config.views]} must name each view once, and one at least")
    if config.precision is Precision.float16 and device == "cpu":
        raise InputError(f"{where}.precision: float16 needs a GPU; a CPU takes float32 or bfloat16")
    config = replace(config, weights=find_scorer(config.weights))
    return TwoTowerScorer(_load(_family(config), config, device, engine), config)


def _family(config: ScorerMemberConfig) -> Family:
    """What the settings say or, where they leave it open, the marks of the weights' folder."""
    if config.family is not Family.auto:
        return config.family
    folder = Path(str(config.weights))
    if (folder / EXPORTED).is_file():
        return Family.onnx
    named_open_clip = (folder / "open_clip_config.json").is_file() and not (folder / "config.json").is_file()
    return Family.open_clip if named_open_clip else Family.transformers


def _load(family: Family, config: ScorerMemberConfig, device: str, engine: Engine) -> "Towers":
    match family:
        case Family.onnx:
            from siglip.scorers.onnx_family import load as load_exported

            return load_exported(config, device, engine)
        case Family.open_clip:
            from siglip.scorers.open_clip_family import load as load_open_clip

            return load_open_clip(config, device)
        case _:
            from siglip.scorers.transformers_family import load

            return load(config, device)
