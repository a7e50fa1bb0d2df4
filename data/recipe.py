"""What an augmentation recipe is: a named list of steps, each an operation with its probability and settings.

The operations mean what they meant in mid-2024 (albumentations 1.4.8), whatever today's argument names are.
"""

from dataclasses import dataclass, field
from typing import Any

from core.errors import InputError, nearest


@dataclass
class RecipeConfig:
    """A recipe as configs/recipe/*.yaml give it; `steps` are mappings with `op`, `p` and the operation's settings."""

    name: str = "none"  # what the run is said to be trained by
    steps: list[dict[str, Any]] = field(default_factory=list)  # operations in their order: {op: ..., p: ..., ...}


@dataclass(frozen=True)
class Step:
    """One checked step: operation, probability, and every setting of the operation, defaults filled in."""

    op: str
    p: float
    settings: dict[str, Any]


# Operation -> its settings and their mid-2024 defaults. Ranges are [low, high], sampled uniformly.
OPERATIONS: dict[str, dict[str, Any]] = {
    "gauss_noise": {"variance": [10.0, 50.0], "per_channel": True},  # squared grey levels 0..255
    "iso_noise": {"color_shift": [0.01, 0.05], "intensity": [0.1, 0.5]},
    "multiplicative_noise": {"multiplier": [0.9, 1.1]},  # one factor a channel
    "flip": {},  # vertical, horizontal or both, equally likely
    "horizontal_flip": {},
    "rotate90": {},  # 0 to 3 quarter turns, equally likely
    "blur": {"kernel": [3, 7]},  # odd sizes, equally likely
    "median_blur": {"kernel": [3, 7]},
    "advanced_blur": {"kernel": [3, 7]},
    "to_gray": {},
    "clahe": {"clip_limit": [1.0, 4.0], "tiles": 8},
    "brightness_contrast": {"brightness": [-0.2, 0.2], "contrast": [-0.2, 0.2]},
    "gamma": {"percent": [80, 120]},
    "perspective": {"scale": [0.05, 0.1]},
    "affine": {"scale": [0.8, 1.2]},  # of width and of height, independently
    # of the scorer's crops, before their resize: degrees, shares of the sides, share of mirrored crops
    "warp": {"rotation": [-6.0, 6.0], "shift": [-0.03, 0.03], "scale": [0.95, 1.05], "pad": [0.0, 0.03], "flip": 0.5},
    "compression": {"quality": [99, 100]},  # JPEG; whole numbers, equally likely
}


def check_steps(config: RecipeConfig) -> list[Step]:
    """The recipe's steps, checked; InputError names the recipe, the step and the nearest valid name."""
    return [_check_step(f"recipe {config.name!r} step {i}", dict(step)) for i, step in enumerate(config.steps, start=1)]


def _check_step(where: str, step: dict[str, Any]) -> Step:
    op, p = step.pop("op", None), step.pop("p", None)
    if op not in OPERATIONS:
        raise InputError(f"{where}: field 'op': {op!r} is no operation{_hint(str(op), OPERATIONS)}")
    if not isinstance(p, int | float) or isinstance(p, bool) or not 0 <= p <= 1:
        raise InputError(f"{where} ({op}): field 'p': {p!r} is no probability within 0..1")
    defaults = OPERATIONS[op]
    for name, value in step.items():
        if name not in defaults:
            raise InputError(f"{where} ({op}): no setting {name!r}{_hint(name, defaults)}")
        _check_value(f"{where} ({op}): field {name!r}", value, defaults[name])
    settings = {name: _as_list(step.get(name, default)) for name, default in defaults.items()}
    return Step(op, float(p), settings)


def _check_value(where: str, value: Any, default: Any) -> None:
    if isinstance(default, list):
        pair = list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else []
        if len(pair) != 2 or not all(_is_number(v) for v in pair) or pair[0] > pair[1]:
            raise InputError(f"{where}: {value!r} must be two numbers [low, high]")
        if isinstance(default[0], int) and not all(float(v).is_integer() for v in pair):
            raise InputError(f"{where}: {value!r} must be two whole numbers")
    elif type(value) is not type(default):
        raise InputError(f"{where}: {value!r} must be a {type(default).__name__}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_list(value: Any) -> Any:
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value


def _hint(word: str, choices: dict[str, Any]) -> str:
    near = nearest(word, choices)
    if near:
        return f" (nearest: {near!r})"
    return f" (it has: {', '.join(choices) or 'none'})"
