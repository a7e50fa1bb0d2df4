"""Make a YOLO tree with data.yaml from an annotation file, or annotation files from a tree."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.files import sha256_file
from core.runs import RunFolder
from data.captions import read_annotations, write_annotations
from data.formats.yolo import read_tree
from data.frames import count_hanging, frame_images
from data.placing import spare_inputs
from data.sources import settle
from data.yolo.settings import YoloConfig
from data.yolo.tree import finish_tree, prepare_tree, refuse_shared_labels, write_part


def run(config: YoloConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the tree, or with `tree` its `train.jsonl`, `val.jsonl`, `test.jsonl`, into the run folder.

    Every annotation and image header is checked before the first file is written. Returns counts of images and boxes.
    """
    if config.tree is not None:
        return _read_back(Path(config.tree), folder)
    settle(config, folder)
    if config.annotations is None or config.images is None:
        missing = "annotations" if config.annotations is None else "images"
        raise InputError(f"{missing}: must be given: {missing}=...")
    spare_inputs(folder.path, ["train.jsonl", "val.jsonl"], [config.annotations, config.val])
    parts = {"train": frame_images(config.annotations, read_annotations(config.annotations), config.images)}
    if config.val is not None:
        parts["val"] = frame_images(config.val, read_annotations(config.val), config.val_images or config.images)
    else:
        print("no val=FILE given: data.yaml names the training images for validation too")
    metrics: dict[str, Any] = {}
    sources = {"train": config.annotations, "val": config.val}
    for part, framed in parts.items():
        refuse_shared_labels(part, framed)
    prepare_tree(folder.path)
    for part, framed in parts.items():
        folder.add_parent(str(sources[part]))
        write_part(folder.path, part, framed, config.place)
        metrics[f"num_{part}"] = len(framed)
        metrics[f"num_{part}_boxes"] = sum(len(f.boxes_xyxy) for f in framed)
    metrics["num_partly_outside"] = sum(count_hanging(framed) for framed in parts.values())
    digests = {f"{part}_sha256": sha256_file(source) for part, source in sources.items() if source is not None}
    finish_tree(folder.path, "val" in parts, {**metrics, **digests})
    return metrics


def _read_back(tree: Path, folder: RunFolder) -> dict[str, Any]:
    spare_inputs(folder.path, ["", "data.yaml"], [tree])
    folder.add_parent(tree)
    metrics: dict[str, Any] = {}
    for part, images in read_tree(tree).items():
        write_annotations(folder.path / f"{part}.jsonl", images)
        metrics[f"num_{part}"] = len(images)
        metrics[f"num_{part}_boxes"] = sum(len(image.targets) for image in images)
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.yolo`."""
    from grounder.command import run_command

    run_command("data.yolo", YoloConfig, run, argv)
