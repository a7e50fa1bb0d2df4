"""The work of siglip.bigvision: the folder's side of it, config, tokenizer and preprocessing included."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import InputError, reason
from siglip.bigvision.arrays import architecture, arrays_of, read_npz, tensors_of, write_npz
from siglip.bigvision.names import Array
from siglip.convert.source import WEIGHTS
from siglip.convert.verify import model_shapes, verify
from siglip.convert.write import tensor_pieces, write_pieces

_END = 1  # big_vision's SentencePiece tokenizers pad with the end of the text, number 1
Sizes = Mapping[str, Mapping[str, int]]


def to_folder(source: Path, out: Path, like: str | None) -> dict[str, Any]:
    """See `siglip.bigvision.run`; the weights are written last, so that a folder without them is plainly unfinished."""
    arrays = read_npz(source)
    sizes = architecture(arrays, source)
    tensors = tensors_of(arrays, sizes, source)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"out: {out} is there already; name a new folder")
    config = _config(sizes) if like is None else _config_like(like, sizes, source)
    out.mkdir(parents=True, exist_ok=True)
    config.architectures = ["SiglipModel"]
    config.save_pretrained(out)
    _save_processor(out, like, sizes["vision"]["image_size"])
    shapes, tied = model_shapes(out)
    verify(source, {name: list(tensor.shape) for name, tensor in tensors.items()}, shapes, set(tied))
    pieces = tensor_pieces({name: _tensor(array) for name, array in tensors.items()}, None, str(source))
    write_pieces(out / WEIGHTS, pieces, {"format": "pt"})
    if like is None:
        print(f"{out}: has no tokenizer, which an .npz does not hold; like=CHECKPOINT takes one from there")
    return {"num_arrays": len(arrays), "num_tensors": len(tensors), **_told(sizes)}


def to_npz(source: str, out: Path, stacked: bool) -> dict[str, Any]:
    """See `siglip.bigvision.run`."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(source)
        if config.model_type != "siglip":
            raise InputError(f"{source}: is a {config.model_type}; an .npz takes a siglip of fixed image size")
        model = AutoModel.from_pretrained(source, dtype="auto")
    except InputError:
        raise
    except Exception as error:  # the library raises anything from OSError to SafetensorError for a broken folder
        raise InputError(f"{source}: cannot be loaded: {reason(error)}") from error
    parts = {"vision": config.vision_config, "text": config.text_config}
    known = ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers")
    sizes = {part: {name: int(getattr(of, name)) for name in known} for part, of in parts.items()}
    arrays = arrays_of({name: _array(tensor) for name, tensor in model.state_dict().items()}, sizes, Path(source))
    write_npz(out, arrays, stacked)
    return {"num_arrays": len(arrays), "num_tensors": len(model.state_dict()), **_told(sizes)}


def _told(sizes: Sizes) -> dict[str, int]:
    return {f"{part}_{name}": value for part, values in sizes.items() for name, value in values.items()}


def _config(sizes: Sizes) -> Any:
    from transformers import SiglipConfig

    ids = {"pad_token_id": _END, "eos_token_id": _END, "bos_token_id": _END}
    return SiglipConfig(text_config={**sizes["text"], **ids}, vision_config=dict(sizes["vision"]))


def _config_like(like: str, sizes: Sizes, source: Path) -> Any:
    """The config of `like`; InputError where it differs in size, heads included, which no tensor's shape would show."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(like)
    except Exception as error:  # transformers raises anything from OSError to KeyError for a broken folder
        raise InputError(f"like: {like}: cannot be loaded: {reason(error)}") from error
    if config.model_type != "siglip":
        raise InputError(f"like: {like} is a {config.model_type}, not a siglip")
    for part, of in (("vision", config.vision_config), ("text", config.text_config)):
        for name, value in sizes[part].items():
            if getattr(of, name) != value:
                raise InputError(f"like: {like} has {part} {name} {getattr(of, name)}, {source} has {value}")
    return config


def _save_processor(out: Path, like: str | None, side: int) -> None:
    from transformers import AutoProcessor, SiglipImageProcessor

    if like is None:
        SiglipImageProcessor(size={"height": side, "width": side}).save_pretrained(out)
        return
    try:
        AutoProcessor.from_pretrained(like).save_pretrained(out)
    except Exception as error:  # transformers raises anything from OSError to KeyError for a broken folder
        raise InputError(f"like: {like}: its tokenizer cannot be loaded: {reason(error)}") from error


def _tensor(array: Array) -> torch.Tensor:
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view("V2")
    return tensor.numpy()
