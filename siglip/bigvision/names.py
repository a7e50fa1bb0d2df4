"""What each tensor of a SiglipModel is called, and how it is laid out, in a big_vision checkpoint.

Arrays keep their values to the bit: they are renamed, transposed, reshaped and joined, never computed with.

Shapes: D width, H heads, d = D / H, M width of the MLP, N positions, V vocabulary, E width of the embedding.
Source: https://github.com/google-research/big_vision at commit 01edb81, models/vit.py and
models/proj/image_text/{text_transformer,two_towers}.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


class Form(Enum):
    """How big_vision lays out what transformers has."""

    same = "same"
    transposed = "transposed"  # (in, out) for (out, in)
    conv = "conv"  # (h, w, in, out) for (out, in, h, w)
    one_more = "one more axis in front"  # (1, N, D) for (N, D)
    to_heads = "to heads"  # (D, H, d) for (D, D)
    heads_bias = "heads' bias"  # (H, d) for (D,)
    from_heads = "from heads"  # (H, d, D) for (D, D)


@dataclass(frozen=True)
class Name:
    """One array's two names; `part` of 3 where transformers joins query, key and value along the first axis."""

    bigvision: str
    transformers: str
    form: Form
    part: int | None = None


def all_names(image_layers: int, text_layers: int) -> Iterator[Name]:
    """Every array of a SigLIP with so many layers in each tower."""
    yield Name("t", "logit_scale", Form.same)  # both keep the logarithm
    yield Name("b", "logit_bias", Form.same)
    yield Name("img/embedding/kernel", "vision_model.embeddings.patch_embedding.weight", Form.conv)
    yield Name("img/embedding/bias", "vision_model.embeddings.patch_embedding.bias", Form.same)
    yield Name("img/pos_embedding", "vision_model.embeddings.position_embedding.weight", Form.one_more)
    yield from _encoder("img/Transformer", "vision_model", image_layers)
    yield from _norm("img/Transformer/encoder_norm", "vision_model.post_layernorm")
    yield from _map_head("img/MAPHead_0", "vision_model.head")
    yield Name("txt/Embed_0/embedding", "text_model.embeddings.token_embedding.weight", Form.same)
    yield Name("txt/pos_embedding", "text_model.embeddings.position_embedding.weight", Form.one_more)
    yield from _encoder("txt/Encoder_0", "text_model", text_layers)
    yield from _norm("txt/Encoder_0/encoder_norm", "text_model.final_layer_norm")
    yield from _dense("txt/head", "text_model.head")


def _encoder(bigvision: str, transformers: str, layers: int) -> Iterator[Name]:
    for i in range(layers):
        ours, theirs = f"{bigvision}/encoderblock_{i}", f"{transformers}.encoder.layers.{i}"
        attention = f"{ours}/MultiHeadDotProductAttention_0"
        yield from _norm(f"{ours}/LayerNorm_0", f"{theirs}.layer_norm1")
        yield from _norm(f"{ours}/LayerNorm_1", f"{theirs}.layer_norm2")
        for which in ("query", "key", "value"):
            name = f"{theirs}.self_attn.{which[0]}_proj"
            yield Name(f"{attention}/{which}/kernel", f"{name}.weight", Form.to_heads)
            yield Name(f"{attention}/{which}/bias", f"{name}.bias", Form.heads_bias)
        yield Name(f"{attention}/out/kernel", f"{theirs}.self_attn.out_proj.weight", Form.from_heads)
        yield Name(f"{attention}/out/bias", f"{theirs}.self_attn.out_proj.bias", Form.same)
        yield from _mlp(f"{ours}/MlpBlock_0", f"{theirs}.mlp")


def _map_head(bigvision: str, transformers: str) -> Iterator[Name]:
    attention = f"{bigvision}/MultiHeadDotProductAttention_0"
    yield Name(f"{bigvision}/probe", f"{transformers}.probe", Form.same)
    for part, which in enumerate(("query", "key", "value")):
        yield Name(f"{attention}/{which}/kernel", f"{transformers}.attention.in_proj_weight", Form.to_heads, part)
        yield Name(f"{attention}/{which}/bias", f"{transformers}.attention.in_proj_bias", Form.heads_bias, part)
    yield Name(f"{attention}/out/kernel", f"{transformers}.attention.out_proj.weight", Form.from_heads)
    yield Name(f"{attention}/out/bias", f"{transformers}.attention.out_proj.bias", Form.same)
    yield from _norm(f"{bigvision}/LayerNorm_0", f"{transformers}.layernorm")
    yield from _mlp(f"{bigvision}/MlpBlock_0", f"{transformers}.mlp")


def _mlp(bigvision: str, transformers: str) -> Iterator[Name]:
    yield from _dense(f"{bigvision}/Dense_0", f"{transformers}.fc1")
    yield from _dense(f"{bigvision}/Dense_1", f"{transformers}.fc2")


def _dense(bigvision: str, transformers: str) -> Iterator[Name]:
    yield Name(f"{bigvision}/kernel", f"{transformers}.weight", Form.transposed)
    yield Name(f"{bigvision}/bias", f"{transformers}.bias", Form.same)


def _norm(bigvision: str, transformers: str) -> Iterator[Name]:
    yield Name(f"{bigvision}/scale", f"{transformers}.weight", Form.same)
    yield Name(f"{bigvision}/bias", f"{transformers}.bias", Form.same)


def to_transformers(array: Array, form: Form) -> Array:
    """One array of big_vision as transformers lays it out."""
    if form is Form.transposed:
        return array.T
    if form is Form.conv:
        return array.transpose(3, 2, 0, 1)
    if form is Form.one_more:
        return array[0]
    if form is Form.to_heads:
        return array.reshape(array.shape[0], -1).T
    if form is Form.heads_bias:
        return array.reshape(-1)
    if form is Form.from_heads:
        return array.reshape(-1, array.shape[-1]).T
    return array


def to_bigvision(array: Array, form: Form, heads: int) -> Array:
    """One array of transformers as big_vision lays it out; the inverse of `to_transformers`."""
    if form is Form.transposed:
        return array.T
    if form is Form.conv:
        return array.transpose(2, 3, 1, 0)
    if form is Form.one_more:
        return array[None]
    if form is Form.to_heads:
        return array.T.reshape(array.shape[1], heads, -1)
    if form is Form.heads_bias:
        return array.reshape(heads, -1)
    if form is Form.from_heads:
        return array.T.reshape(heads, -1, array.shape[0])
    return array
