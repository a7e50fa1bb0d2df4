"""A small hybrid scorer for those who train from nothing: a convolutional stem in front of SigLIP's transformer.

Sixteen-pixel patches of a few thousand crops teach a transformer colours and no shapes. Four 3x3 convolutions of stride
2 and two residual ones give it local features at the same resolution (docs/log.md). Everything else, the text
tower, the names of the weights and the calls are SigLIP's own: training, export, converter, server and merging take it
as they take SigLIP. `register` makes transformers' Auto classes open it.

Shapes: B crops, S side of the tower, C channels, P patches.
Source of the stem: Xiao et al., Early Convolutions Help Transformers See Better (2021), arXiv:2106.14881.
"""

import itertools
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoProcessor, SiglipProcessor
from transformers.models.siglip.configuration_siglip import SiglipConfig, SiglipTextConfig, SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipModel, SiglipVisionModel

MODEL_TYPE = "grounder_small"
_GROUPS = 8  # of channels that are normalised together


@strict
class SmallVisionConfig(SiglipVisionConfig):
    """SigLIP's image tower with a stem: its channels, one a halving of the size, and its residual blocks."""

    model_type = "grounder_small_vision_model"
    stem_channels: list[int] | tuple[int, ...] = (24, 48, 96, 128)
    stem_residuals: int = 2


@strict
class SmallConfig(SiglipConfig):
    """The configuration of a `SmallScorer`."""

    model_type = MODEL_TYPE
    sub_configs = {"text_config": SiglipTextConfig, "vision_config": SmallVisionConfig}  # noqa: RUF012

    vision_config: Any = None

    def __post_init__(self, **given: Any) -> None:
        vision: Any = self.vision_config
        if not isinstance(vision, SmallVisionConfig):  # SigLIP's own would lose the stem
            self.vision_config = SmallVisionConfig(**dict(vision or {}))
        super().__post_init__(**given)


class _Block(nn.Sequential):
    """A bias-free 3x3 convolution, group norm, GELU.

    Group norm and not batch norm: what a crop becomes must not depend on the crops beside it, or micro-batches and
    several processes would train another model than one batch does.
    """

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.GroupNorm(_groups(made), made), nn.GELU("tanh")
        )


def _groups(channels: int) -> int:
    return max(g for g in range(1, _GROUPS + 1) if channels % g == 0)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = _Block(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class StemEmbeddings(nn.Module):
    """(B, 3, S, S) -> (B, P, hidden) by convolutions, with a learned position each."""

    def __init__(self, config: SmallVisionConfig) -> None:
        super().__init__()
        channels = [int(config.num_channels), *map(int, config.stem_channels)]
        blocks = [_Block(a, b, 2) for a, b in itertools.pairwise(channels)]
        residuals = [_Residual(channels[-1]) for _ in range(config.stem_residuals)]
        self.patch_embedding = nn.Sequential(*blocks, *residuals, nn.Conv2d(channels[-1], config.hidden_size, 1))
        side = int(config.image_size) >> len(config.stem_channels)  # type: ignore[arg-type]
        self.position_embedding = nn.Embedding(side * side, config.hidden_size)
        self.register_buffer("position_ids", torch.arange(side * side)[None], persistent=False)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool | None = False) -> Tensor:
        """Raises ValueError when positions would have to be interpolated, which this tower does not do."""
        if interpolate_pos_encoding:
            raise ValueError("a small scorer has one input size; it interpolates no positions")
        pixels = pixel_values.to(self.position_embedding.weight.dtype)
        features = self.patch_embedding(pixels.contiguous(memory_format=torch.channels_last))  # a sixth faster on CPUs
        embedded: Tensor = features.flatten(2).transpose(1, 2) + self.position_embedding(self.position_ids)
        return embedded


class SmallVisionModel(SiglipVisionModel):
    """SigLIP's image tower behind a convolutional stem."""

    config: SmallVisionConfig
    _no_split_modules = ["StemEmbeddings", "SiglipEncoderLayer", "SiglipMultiheadAttentionPoolingHead"]  # noqa: RUF012

    def __init__(self, config: SmallVisionConfig) -> None:
        super().__init__(config)
        self.embeddings = StemEmbeddings(config)  # type: ignore[assignment]
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if not _init_stem(module, self.config):
            super()._init_weights(module)


class SmallScorer(SiglipModel):
    """Two towers compared as SigLIP compares them."""

    config: SmallConfig
    config_class = SmallConfig

    def __init__(self, config: SmallConfig) -> None:
        super().__init__(config)
        self.vision_model = SmallVisionModel._from_config(config.vision_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if not _init_stem(module, self.config.vision_config):
            super()._init_weights(module)


def _init_stem(module: nn.Module, config: Any) -> bool:
    """He initialisation of the stem's convolutions, small positions; whether the module was one of the stem's."""
    from transformers import initialization as init

    if isinstance(module, StemEmbeddings):
        init.normal_(module.position_embedding.weight, std=config.hidden_size**-0.5)
        init.copy_(module.position_ids, torch.arange(module.position_ids.shape[-1])[None])
        return True
    if isinstance(module, nn.Conv2d):
        init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            init.zeros_(module.bias)
        return True
    return False


def register() -> None:
    """Make transformers' Auto classes open checkpoints of this type."""
    AutoConfig.register(MODEL_TYPE, SmallConfig, exist_ok=True)
    AutoConfig.register(SmallVisionConfig.model_type, SmallVisionConfig, exist_ok=True)
    AutoModel.register(SmallConfig, SmallScorer, exist_ok=True)
    AutoProcessor.register(SmallConfig, SiglipProcessor, exist_ok=True)
