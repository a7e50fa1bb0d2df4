"""Draw labelled scenes: landscapes with small captioned flying targets, tight boxes, and distractors."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from core.errors import InputError
from core.runs import RunFolder
from core.values import AnnotatedImage, Annotation
from data.scenes.settings import PUBLISHED_SIZE, PUBLISHED_TARGET, CutoutBox, ScenesConfig

if TYPE_CHECKING:
    from data.scenes.draw import SceneSettings


def run(config: ScenesConfig, folder: RunFolder) -> dict[str, object]:
    """Write `images/` and `annotations.jsonl` into the run folder; returns counts, box medians, distractor share."""
    from core.progress import progress
    from data.captions import write_annotations
    from data.sources import settle

    settings = scene_settings(config)
    settle(config, folder, kept="given.jsonl")
    given = _given_images(config)
    count = len(given) if given is not None else config.num_images if config.num_images is not None else 100
    names = (
        [image.image for image in given] if given is not None else [f"image_{i}{config.suffix}" for i in range(count)]
    )
    images = folder.path / "images"
    jobs = [(index, str(images / name), given[index] if given else None) for index, name in enumerate(names)]
    drawn = progress(_draw_all(settings, jobs, config), "scenes", total=count)
    scenes = [
        AnnotatedImage(name, tuple(found), line)
        for line, (name, found) in enumerate(zip(names, drawn, strict=True), start=1)
    ]
    write_annotations(folder.path / "annotations.jsonl", scenes)
    if given is not None:
        folder.add_parent(str(config.annotations))
    return _metrics(scenes)


def _given_images(config: ScenesConfig) -> list[AnnotatedImage] | None:
    """The images of the annotation file, each checked to be drawable into this folder; None without one."""
    if config.annotations is None:
        return None
    from data.captions import read_annotations

    images = read_annotations(config.annotations)
    images = images if config.num_images is None else images[: config.num_images]
    for image in images:
        _check_image(image, config)
    return images


def _check_image(image: AnnotatedImage, config: ScenesConfig) -> None:
    from data.scenes.palette import parse_caption

    where = f"{config.annotations} line {image.line}"
    name = PurePosixPath(image.image)
    if name.is_absolute() or ".." in name.parts or name.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
        raise InputError(f"{where}: field 'image': {image.image!r} must be a .jpg or .png name inside the folder")
    for caption, (left, top, width, height) in image.pairs:
        if left >= config.size[0] or top >= config.size[1] or left + width <= 0 or top + height <= 0:
            box = [left, top, width, height]
            raise InputError(f"{where}: field 'bbox': {box} lies wholly outside {config.size[0]}x{config.size[1]} px")
        if config.cutouts is None:
            try:
                parse_caption(caption)
            except InputError as error:
                raise InputError(f"{where}: field 'caption': {error}") from error


def scene_settings(config: ScenesConfig) -> "SceneSettings":
    """The checked settings as plain values; InputError names the field."""
    from data.scenes.cutouts import find_cutouts
    from data.scenes.draw import SceneSettings
    from data.scenes.layout import Layout
    from data.scenes.palette import default_captions, parse_caption

    width, height = _pair("size", config.size, 16)
    target = _pair("target_size", config.target_size, 2) if config.target_size is not None else (
        PUBLISHED_TARGET[0] * width / PUBLISHED_SIZE[0], PUBLISHED_TARGET[1] * height / PUBLISHED_SIZE[1])  # fmt: skip
    low, high = _pair("num_targets", config.num_targets, 0)
    if low > high:
        raise InputError(f"field 'num_targets': {config.num_targets}: the first number must not exceed the second")
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("same_kind", config.same_kind, 0, 1), ("several", config.several, 0, 1), ("absent", config.absent, 0, 1),
        ("quality", config.quality, 1, 100),
        ("box_grid", config.box_grid, 1, 64), ("workers", config.workers, 0, 512),
        ("seed", config.seed, 0, 2**63), ("num_images", config.num_images or 0, 0, 10**7),
    )  # fmt: skip
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise InputError(f"field '{name}': {value} is not within {least}..{most}")
    if config.suffix not in (".jpg", ".png"):
        raise InputError(f"field 'suffix': {config.suffix!r} is not .jpg or .png")
    cutouts = find_cutouts(config.cutouts) if config.cutouts is not None else {}
    captions = tuple(config.captions or cutouts or default_captions())
    for caption in captions if not cutouts else ():
        parse_caption(caption)
    return SceneSettings(
        seed=config.seed,
        layout=Layout((width, height), target, (low, high), config.same_kind, captions, config.several, config.absent),
        grid=config.box_grid,
        noise=config.noise.value,
        backgrounds=_photographs(config.backgrounds),
        cutouts=cutouts,
        loose_boxes=config.cutout_box is CutoutBox.pasted,
    )


def _pair(name: str, values: list[int], least: int) -> tuple[int, int]:
    if len(values) != 2 or min(values) < least:
        raise InputError(f"field '{name}': {list(values)} must be two whole numbers of at least {least}")
    return values[0], values[1]


def _photographs(folder: str | None) -> tuple[Path, ...]:
    from core.listing import list_images

    if folder is None:
        return ()
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: field 'backgrounds': no such folder")
    listing = list_images(folder)
    listing.say_passed_over(folder)
    found = tuple(Path(folder) / name for name in listing.names)
    if not found:
        raise InputError(f"{folder}: field 'backgrounds': no image in this folder")
    return found


def _draw_all(
    settings: "SceneSettings", jobs: list[tuple[int, str, AnnotatedImage | None]], config: ScenesConfig
) -> Iterator[list[Annotation]]:
    """Draw and write every job's scene, here or in worker processes, and yield the annotations in order."""
    draw = partial(_draw_one, settings, config.quality)
    workers = min(config.workers or os.cpu_count() or 1, max(len(jobs) // 8, 1))
    if workers == 1:
        yield from map(draw, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(draw, jobs, chunksize=4)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _draw_one(settings: "SceneSettings", quality: int, job: tuple[int, str, AnnotatedImage | None]) -> list[Annotation]:
    from core.images import write_image
    from data.scenes.draw import draw_scene

    index, path, given = job
    image, annotations = draw_scene(settings, index, given)
    write_image(path, image, quality)
    return annotations


def _metrics(scenes: list[AnnotatedImage]) -> dict[str, object]:
    """Counts, median box sides in pixels, and the share of images in which one kind appears in several colours."""
    import statistics

    boxes = [target for scene in scenes for target in scene.targets]
    return {
        "num_images": len(scenes),
        "num_targets": len(boxes),
        "num_captions": len({annotation.caption for scene in scenes for annotation in scene.annotations}),
        "num_captions_several": sum(len(a.boxes_ltwh) > 1 for scene in scenes for a in scene.annotations),
        "num_captions_none": sum(not a.boxes_ltwh for scene in scenes for a in scene.annotations),
        "median_box": [statistics.median(box[i] for box in boxes) for i in (2, 3)] if boxes else None,
        "distractor_share": sum(map(_has_twins, scenes)) / max(len(scenes), 1),
    }


def _has_twins(scene: AnnotatedImage) -> bool:
    kinds = [" ".join(annotation.caption.split()[-2:]) for annotation in scene.annotations if annotation.boxes_ltwh]
    kinds = [kind if kind.split()[-1] in {"jet", "plane", "aircraft"} else kind.split()[-1] for kind in kinds]
    return len(set(kinds)) < len(kinds)


def main(argv: list[str] | None = None) -> None:
    """Run data.scenes from the command line."""
    from grounder.command import run_command

    run_command("data.scenes", ScenesConfig, run, argv)
