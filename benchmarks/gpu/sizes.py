"""The published sizes, and tiny ones with which every row runs on a CPU in seconds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TINY_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@dataclass(frozen=True)
class ScorerSizes:
    """A SigLIP: our architecture, the vocabulary it was published with, and open_clip's name for it."""

    vision: dict[str, Any]
    text: dict[str, Any]
    vocabulary: int
    open_clip: str
    open_clip_config: dict[str, Any] | None = None  # of a model that open_clip does not know


def _siglip(width: int, inner: int, layers: int, patch: int, name: str) -> ScorerSizes:
    tower = {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 16}
    vision = {**tower, "image_size": 384, "patch_size": patch}
    text = {**tower, "max_position_embeddings": 64, "projection_size": width}
    return ScorerSizes(vision, text, 32_000, name)


TINY_SIGLIP = ScorerSizes(
    {**TINY_TOWER, "image_size": 32, "patch_size": 16},
    {**TINY_TOWER, "max_position_embeddings": 64, "projection_size": 32}, 128, "grounder-tiny",
    {
        "embed_dim": 32, "init_logit_bias": -10, "custom_text": True,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 64, "vocab_size": 128, "width": 32, "heads": 2, "layers": 1},
    },
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """What the rows measure at."""

    is_full: bool = True
    yolov9: str = "yolov9e.yaml"
    yolov9_sides: tuple[int, int] = (1280, 1600)
    yolov6: dict[str, Any] = field(default_factory=dict)  # of its graph; as published where it says nothing
    yolov6_side: int = 1536  # 1536x896 for images of 1520x870
    yolov6_batch: int = 8
    image_hw: tuple[int, int] = (870, 1520)
    workers: int = 8
    warm_batches: int = 4  # of a detector's training; the first three are drawn as sheets
    timed_batches: int = 12
    rounds: int = 2
    siglip: dict[str, ScorerSizes] = field(default_factory=lambda: {
        "large": _siglip(1024, 4096, 24, 16, "ViT-L-16-SigLIP-384"),
        "so400m": _siglip(1152, 4304, 27, 14, "ViT-SO400M-14-SigLIP-384"),
    })  # fmt: skip
    pairs: int = 960
    micro: int = 12
    captions: int = 126  # distinct ones, as in the published data
    compile: str | None = "inductor"
    pipeline_imgsz: tuple[int, int] = (896, 1536)
    upscaler: tuple[int, int] = (64, 32)  # features and convolutions of realesr-general-x4v3
    crops_an_image: int = 10
    captions_an_image: int = 10
    pipeline_images: int = 24
    pipeline_batch: int = 8
    peer_images: int = 3  # of the published way, which is slow
    agreement_side: int = 640
    goals: bool = True  # tiny sizes say nothing about speed

    @property
    def batches(self) -> int:
        """All batches of a detector's training."""
        return self.warm_batches + self.timed_batches


TINY = Sizes(
    is_full=False, yolov9=str(Path(__file__).with_name("tiny_yolo.yaml")),
    yolov9_sides=(64, 96), yolov6={"width": 0.0625, "depth": 0.1},
    yolov6_side=128, yolov6_batch=2, image_hw=(87, 152), workers=0, warm_batches=1, timed_batches=1,
    rounds=1, siglip={"large": TINY_SIGLIP, "so400m": TINY_SIGLIP}, pairs=8, micro=2, captions=5, compile=None,
    pipeline_imgsz=(96, 160), upscaler=(4, 1), crops_an_image=3, captions_an_image=2, pipeline_images=2, peer_images=1,
    agreement_side=64, goals=False,
)  # fmt: skip


def sizes_of(name: str) -> Sizes:
    """`full` or `tiny`."""
    return TINY if name == "tiny" else Sizes()
