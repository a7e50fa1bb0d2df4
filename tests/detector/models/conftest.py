"""transformers' detectors with random weights, as small as they can be."""

from collections.abc import Callable
from typing import Any

import pytest
import torch


def hgnet(**more: Any) -> Any:
    """A backbone of a few thousand parameters, strides 8 and 16 out."""
    from transformers import HGNetV2Config

    return HGNetV2Config(
        hidden_sizes=[8, 16, 16, 16], embedding_size=8, depths=[1, 1, 1, 1], stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 16], stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[8, 16, 16, 16],
        stage_num_blocks=[1, 1, 1, 1], stage_num_of_layers=[1, 1, 1, 1], stage_kernel_size=[3, 3, 3, 3],
        stage_downsample=[False, True, True, True], stage_light_block=[False, False, False, False],
        out_features=["stage2", "stage3"], **more,
    )  # fmt: skip


DECODER: dict[str, Any] = {
    "encoder_hidden_dim": 16, "encoder_in_channels": [16, 16], "feat_strides": [8, 16], "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2, "encode_proj_layers": [1], "d_model": 16, "num_queries": 10, "decoder_ffn_dim": 16,
    "decoder_in_channels": [16, 16], "num_feature_levels": 2, "decoder_layers": 2, "decoder_attention_heads": 2,
    "num_denoising": 4, "num_labels": 1, "hidden_expansion": 1.0,
}  # fmt: skip


def tiny_config(kind: str) -> Any:
    """The configuration of a model of about twenty thousand parameters; `kind` is its model_type."""
    import transformers as t

    if kind in {"rt_detr", "rt_detr_v2"}:
        resnet = t.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3"],
        )  # fmt: skip
        which = t.RTDetrConfig if kind == "rt_detr" else t.RTDetrV2Config
        more = {} if kind == "rt_detr" else {"decoder_n_levels": 2}
        return which(backbone_config=resnet, **DECODER, **more)
    if kind == "d_fine":
        return t.DFineConfig(backbone_config=hgnet(), **DECODER)
    if kind == "deimv2":
        return t.Deimv2Config(backbone_config=hgnet(), **DECODER)
    shared: dict[str, Any] = {
        "d_model": 16, "decoder_ffn_dim": 16, "decoder_layers": 1, "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 2, "num_queries": 10, "group_detr": 2, "num_labels": 1, "c2f_num_blocks": 1,
    }  # fmt: skip
    if kind == "lw_detr":
        vit = t.LwDetrViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=128, pretrain_image_size=64,
            patch_size=16, num_windows=4, window_block_indices=[0], out_indices=[1, 2],
        )  # fmt: skip
        return t.LwDetrConfig(backbone_config=vit, projector_scale_factors=[1.0], **shared)
    dino = t.RfDetrDinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=128, patch_size=16, num_windows=2,
        out_indices=[1, 2],
    )  # fmt: skip
    return t.RfDetrConfig(backbone_config=dino, **shared)


def build(kind: str, seed: int = 0) -> Any:
    """The model itself, in evaluation mode, its last layers drawn so that confidences differ."""
    from transformers import AutoModelForObjectDetection

    torch.manual_seed(seed)
    model = AutoModelForObjectDetection.from_config(tiny_config(kind)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1 and ("class_embed" in name or "bbox_embed" in name or "score_head" in name):
                p.normal_(0, 0.1 if kind == "lw_detr" else 0.5)
    return model


@pytest.fixture(scope="session")
def tiny_detr() -> Callable[..., Any]:
    """`tiny_detr(kind, seed=0)`."""
    return build
