"""Cut every annotated box out of its image: a crop set for training the scorer."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import sha256_bytes, sha256_file
from core.images import decode_image, encode_image
from core.pixels import crop_box
from core.runs import RunFolder
from core.values import AnnotatedImage
from data.captions import place, read_annotations
from data.crops.earlier import Source, clear_set, complete_set, digest_of_images
from data.crops.settings import CropsConfig, Format
from data.cropset import INDEX, SET, Crop, crop_name, finish_set, write_index
from data.frames import FramedImage, count_hanging, frame_images
from data.journal import Done, open_journal, read_journal, work_through
from data.placing import write_plain
from data.sources import settle


def plan_crops(images: Sequence[AnnotatedImage], suffix: str = ".png") -> list[Crop]:
    """The crops of annotated images in order, each target once with each of its captions, opening nothing.

    Raises InputError when two images would give crops of one name.
    """
    stems: dict[str, str] = {}
    crops = []
    for annotated in images:
        stem = crop_name(annotated.image, 0, "")
        if stem in stems:
            raise InputError(f"field 'image': {stems[stem]} and {annotated.image} would share the names of their crops")
        stems[stem] = annotated.image
        place = {box: number for number, box in enumerate(annotated.targets)}
        is_shared = len(annotated.pairs) > len(place)  # else a crop's index says which target it shows
        for index, (caption, box) in enumerate(annotated.pairs):
            name = crop_name(annotated.image, index, suffix)
            crops.append(Crop(name, caption, annotated.image, index, place[box] if is_shared else None))
    return crops


def run(config: CropsConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the crop set into the run folder; the same command again goes on where a killed one stopped.

    Boxes are cut by `core.pixels.crop_box` after clipping to the image. Returns counts. Raises InputError before
    the first crop for bad annotations, missing images and unreadable headers; on the way for a damaged image.
    """
    if not 1 <= config.quality <= 100:
        raise InputError(f"quality: {config.quality} is not between 1 and 100")
    if config.workers < 1:
        raise InputError(f"workers: {config.workers} is not at least 1")
    settle(config, folder)
    annotated = read_annotations(config.annotations)
    try:
        crops = plan_crops(annotated, config.format.value)
    except InputError as error:
        raise InputError(f"{config.annotations}: {error}") from error
    folder.add_parent(config.annotations)
    framed = frame_images(config.annotations, annotated, config.images)
    settings = {"format": config.format.name, "quality": config.quality if config.format is Format.jpeg else None}
    plan = {**settings, "annotations": sha256_file(config.annotations)}
    done = _cut_all(config, framed, folder.path, plan)
    if config.published_index:
        write_index(folder.path / INDEX, crops)
    metrics = {
        "num_images": len(framed),
        "num_crops": len(crops),
        "num_captions": len({crop.caption for crop in crops}),
        "num_absent_captions": sum(not a.boxes_ltwh for image in annotated for a in image.annotations),
        "num_partly_outside": count_hanging(framed),
        "num_reused_images": sum(entry.reused for entry in done),
    }
    sha256 = {name: digest for entry in done for name, digest in entry.files.items()}
    images_digest = digest_of_images({entry.image: entry.sha256 for entry in done})
    digests = {"annotations": plan["annotations"], "images": images_digest}
    finish_set(
        folder.path, crops, sha256, {"pad": "none", "upscaler": None, "scale": 1, **settings, "digests": digests}
    )
    return metrics


def _cut_all(config: CropsConfig, framed: Sequence[FramedImage], folder: Path, plan: dict[str, Any]) -> list[Done]:
    """Cut the crops of every image, or take them from an earlier run of the same plan; journals each finished image."""
    sources = [Source(f.annotated.image, f.path, _names(f, config.format.value)) for f in framed if f.path is not None]
    earlier = complete_set(folder, sources, plan) or read_journal(folder, plan)
    if not earlier:
        clear_set(folder, [name for source in sources for name in source.crops])
    with open_journal(folder, plan, SET) as journal:
        cut = partial(_cut, config, folder, earlier)
        return work_through(framed, cut, journal, config.workers, "cropping")


def _names(framed: FramedImage, suffix: str) -> list[str]:
    image = framed.annotated
    return [crop_name(image.image, i, suffix) for i in range(len(image.pairs))]


def _cut(config: CropsConfig, folder: Path, earlier: Mapping[str, Done], framed: FramedImage) -> Done:
    """One image's crops, cut anew unless the image and the files are those of the earlier run."""
    before = earlier.get(framed.annotated.image)
    if framed.path is None:
        raise ValueError(f"{framed.annotated.image}: cropping needs the image")
    where = f"{place(config.annotations, framed.annotated.line)}: field 'image'"
    try:
        data = framed.path.read_bytes()
        digest = sha256_bytes(data)
        if before is not None and before.still_true(folder, digest):
            return Done(framed.annotated.image, digest, before.files, reused=True)
        image = decode_image(data, str(framed.path))
    except (InputError, OSError) as error:
        raise InputError(f"{where}: {error}") from error
    crops = {}
    boxes = framed.boxes_xyxy[framed.pair_places()]
    for name, box in zip(_names(framed, config.format.value), boxes, strict=True):
        encoded = encode_image(crop_box(image, box), config.format.value, config.quality)
        write_plain(folder / name, encoded)
        crops[name] = sha256_bytes(encoded)
    return Done(framed.annotated.image, digest, crops)


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.crops`."""
    from grounder.command import run_command

    run_command("data.crops", CropsConfig, run, argv)
