"""Named crops with captions, out of one crop set or several, a published index, or what `datasets` loads."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError, reason
from core.files import sha256_bytes
from core.images import decode_image, read_image
from core.stages import Image
from data.cropset import read_crop_set


@dataclass(frozen=True)
class Framed:
    """A crop with what lies around it: (H, W, 3) pixels and the crop's box in them, whole pixels."""

    pixels: Image
    box_xyxy: tuple[int, int, int, int]

    @property
    def crop(self) -> Image:
        """The crop alone."""
        left, top, right, bottom = self.box_xyxy
        return self.pixels[top:bottom, left:right]


@dataclass(frozen=True)
class Crops:
    """Named crops with captions, the image each was cut from, and a way to open crop number i.

    targets: what each shows; a target with several captions has a crop for each, and these have one name here.
    """

    names: list[str]
    captions: list[str]
    images: list[str]
    open: Callable[[int], Image]
    policy: str  # how they were enlarged
    targets: list[str]
    around: Callable[[int], Framed] | None = None  # crop number i in its image, where that is at hand

    def framed(self, i: int) -> Framed:
        """Crop number i, with nothing around it where its image is not at hand."""
        if self.around is not None:
            return self.around(i)
        crop = self.open(i)
        return Framed(crop, (0, 0, crop.shape[1], crop.shape[0]))

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
        listed = ", ".join(f"{path} ({policy})" for policy, path in policies.items())
        raise InputError(f"{field}: sets enlarged in different ways do not mix: {listed}")
    if len(sets) == 1:
        return sets[0]
    starts = np.cumsum([0, *(len(s) for s in sets)])

    def open_crop(i: int) -> Image:
        number = int(np.searchsorted(starts, i, side="right")) - 1
        return sets[number].open(i - int(starts[number]))

    names = [f"{path}: {n}" for s, path in zip(sets, named, strict=True) for n in s.names]
    images = [f"{path}: {n}" for s, path in zip(sets, named, strict=True) for n in s.images]
    targets = [f"{path}: {t}" for s, path in zip(sets, named, strict=True) for t in s.targets]
    return Crops(names, [c for s in sets for c in s.captions], images, open_crop, sets[0].policy, targets)


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
        targets=[c.file_name if c.target is None else f"{c.image}#{c.target}" for c in crops],
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
        raise InputError(f"{field}: {path}: cannot be loaded as a data set: {reason(error)}") from error
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

    return Crops(names, captions, sources, open_crop, "none", names)
