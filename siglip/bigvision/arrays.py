"""big_vision's `.npz` checkpoints as plain arrays: read in any of their spellings, and what their shapes tell."""

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.files import open_atomic
from siglip.bigvision.names import Array, Name, all_names, to_bigvision, to_transformers

PREFIX = "params/"
_BFLOAT16 = "V2"  # numpy has no bfloat16: big_vision's files hold its two bytes as void
_KINDS = {"float32", "float16", "float64"}
_BLOCK = re.compile(r"^(.*/)encoderblock_(\d+)/")


def read_npz(path: Path) -> dict[str, Array]:
    """The parameters of a checkpoint by their names without `params/`.

    What else a checkpoint holds (optimizer, counters) is left out. Layers that big_vision's `scan` stacked are taken
    apart, and a text position embedding that old checkpoints hold twice is summed, as big_vision does on loading.
    Raises InputError for a file that is none.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored.files)
            kept = [n for n in names if n.startswith(PREFIX)] or names
            arrays = {n.removeprefix(PREFIX): stored[n] for n in kept}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        # zipfile raises NotImplementedError for an entry whose damaged header names an unknown compression
        raise InputError(f"{path}: not a big_vision checkpoint that can be read: {error}") from error
    for name, array in arrays.items():
        if array.dtype.name not in _KINDS and array.dtype != _BFLOAT16:
            raise InputError(f"{path}: array {name!r}: holds {array.dtype}, not floating-point numbers")
    arrays = _unstacked(arrays, path)
    twice = arrays.pop("txt/Encoder_0/pos_embedding", None)
    if twice is not None and "txt/pos_embedding" in arrays:
        if twice.dtype.kind == "V":
            raise InputError(f"{path}: holds the text position embedding twice, in bfloat16, which is not summed here")
        arrays["txt/pos_embedding"] = arrays["txt/pos_embedding"] + twice
    return arrays


def _unstacked(arrays: dict[str, Array], path: Path) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for name, array in arrays.items():
        if "/encoderblock/" not in name:
            made[name] = array
            continue
        if not array.ndim:
            raise InputError(f"{path}: array {name!r}: stacks no layers")
        for i, layer in enumerate(array):
            made[name.replace("/encoderblock/", f"/encoderblock_{i}/", 1)] = layer
    return made


def write_npz(path: Path, arrays: Mapping[str, Array], stacked: bool) -> None:
    """Write parameters as big_vision's `load_params` reads them; `stacked`: layers as its `scan=True` keeps them."""
    arrays = _stacked(arrays) if stacked else arrays
    named: dict[str, Any] = {f"{PREFIX}{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
    with open_atomic(path) as stream:
        np.savez(stream, **named)


def _stacked(arrays: Mapping[str, Array]) -> dict[str, Array]:
    made: dict[str, Array] = {}
    layers: dict[str, dict[int, Array]] = {}
    for name, array in arrays.items():
        found = _BLOCK.match(name)
        if found is None:
            made[name] = array
        else:
            layers.setdefault(f"{found[1]}encoderblock/{name[found.end() :]}", {})[int(found[2])] = array
    return made | {name: np.stack([of[i] for i in range(len(of))]) for name, of in layers.items()}


def architecture(arrays: Mapping[str, Array], path: Path) -> dict[str, dict[str, int]]:
    """SiglipConfig's values for `text` and `vision`, all read off the arrays' shapes; InputError for another model."""
    if "img/head/kernel" in arrays:
        raise InputError(f"{path}: its image tower ends in a head of its own, which a SiglipModel does not have")
    towers = {"vision": _tower(arrays, "img/Transformer", path), "text": _tower(arrays, "txt/Encoder_0", path)}
    try:
        patch = arrays["img/embedding/kernel"].shape
        positions = int(arrays["img/pos_embedding"].shape[1])
        side = round(positions**0.5)
        vocabulary, length = arrays["txt/Embed_0/embedding"].shape[0], arrays["txt/pos_embedding"].shape[1]
        projection = arrays["txt/head/kernel"].shape[1]
        probed = arrays["img/MAPHead_0/probe"].shape[2]
    except (KeyError, IndexError) as error:
        raise InputError(f"{path}: is no SigLIP of big_vision: it lacks {error}") from error
    if len(patch) != 4 or patch[0] != patch[1] or patch[2] != 3 or side * side != positions:
        raise InputError(f"{path}: its patches are {patch} at {positions} positions, not square on a square image")
    if probed != projection:
        raise InputError(f"{path}: its embeddings differ in width: {probed} of images, {projection} of texts")
    towers["vision"] |= {"patch_size": patch[0], "image_size": side * patch[0]}
    towers["text"] |= {"vocab_size": vocabulary, "max_position_embeddings": length, "projection_size": projection}
    return towers


def _tower(arrays: Mapping[str, Array], where: str, path: Path) -> dict[str, int]:
    layers = {int(m[2]) for m in map(_BLOCK.match, arrays) if m is not None and m[1] == f"{where}/"}
    first = f"{where}/encoderblock_0"
    try:
        width, heads, _ = arrays[f"{first}/MultiHeadDotProductAttention_0/query/kernel"].shape
        inner = arrays[f"{first}/MlpBlock_0/Dense_0/kernel"].shape[1]
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path}: is no SigLIP of big_vision: {where} holds no layers as its ViT has them") from error
    return {
        "hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner,
        "num_hidden_layers": len(layers),
    }  # fmt: skip


def tensors_of(arrays: Mapping[str, Array], sizes: Mapping[str, Mapping[str, int]], path: Path) -> dict[str, Array]:
    """transformers' arrays of a SiglipModel; InputError names what is missing or left over."""
    names = list(all_names(sizes["vision"]["num_hidden_layers"], sizes["text"]["num_hidden_layers"]))
    missing = sorted({n.bigvision for n in names} - set(arrays))
    extra = sorted(set(arrays) - {n.bigvision for n in names})
    if missing or extra:
        raise InputError(f"{path}: {len(missing)} arrays of a SigLIP are missing and {len(extra)} are of something "
                         f"else ({', '.join([*missing, *extra][:3])})")  # fmt: skip
    parts: dict[str, list[Array]] = {}
    for name in names:
        parts.setdefault(name.transformers, []).append(to_transformers(arrays[name.bigvision], name.form))
    return {name: np.concatenate(of) if len(of) > 1 else of[0] for name, of in parts.items()}


def arrays_of(tensors: Mapping[str, Array], sizes: Mapping[str, Mapping[str, int]], path: Path) -> dict[str, Array]:
    """big_vision's arrays of a SiglipModel's; the inverse of `tensors_of`."""
    names = list(all_names(sizes["vision"]["num_hidden_layers"], sizes["text"]["num_hidden_layers"]))
    extra = sorted(set(tensors) - {n.transformers for n in names})
    missing = sorted({n.transformers for n in names} - set(tensors))
    if missing or extra:
        raise InputError(f"{path}: is no plain SiglipModel ({', '.join([*missing, *extra][:3])}); a NaFlex one has "
                         "another tower")  # fmt: skip
    return {name.bigvision: _array(tensors, name, sizes) for name in names}


def _array(tensors: Mapping[str, Array], name: Name, sizes: Mapping[str, Mapping[str, int]]) -> Array:
    heads = sizes["vision" if name.bigvision.startswith("img/") else "text"]["num_attention_heads"]
    tensor = tensors[name.transformers]
    if name.part is not None:
        tensor = np.split(tensor, 3)[name.part]
    return to_bigvision(tensor, name.form, heads)
