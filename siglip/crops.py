"""Crops and captions of a training: one or several sets, decoded and resized once or on demand, in a fixed order.

What a process sees depends on (seed, epoch, step) and on the number of processes alone, never on workers or on where
a run was interrupted; each crop's augmentation depends on (seed, epoch, crop).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from core.errors import InputError
from core.files import sha256_bytes
from core.images import decode_image, read_image
from core.progress import progress
from data.augment import build_recipe
from data.cropset import read_crop_set
from data.recipe import RecipeConfig
from siglip.pixels import resize

Image = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True)
class Crops:
    """Named crops with captions, the image each was cut from, and a way to open crop number i."""

    names: list[str]
    captions: list[str]
    images: list[str]
    open: Callable[[int], Image]
    policy: str  # how they were enlarged

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """One digest of names and captions in their order, by which a resumed run knows its data."""
        return sha256_bytes("\n".join(f"{n}\t{c}" for n, c in zip(self.names, self.captions, strict=True)).encode())


def read_crops(paths: str | Sequence[str], field: str = "crops") -> Crops:
    """The crops of one set or of several, one after the other.

    A path is a crop set, a published index, any other folder that `datasets` loads, or a data set's hub name. Raises
    InputError, also for sets that were enlarged in different ways.
    """
    named = [paths] if isinstance(paths, str) else list(paths)
    if not named or not all(isinstance(p, str) for p in named):
        raise InputError(f"{field}: {paths!r} is neither a crop set nor a list of them")
    sets = [_read_one(path, field) for path in named]
    policies = {s.policy: path for s, path in zip(sets, named, strict=True)}
    if len(policies) > 1:
        told = ", ".join(f"{path} ({policy})" for policy, path in policies.items())
        raise InputError(f"{field}: sets enlarged in different ways do not mix: {told}")
    if len(sets) == 1:
        return sets[0]
    starts = np.cumsum([0, *(len(s) for s in sets)])

    def open_crop(i: int) -> Image:
        number = int(np.searchsorted(starts, i, side="right")) - 1
        return sets[number].open(i - int(starts[number]))

    names = [f"{path}: {n}" for s, path in zip(sets, named, strict=True) for n in s.names]
    images = [f"{path}: {n}" for s, path in zip(sets, named, strict=True) for n in s.images]
    return Crops(names, [c for s in sets for c in s.captions], images, open_crop, sets[0].policy)


def _read_one(path: str, field: str) -> Crops:
    place = Path(path)
    is_ours = place.is_file() or (place / "metadata.jsonl").is_file() or any(place.glob("*.json"))
    if not is_ours and (place.is_dir() or _looks_like_hub_name(path)):
        return _read_data_set(path, field)
    crop_set = read_crop_set(path)
    if not crop_set.crops:
        raise InputError(f"{path}: holds no crops")
    crops = crop_set.crops
    return Crops(
        names=[c.file_name for c in crops],
        captions=[c.caption for c in crops],
        images=[c.image for c in crops],
        open=lambda i: read_image(crop_set.path(crops[i])),
        policy=crop_set.policy,
    )


def _looks_like_hub_name(path: str) -> bool:
    return not path.startswith((".", "/", "~")) and path.count("/") == 1 and not Path(path.partition("/")[0]).exists()


def _read_data_set(path: str, field: str) -> Crops:
    """The `train` split of what `datasets` loads: column `image`, and `caption`, `label` or `text`."""
    import datasets

    if not sys.stderr.isatty():  # in a log a bar is hundreds of pieces of a line
        datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(path, split="train")
    except Exception as error:  # anything from a missing folder to a dead network, in that library's own words
        raise InputError(f"{field}: {path}: cannot be loaded as a data set: {_first_line(error)}") from error
    column = next((c for c in ("caption", "label", "text") if c in table.column_names), None)
    if column is None or "image" not in table.column_names or not len(table):
        raise InputError(f"{field}: {path}: has columns {table.column_names}, not 'image' and 'caption'")
    feature = table.features[column]
    captions = [feature.int2str(v) if hasattr(feature, "int2str") else str(v) for v in table[column]]
    encoded = table.cast_column("image", datasets.Image(decode=False))  # ours is the one decoder
    names = [str(v) for v in table["file_name"]] if "file_name" in table.column_names else None
    names = names or [f"{path} row {i}" for i in range(len(table))]
    sources = [str(v) for v in table["source"]] if "source" in table.column_names else names

    def open_crop(i: int) -> Image:
        held = encoded[i]["image"]
        return decode_image(held["bytes"], names[i]) if held["bytes"] else read_image(held["path"])

    return Crops(names, captions, sources, open_crop, "none")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Images(Dataset[list[Image]]):
    """Crops at the tower's size; kept in memory when all of them fit in `cache_gb`."""

    def __init__(self, crops: Crops, recipe: RecipeConfig, seed: int, image_processor: Any, cache_gb: float) -> None:
        self.crops, self.recipe, self._seed, self._processor = crops, recipe, seed, image_processor
        self.distinct = sorted(set(crops.captions))
        place = {caption: i for i, caption in enumerate(self.distinct)}
        self.ids = np.asarray([place[c] for c in crops.captions])
        self._augment: Any = None
        first = self._resized(0)
        keeps = first.nbytes * len(crops) <= cache_gb * 1e9
        self._kept = [self._resized(i) for i in progress(range(len(crops)), "reading crops")] if keeps else None

    def __len__(self) -> int:
        return len(self.crops)

    def _resized(self, i: int) -> Image:
        return resize([self.crops.open(i)], self._processor)[0]

    def plain(self, i: int) -> Image:
        """Crop i at the tower's size, (S, S, 3) uint8 RGB, as it is before augmentation."""
        return self._resized(i) if self._kept is None else self._kept[i]

    def __getitem__(self, request: tuple[int, tuple[int, ...]]) -> list[Image]:  # type: ignore[override]
        """Augmented crops of an epoch: (epoch, numbers of the crops)."""
        epoch, places = request
        if self._augment is None:
            self._augment = build_recipe(self.recipe)
        made = []
        for i in places:
            self._augment.set_random_seed(_mix(self._seed, epoch, i))
            made.append(self._augment(image=self.plain(i))["image"])
        return made

    def epoch_order(self, epoch: int) -> NDArray[np.intp]:
        """The crops' numbers in the order in which an epoch takes them."""
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))

    def batches(
        self, epoch: int, first_step: int, size: int, rank: int, processes: int, workers: int
    ) -> Iterator[tuple["Step", list[Image]]]:
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


@dataclass(frozen=True)
class Step:
    """The crops of one step: of all processes, of this one, and how many the fullest process has."""

    crops: NDArray[np.intp]
    share: NDArray[np.intp]
    largest_share: int


def _as_is(images: list[Image]) -> list[Image]:
    return images


def _mix(seed: int, epoch: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, place]).generate_state(1)[0])
