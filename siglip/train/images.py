"""What the steps of a training see: crops decoded and resized once or on demand, augmented, in a fixed order.

What a process sees depends on (seed, epoch, step) and on the number of processes alone, never on workers or on where
a run was interrupted; each crop's augmentation depends on (seed, epoch, crop).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from core.errors import InputError
from core.progress import progress
from core.stages import Image
from core.warping import warp
from data.augment import build_recipe
from data.augment.warping import draw_geometry
from data.recipe import RecipeConfig, check_steps
from data.recipe import Step as RecipeStep
from siglip.crops import Crops, Framed
from siglip.pixels import resize, side_of


@dataclass(frozen=True)
class Step:
    """The crops of one step: of all processes, of this one, and how many the fullest process has."""

    crops: NDArray[np.intp]
    share: NDArray[np.intp]
    largest_share: int


class Images(Dataset[list[Image]]):
    """Crops at the tower's size; kept in memory when all of them fit in `cache_gb`."""

    def __init__(self, crops: Crops, recipe: RecipeConfig, seed: int, image_processor: Any, cache_gb: float) -> None:
        self.crops, self._seed, self._processor = crops, seed, image_processor
        self._warp, self.rest = split_recipe(recipe)
        self.distinct = sorted(set(crops.captions))
        place = {caption: i for i, caption in enumerate(self.distinct)}
        self.ids = np.asarray([place[c] for c in crops.captions])
        self._augment: Any = None
        keeps = self._read(0).pixels.nbytes * len(crops) <= cache_gb * 1e9
        self._kept = [self._read(i) for i in progress(range(len(crops)), "reading crops")] if keeps else None

    def __len__(self) -> int:
        return len(self.crops)

    def _read(self, i: int) -> Framed:
        """Crop i as it is kept: at the tower's size or, to be warped, at its own with what lies around it."""
        if self._warp is not None:
            return self.crops.framed(i)
        resized = resize([self.crops.open(i)], self._processor)[0]
        return Framed(resized, (0, 0, resized.shape[1], resized.shape[0]))

    def _held(self, i: int) -> Framed:
        return self._read(i) if self._kept is None else self._kept[i]

    def plain(self, i: int) -> Image:
        """Crop i at the tower's size, (S, S, 3) uint8 RGB, as it is before augmentation and in use."""
        crop = self._held(i).crop
        return resize([crop], self._processor)[0] if self._warp is not None else crop

    def warped(self, epoch: int, i: int) -> Image:
        """Crop i at the tower's size in the geometry of an epoch: what the rest of the recipe is given."""
        if self._warp is None:
            return self.plain(i)
        rng = random.Random(_mix(self._seed, epoch, i))
        if rng.random() >= self._warp.p:
            return self.plain(i)
        held = self._held(i)
        return warp(held.pixels, held.box_xyxy, side_of(self._processor), draw_geometry(self._warp.settings, rng))

    def __getitem__(self, request: tuple[int, tuple[int, ...]]) -> list[Image]:  # type: ignore[override]
        """Augmented crops of an epoch: (epoch, numbers of the crops)."""
        epoch, places = request
        if self._augment is None:
            self._augment = build_recipe(self.rest)
        made = []
        for i in places:
            self._augment.set_random_seed(_mix(self._seed, epoch, i))
            made.append(self._augment(image=self.warped(epoch, i))["image"])
        return made

    def epoch_order(self, epoch: int) -> NDArray[np.intp]:
        """The crops' numbers in the order in which an epoch takes them."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))

    def batches(
        self, epoch: int, first_step: int, size: int, rank: int, processes: int, workers: int
    ) -> Iterator[tuple[Step, list[Image]]]:
        """This process's share of each step of an epoch from `first_step` on, with the augmented crops."""
        order = self.epoch_order(epoch)
        steps = []
        for start in range(first_step * size, len(order), size):
            shares = np.array_split(order[start : start + size], processes)
            steps.append(Step(order[start : start + size], shares[rank], max(len(s) for s in shares)))
        requests = [(epoch, tuple(int(i) for i in step.share)) for step in steps]
        # `sampler` lists the requests in their order, which keeps workers from having any say in it.
        loader: Any = DataLoader(self, sampler=requests, batch_size=None, num_workers=workers, collate_fn=_as_is)  # type: ignore[arg-type]
        yield from zip(steps, loader, strict=True)


def split_recipe(recipe: RecipeConfig) -> tuple[RecipeStep | None, RecipeConfig]:
    """(the warp a recipe begins with, or None; the recipe of its other steps). InputError for a warp elsewhere."""
    steps = check_steps(recipe)
    ops = [step.op for step in steps]
    if "warp" in ops[1:]:
        raise InputError(
            f"recipe {recipe.name!r}: op 'warp' must be the first step: it makes crops of the tower's size"
        )
    first = steps[0] if ops[:1] == ["warp"] else None
    return first, replace(recipe, steps=recipe.steps[1:]) if first else recipe


def _as_is(images: list[Image]) -> list[Image]:
    return images


def _mix(seed: int, epoch: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, place]).generate_state(1)[0])
