"""The loop's own settings, by the names that Ultralytics gave them, so that a preset reads the same for both."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from core.errors import InputError


@dataclass
class LoopSettings:
    """`detector.train.args` for a detector of ours; a stage's `args` override them."""

    batch: int = 16  # images a batch, of all processes together
    nbs: int = 64  # batches are added up to about so many images before a step
    optimizer: str = "SGD"  # SGD or AdamW
    lr0: float = 0.01  # learning rate at its highest
    lrf: float = 0.01  # the last epoch's learning rate, as a share of lr0
    cos_lr: bool = False  # cosine rather than a straight line
    momentum: float = 0.937  # SGD's, AdamW's first beta
    weight_decay: float = 0.0005  # of weights; biases and norms have none
    warmup_epochs: float = 3.0
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.1  # where the biases' learning rate starts from with SGD; with AdamW from 0
    clip: float = 10.0  # the gradient's norm is cut to this
    ema: float = 0.9999  # decay of the averaged weights, which are judged and kept
    atss_epochs: int = 4  # YOLOv6: epochs with ATSS before task-aligned assignment
    amp: bool = True  # bfloat16 where there is a GPU
    workers: int = 2  # processes that make samples; 0: none beside the training
    cache: bool | str = False  # true or "ram": decoded training images stay in memory; false or "disk": they do not
    val: bool = True  # judge every epoch; false: the last alone, and keep that one
    patience: int = 100  # stop after so many epochs without a better one
    save_period: int = -1  # keep the weights of every so many epochs besides; -1: none
    plots: bool = True  # sheets of the first batches
    hsv_h: float = 0.015  # how far hue, saturation and brightness may be changed
    hsv_s: float = 0.7
    hsv_v: float = 0.4
    degrees: float = 0.0  # rotation, either way
    translate: float = 0.1  # share of the sides
    scale: float = 0.5  # share of the size, either way
    shear: float = 0.0  # degrees, either way
    flipud: float = 0.0  # chances
    fliplr: float = 0.5
    mosaic: float = 1.0
    mixup: float = 0.0
    close_mosaic: int = 10  # the last epochs go without mosaic and mixup


SHARES = ("hsv_h", "hsv_s", "hsv_v", "translate", "scale", "flipud", "fliplr", "mosaic", "mixup", "ema", "lrf")
POSITIVE = ("batch", "nbs", "lr0", "clip", "patience")
CACHES = (True, False, "ram", "disk")  # Ultralytics' words; what it puts on disk is read from the images here


def loop_settings(preset: Mapping[str, Any], stage: Mapping[str, Any], stage_name: str) -> LoopSettings:
    """The settings of a stage; InputError names an unknown one and the nearest, or a value of a wrong kind."""
    values: dict[str, Any] = {}
    for given, where in ((preset, "detector.train.args"), (stage, stage_name)):
        for name, value in given.items():
            values[name] = _checked(name, value, where)
    return LoopSettings(**values)


def _checked(name: str, value: Any, where: str) -> Any:
    kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(LoopSettings)}
    if name not in kinds:
        close = difflib.get_close_matches(str(name), kinds, n=1, cutoff=0.5)
        hint = f"; the nearest is '{close[0]}'" if close else ""
        raise InputError(f"{where}.{name}: the loop for this detector has no such setting{hint}")
    if name == "cache":
        if value not in CACHES:
            raise InputError(f"{where}.cache: {value!r} is none of {', '.join(map(str, CACHES))}")
        return value in (True, "ram")
    kind = kinds[name]
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}.{name}: {value!r} is no {kind.__name__}")
    if name == "optimizer" and value not in {"SGD", "AdamW"}:
        raise InputError(f"{where}.{name}: {value!r} is neither SGD nor AdamW")
    if (name in SHARES and not 0 <= value <= 1) or (name in POSITIVE and value <= 0):
        raise InputError(f"{where}.{name}: {value!r} is out of range")
    return kind(value)
