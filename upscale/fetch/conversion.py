"""From ncnn's order of execution to the parameter names of Real-ESRGAN's own checkpoints.

Source of the names: SRVGGNetCompact and RRDBNet of xinntao/Real-ESRGAN v0.3.0 and XPixelGroup/BasicSR v1.4.2. The
networks run their layers in the order in which they name them, so the n-th weights of the file are the n-th names'.
"""

from collections.abc import Sequence

from core.errors import InputError
from upscale.fetch.ncnn import Array, Weights, read_layers, read_weights
from upscale.fetch.package import BIN, PACKAGE, PARAM, VERSION, ModelFiles
from upscale.fetch.settings import Trained

NUM_CONVOLUTIONS, NUM_BLOCKS = 16, 23  # between the first and the last of SRVGGNetCompact; of RRDBNet
LICENCE = "BSD-3-Clause (Xintao Wang, Real-ESRGAN); the package that carries it: MIT"


def convert(name: Trained, files: ModelFiles) -> dict[str, Array]:
    """The network's state dictionary, float32; InputError for layers that are not the named network's."""
    layers = read_layers(files.param, f"{files.place}/{PARAM[name].file_name}")
    where = f"{files.place}/{BIN[name].file_name}"
    weights = read_weights(layers, files.bin, where)
    names = compact_names() if name is Trained.realesr_animevideov3_x4 else rrdb_names()
    if [learned.layer.kind for learned in weights] != [kind for kind, _ in names]:
        raise InputError(f"{where}: its layers are not those of {name.name}")
    return _named(weights, [given for _, given in names])


def compact_names() -> list[tuple[str, str]]:
    """(kind, name) of SRVGGNetCompact's layers: convolutions with a PReLU behind each but the last."""
    kinds = [*["Convolution", "PReLU"] * (NUM_CONVOLUTIONS + 1), "Convolution"]
    return [(kind, f"body.{place}") for place, kind in enumerate(kinds)]


def rrdb_names() -> list[tuple[str, str]]:
    """(kind, name) of RRDBNet's layers: 23 blocks of three dense blocks of five convolutions, and what is around."""
    dense = [
        f"body.{block}.rdb{part}.conv{place}"
        for block in range(NUM_BLOCKS)
        for part in range(1, 4)
        for place in range(1, 6)
    ]
    around = ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    return [("Convolution", name) for name in ["conv_first", *dense, *around]]


def _named(weights: Sequence[Weights], names: Sequence[str]) -> dict[str, Array]:
    named = {}
    for learned, name in zip(weights, names, strict=True):
        named[f"{name}.weight"] = learned.weight
        if learned.bias is not None:
            named[f"{name}.bias"] = learned.bias
    return named


def metadata_of(name: Trained) -> dict[str, str]:
    """Where the weights come from, under what licence, and the digests of what they were read from."""
    return {
        "format": "pt",
        "name": name.name,
        "source": f"{PACKAGE} {VERSION}: models/{BIN[name].file_name}",
        "licence": LICENCE,
        "param_sha256": PARAM[name].sha256,
        "bin_sha256": BIN[name].sha256,
    }
