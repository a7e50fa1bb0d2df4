"""Checkpoints of one-stage models: opened with their processors, and what names their content."""

from pathlib import Path
from typing import Any

import torch

from core.errors import InputError, reason
from core.files import sha256_bytes, sha256_file
from core.stages import require_finite
from onestage.settings import OneStageConfig

_DIGESTED = {".safetensors", ".bin", ".json", ".txt", ".model", ".jinja"}  # files that decide what a folder answers


def kind_of(config: OneStageConfig) -> str:
    """The `model_type` that a checkpoint's config.json names; InputError when there is none to read."""
    from transformers import AutoConfig

    path = Path(str(config.weights))
    try:
        return str(AutoConfig.from_pretrained(path if path.exists() else config.weights).model_type)
    except Exception as error:  # the library raises anything from OSError to KeyError for a broken folder
        raise InputError(f"{config.weights}: cannot be loaded as a one-stage model: {reason(error)}") from error


def load_parts(config: OneStageConfig, model_class: Any, device: str) -> tuple[Any, Any]:
    """(model, processor) in evaluation mode on `device`; InputError when the checkpoint does not fill the class."""
    from transformers import AutoProcessor
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    weights = str(config.weights)
    try:
        processor = AutoProcessor.from_pretrained(weights)
        model, told = model_class.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # the libraries raise anything from OSError to SafetensorError for a broken folder
        raise InputError(f"{weights}: cannot be loaded as a one-stage model: {reason(error)}") from error
    missing = sorted(map(str, told.get("missing_keys") or ()))
    if missing:
        raise InputError(f"{weights}: {len(missing)} missing keys ({missing[0]}, ...), which would stay random")
    dtype = torch.float16 if config.half and device != "cpu" else torch.float32
    return model.to(device=device, dtype=dtype).eval(), processor


def require_numbers(weights: str | None, *outputs: torch.Tensor) -> None:
    """NotFiniteOutputError when boxes or confidences hold NaN or infinity, which no cut would let through or name."""
    for values in outputs:
        if not torch.isfinite(values).all():
            require_finite(values.detach().float().cpu().numpy(), "onestage", str(weights))


def content_key(config: OneStageConfig, model: Any, *more: object) -> str:
    """The key of a checkpoint: its files' digests (a hub name: its commit), floor, precision and what else is given."""
    import transformers

    folder = Path(str(config.weights))
    if folder.is_dir():
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _DIGESTED)
        told = " ".join(f"{p.name}:{sha256_file(p)}" for p in files)
    else:
        told = f"{config.weights}@{getattr(model.config, '_commit_hash', None)}"
    settings = (told, config.floor, config.half, transformers.__version__, *more)
    return sha256_bytes(repr(settings).encode())[:16]
