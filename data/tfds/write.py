"""The work of data.tfds: crops and captions through TensorFlow Datasets' own writer."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from core.errors import InputError
from core.images import image_size
from core.progress import progress
from core.runs import RunFolder
from data.cropset import CropSet, read_crop_set, verify_set
from data.tfds.settings import TfdsConfig

_ENCODINGS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def write_tfds(config: TfdsConfig, folder: RunFolder) -> dict[str, Any]:
    """See `data.tfds.run`; the info file is written last, without which no reader takes the folder for a data set."""
    import tensorflow_datasets as tfds

    _check(config)
    sets = {"train": read_crop_set(config.crops)}
    if config.val_crops is not None:
        sets["val"] = read_crop_set(config.val_crops)
    for path, crop_set in zip((config.crops, config.val_crops), sets.values(), strict=False):
        if not crop_set.crops:
            raise InputError(f"{path}: holds no crops")
        verify_set(crop_set)
        folder.add_parent(str(path))
    features = tfds.features.FeaturesDict({
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=_encoding(sets)),
        "caption": tfds.features.Text(),
        "source": tfds.features.Text(),  # the image that the crop was cut from
        "index": tfds.features.Scalar(dtype=np.int32),  # which annotation of that image
        "file_name": tfds.features.Text(),
    })  # fmt: skip
    place = folder.path / config.name / config.version
    if place.exists():
        raise InputError(f"{place}: is there already; name another run_dir")
    place.mkdir(parents=True)
    identity = tfds.core.DatasetIdentity(
        name=config.name, version=tfds.core.Version(config.version), data_dir=str(place), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=features,
        description=f"Crops of described objects, enlarged by: {sets['train'].policy}",
    )
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=config.shard, overwrite=False)
    writer.initialize_splits(list(sets))
    for split, crop_set in sets.items():
        for example in _examples(crop_set, split):
            writer.add_examples({split: [example]})
    writer.close_all()
    return {f"num_{split}": len(crop_set.crops) for split, crop_set in sets.items()}


def _check(config: TfdsConfig) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", config.name):
        raise InputError(f"name: {config.name!r} is not lower-case letters, digits and _")
    if not re.fullmatch(r"\d+\.\d+\.\d+", config.version):
        raise InputError(f"version: {config.version!r} is not three numbers such as 1.0.0")
    if config.shard < 1:
        raise InputError(f"shard: {config.shard} is not at least 1")


def _encoding(sets: dict[str, CropSet]) -> str:
    found = {PurePosixPath(crop.file_name).suffix.lower() for crop_set in sets.values() for crop in crop_set.crops}
    kinds = {_ENCODINGS.get(suffix) for suffix in found}
    if len(kinds) != 1 or None in kinds:
        raise InputError(f"crops: are {', '.join(sorted(found))} files; a TFDS data set holds one of PNG and JPEG")
    return str(kinds.pop())


def _examples(crop_set: CropSet, split: str) -> Iterator[dict[str, Any]]:
    """Each crop with its file's own bytes; a file whose header cannot be read is InputError."""
    for crop in progress(crop_set.crops, f"writing {split}"):
        path = crop_set.path(crop)
        image_size(path)
        yield {
            "image": path.read_bytes(), "caption": crop.caption, "source": crop.image, "index": crop.index,
            "file_name": crop.file_name,
        }  # fmt: skip
