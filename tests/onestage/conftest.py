"""Tiny one-stage models of random weights, one folder a class, and drawn noise to look at."""

import numpy as np
import pytest
import torch

WORDS = [
    "red drone",
    "green missile",
    "grey helicopter",
    "a",
    "the",
    "and",
    "of",
    "left",
    "white",
    "blue",
    "jet",
    "detect",
]


def tokenizer(**more):
    """A word tokenizer with the marks that these classes look for; it writes words without spaces between."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", ",", "<image>"]
    words = sorted({word for text in WORDS for word in text.split()})
    vocabulary = {word: n for n, word in enumerate([*special, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        bos_token="[CLS]", eos_token="[SEP]", **more,
    )  # fmt: skip


SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2, "image_size": 64,
        "out_features": ["stage2", "stage3", "stage4"]}  # fmt: skip
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 64}


def dino(kind):
    import transformers

    config_class = getattr(transformers, f"{kind}Config")
    config = config_class(
        backbone_config=transformers.SwinConfig(**SWIN), text_config=transformers.BertConfig(**BERT), d_model=32,
        encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, num_queries=12, num_feature_levels=4, decoder_n_points=2, encoder_n_points=2,
    )  # fmt: skip
    images = transformers.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    processor = transformers.GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer())
    return getattr(transformers, f"{kind}ForObjectDetection")(config), processor


def owlv2():
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    side = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Owlv2Config(
        text_config={**side, "vocab_size": 64, "max_position_embeddings": 16, "eos_token_id": 3, "bos_token_id": 2},
        vision_config={**side, "image_size": 32, "patch_size": 8}, projection_dim=16,
    )  # fmt: skip
    images = Owlv2ImageProcessor(size={"height": 32, "width": 32})
    return Owlv2ForObjectDetection(config), Owlv2Processor(images, tokenizer(model_max_length=16))


def owlvit():
    from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor

    side = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = OwlViTConfig(
        text_config={**side, "vocab_size": 64, "max_position_embeddings": 16, "eos_token_id": 3, "bos_token_id": 2},
        vision_config={**side, "image_size": 32, "patch_size": 8}, projection_dim=16,
    )  # fmt: skip
    images = OwlViTImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    return OwlViTForObjectDetection(config), OwlViTProcessor(images, tokenizer(model_max_length=16))


def omdet():
    from transformers import (
        CLIPTextConfig,
        DetrImageProcessor,
        OmDetTurboConfig,
        OmDetTurboForObjectDetection,
        OmDetTurboProcessor,
        SwinConfig,
    )

    text = {"hidden_size": 24, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 64, "projection_dim": 16, "eos_token_id": 3, "bos_token_id": 2}  # fmt: skip
    config = OmDetTurboConfig(
        backbone_config=SwinConfig(**SWIN), use_timm_backbone=False, text_config=CLIPTextConfig(**text),
        apply_layernorm_after_vision_backbone=False, image_size=64, encoder_hidden_dim=16, decoder_hidden_dim=16,
        vision_features_channels=[16, 16, 16], encoder_in_channels=[16, 32, 64], class_embed_dim=24,
        text_projection_in_dim=24, text_projection_out_dim=24, task_encoder_hidden_dim=16, encoder_dim_feedforward=16,
        decoder_dim_feedforward=16, encoder_attention_heads=2, decoder_num_heads=2, decoder_num_layers=1,
        num_queries=12, class_distance_type="cosine",
    )  # fmt: skip
    images = DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    return OmDetTurboForObjectDetection(config), OmDetTurboProcessor(images, tokenizer(model_max_length=77))


def sam3(kind="Sam3"):
    import transformers

    side = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {
        "backbone_config": {**side, "model_type": "sam3_vit_model", "num_hidden_layers": 1, "image_size": 112,
                            "patch_size": 14, "window_size": 4, "global_attn_indexes": [0],
                            "pretrain_image_size": 56},
        "fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }  # fmt: skip
    text = {**side, "num_hidden_layers": 1, "vocab_size": 64, "max_position_embeddings": 32, "projection_dim": 32}
    text |= {"eos_token_id": 3, "bos_token_id": 2} if kind == "Sam3" else {}
    vision |= {} if kind == "Sam3" else {"model_type": "sam3_vision_model"}
    config = getattr(transformers, f"{kind}Config")(
        vision_config=vision, text_config=text, geometry_encoder_config={**side, "num_layers": 1},
        detr_encoder_config={**side, "num_layers": 1},
        detr_decoder_config={**side, "num_layers": 2, "num_queries": 10},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    images = transformers.Sam3ImageProcessor(size={"height": 112, "width": 112})
    model = transformers.AutoModel.from_config(config) if kind != "Sam3" else transformers.Sam3Model(config)
    return model, transformers.Sam3Processor(images, tokenizer(model_max_length=32))


def florence2():
    from transformers import CLIPImageProcessor, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor

    vision = {"depths": [1, 1, 1, 1], "embed_dim": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2],
              "num_groups": [1, 1, 2, 2], "window_size": 4, "projection_dim": 16}  # fmt: skip
    locations = [f"<loc_{n}>" for n in range(1000)]
    words = tokenizer(extra_special_tokens={"image_token": "<image>"})
    words.add_tokens(locations)
    text = {"vocab_size": len(words), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3, "forced_eos_token_id": None,
            "max_position_embeddings": 128}  # fmt: skip
    config = Florence2Config(vision_config=vision, text_config=text, image_token_id=words.image_token_id)
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    return Florence2ForConditionalGeneration(config), Florence2Processor(images, words)


MAKERS = {
    "sam3": sam3, "florence2": florence2,
    "grounding_dino": lambda: dino("GroundingDino"), "mm_grounding_dino": lambda: dino("MMGroundingDino"),
    "owlv2": owlv2, "owlvit": owlvit, "omdet": omdet, "sam3_small": lambda: sam3("Sam3LiteText"),
}  # fmt: skip


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """`folders(name)`: the folder of a tiny model, made at the first call."""
    made = {}

    def folder(name):
        if name not in made:
            torch.manual_seed(0)
            model, processor = MAKERS[name]()
            made[name] = tmp_path_factory.mktemp(name)
            model.eval().save_pretrained(made[name])
            processor.save_pretrained(made[name])
        return made[name]

    return folder


@pytest.fixture(scope="session")
def image():
    return np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8)


@pytest.fixture(scope="session")
def close_in():
    """`close_in(image, boxes, expected)`: corners equal to 1e-5 of the image's longer side."""

    def check(image, boxes, expected):
        side = max(image.shape[:2])
        np.testing.assert_allclose(np.divide(boxes, side), np.divide(expected, side), atol=1e-5, rtol=0)

    return check
