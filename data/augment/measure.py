"""What a recipe really does: how often each step fires and which parameters it draws, over many images."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from data.augment import Recipe, build_recipe
from data.recipe import RecipeConfig, Step, check_steps

Drawn = dict[str, list[float]]


@dataclass
class StepFigures:
    """Counts and drawn parameters of one step: `fired` of `draws` images, and a list of values per parameter."""

    step: Step
    draws: int = 0
    fired: int = 0
    drawn: Drawn = field(default_factory=lambda: defaultdict(list))

    @property
    def rate(self) -> float:
        """The share of images the step changed."""
        return self.fired / max(self.draws, 1)


class Probe:
    """A recipe whose steps tell, after each image, whether they fired and with what."""

    def __init__(self, config: RecipeConfig, seed: int) -> None:
        self.recipe = build_recipe(config, seed)
        inner = self.recipe.transforms[0]
        if not isinstance(inner, Recipe):
            raise TypeError("build_recipe wraps its steps in one Recipe")
        self.figures = [StepFigures(step) for step in check_steps(config)]
        self._tops = list(inner.transforms)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[str]]:
        """Augment one image; returns it and a short text for each step that fired."""
        for top in self._tops:
            for leaf in _leaves(top):
                leaf.params = {}
        result = self.recipe(image=image)["image"]
        fired = []
        for figures, top in zip(self.figures, self._tops, strict=True):
            figures.draws += 1
            leaves = [leaf for leaf in _leaves(top) if leaf.params]
            if leaves:
                values = _READERS.get(figures.step.op, _nothing)(leaves)
                for name, drawn in values.items():
                    figures.drawn[name].extend(drawn)
                figures.fired += 1
                fired.append(_text(figures.step.op, values))
        return result, fired


def measure_recipe(config: RecipeConfig, draws: int, seed: int = 0, side: int = 24) -> list[StepFigures]:
    """Run the recipe over `draws` small noise images and return each step's figures."""
    probe = Probe(config, seed)
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        probe(rng.integers(0, 256, (side, side, 3), np.uint8))
    return probe.figures


def summary(figures: StepFigures) -> dict[str, Any]:
    """A step's figures as plain numbers: probability asked and seen, and mean, least, most of each parameter."""
    drawn = {
        name: {"mean": float(np.mean(values)), "least": float(np.min(values)), "most": float(np.max(values))}
        for name, values in figures.drawn.items()
    }
    return {"op": figures.step.op, "p": figures.step.p, "rate": figures.rate, "fired": figures.fired, "drawn": drawn}


def _leaves(transform: A.BasicTransform | A.BaseCompose) -> Iterator[A.BasicTransform]:
    if isinstance(transform, A.BaseCompose):
        for child in transform.transforms:
            yield from _leaves(child)
    else:
        yield transform


def _text(op: str, values: Drawn) -> str:
    shown = [f"{name} {'/'.join(f'{v:.3g}' for v in drawn)}" for name, drawn in values.items()]
    return f"{op} {', '.join(shown)}".strip()


def _nothing(leaves: list[A.BasicTransform]) -> Drawn:
    return {}


def _one(name: str, read: Callable[[dict[str, Any]], float]) -> Callable[[list[A.BasicTransform]], Drawn]:
    return lambda leaves: {name: [float(read(leaves[0].params))]}


def _read_flip(leaves: list[A.BasicTransform]) -> Drawn:
    """The published code of a flip: 0 vertical, 1 horizontal, -1 both."""
    kinds = {type(leaf) for leaf in leaves}
    return {"code": [-1.0 if len(kinds) == 2 else float(A.HorizontalFlip in kinds)]}


def _read_iso(leaves: list[A.BasicTransform]) -> Drawn:
    params = leaves[0].params
    return {"color_shift": [params["color_shift"]], "intensity": [params["intensity"]]}


def _read_brightness(leaves: list[A.BasicTransform]) -> Drawn:
    params = leaves[0].params
    return {"brightness": [params["beta"] / 255], "contrast": [params["alpha"] - 1]}


def _read_affine(leaves: list[A.BasicTransform]) -> Drawn:
    matrix = leaves[0].params["matrix"]
    return {"scale_x": [float(matrix[0, 0])], "scale_y": [float(matrix[1, 1])]}


def _read_warp(leaves: list[A.BasicTransform]) -> Drawn:
    return {name: [float(value)] for name, value in vars(leaves[0].params["geometry"]).items()}


_READERS: dict[str, Callable[[list[A.BasicTransform]], Drawn]] = {
    "gauss_noise": _one("variance", lambda params: params["sigma"] ** 2),
    "iso_noise": _read_iso,
    "multiplicative_noise": lambda leaves: {"factor": list(leaves[0].params["factors"])},
    "flip": _read_flip,
    "rotate90": _one("turns", lambda params: params["factor"]),
    "blur": _one("kernel", lambda params: params["kernel"]),
    "median_blur": _one("kernel", lambda params: params["kernel"]),
    "advanced_blur": _one("kernel", lambda params: params["kernel"].shape[0]),
    "clahe": _one("clip_limit", lambda params: params["clip_limit"]),
    "brightness_contrast": _read_brightness,
    "gamma": _one("percent", lambda params: params["gamma"] * 100),
    "affine": _read_affine,
    "warp": _read_warp,
    "compression": _one("quality", lambda params: params["quality"]),
}
