"""A SigLIP as big_vision's modules build it, in Flax, at any size: the same tree of parameters, the same numbers.

Shapes: B images or texts, S side, L tokens or patches, D width.
Source: big_vision at commit 01edb81, models/vit.py and models/proj/image_text/{text_transformer,two_towers}.py.
"""

import flax.linen as nn
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

INIT = nn.initializers.normal(0.2)  # wide, so that no part of the network is near zero


class MlpBlock(nn.Module):
    inner: int

    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(self.inner, bias_init=INIT)(x))
        return nn.Dense(x.shape[-1], bias_init=INIT)(y)


def attention(heads):
    return nn.MultiHeadDotProductAttention(num_heads=heads, kernel_init=INIT, bias_init=INIT)


def norm(**named):
    return nn.LayerNorm(scale_init=nn.initializers.normal(1.0), bias_init=INIT, **named)


class Block(nn.Module):
    inner: int
    heads: int

    @nn.compact
    def __call__(self, x):
        y = norm()(x)
        x = x + attention(self.heads)(y, y)
        return x + MlpBlock(self.inner)(norm()(x))


class Encoder(nn.Module):
    depth: int
    inner: int
    heads: int

    @nn.compact
    def __call__(self, x):
        for layer in range(self.depth):
            x = Block(self.inner, self.heads, name=f"encoderblock_{layer}")(x)
        return norm(name="encoder_norm")(x)


class MAPHead(nn.Module):
    inner: int
    heads: int

    @nn.compact
    def __call__(self, x):
        probe = self.param("probe", INIT, (1, 1, x.shape[-1]))
        x = attention(self.heads)(jnp.tile(probe, [len(x), 1, 1]), x)
        return (x + MlpBlock(self.inner)(norm()(x)))[:, 0]


class Image(nn.Module):
    width: int
    depth: int
    inner: int
    heads: int
    patch: int

    @nn.compact
    def __call__(self, image_BSS3):
        side = (self.patch, self.patch)
        x = nn.Conv(self.width, side, strides=side, padding="VALID", name="embedding", bias_init=INIT)(image_BSS3)
        x = x.reshape(len(x), -1, self.width)
        x = x + self.param("pos_embedding", INIT, (1, x.shape[1], self.width))
        x = Encoder(self.depth, self.inner, self.heads, name="Transformer")(x)
        return MAPHead(self.inner, self.heads)(x)


class Text(nn.Module):
    width: int
    depth: int
    inner: int
    heads: int
    vocabulary: int
    out: int

    @nn.compact
    def __call__(self, ids_BL):
        x = nn.Embed(self.vocabulary, self.width, embedding_init=INIT)(ids_BL)
        x = x + self.param("pos_embedding", INIT, (1, x.shape[1], self.width))
        x = Encoder(self.depth, self.inner, self.heads)(x)
        return nn.Dense(self.out, name="head", bias_init=INIT)(x[:, -1])


class TwoTowers(nn.Module):
    """Unit images (B, D) and texts (B, D), and their logits (B, B)."""

    image: dict
    text: dict

    @nn.compact
    def __call__(self, image_BSS3, ids_BL):
        ztxt, zimg = Text(**self.text, name="txt")(ids_BL), Image(**self.image, name="img")(image_BSS3)
        zimg, ztxt = (z / (jnp.linalg.norm(z, axis=1, keepdims=True) + 1e-8) for z in (zimg, ztxt))
        t, b = (
            self.param("t", nn.initializers.constant(1.5), (1,)),
            self.param("b", nn.initializers.constant(-3.0), (1,)),
        )
        return zimg, ztxt, zimg @ ztxt.T * jnp.exp(t) + b


def flat(params):
    """The tree of parameters by big_vision's names, as its checkpoints have them."""
    return flatten_dict(params, sep="/")
