"""Write annotations in the form of a label tool: COCO, a YOLO tree, Label Studio or CVAT."""

from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.runs import RunFolder
from data.write.settings import Classes, Format, WriteConfig

if TYPE_CHECKING:
    from core.values import AnnotatedImage
    from data.frames import FramedImage

FILES = {Format.coco: "coco.json", Format.label_studio: "label_studio.json", Format.cvat: "annotations.xml"}


def run(config: WriteConfig, folder: RunFolder) -> dict[str, Any]:
    """Write the file, or the tree, into the run folder; `data.read` gives the boxes back to the pixel.

    Returns the counts. Raises InputError for bad annotations, and where the images' sizes are not to be had.
    """
    from data.captions import read_annotations
    from data.frames import count_hanging
    from data.placing import spare_inputs
    from data.sources import settle

    settle(config, folder)
    made = FILES.get(config.format, "train.jsonl")
    spare_inputs(folder.path, [made], [config.annotations])
    annotated = read_annotations(config.annotations)
    framed = _framed(config, annotated)
    folder.add_parent(config.annotations)
    by_caption = (config.classes or _usual(config.format)) is Classes.captions
    classes = list(dict.fromkeys(a.caption for image in annotated for a in image.annotations)) if by_caption else []
    _write(config, folder, framed, classes)
    lost = sum(a.id is not None for image in annotated for a in image.annotations)
    if lost:
        print(f"{lost} ids of captions are left out: {config.format.value} has no place for them")
    return {
        "num_images": len(framed),
        "num_boxes": sum(len(image.targets) for image in annotated),
        "num_partly_outside": count_hanging(framed),
    }


def _usual(form: Format) -> Classes:
    """YOLO's labels hold nothing but a class."""
    return Classes.captions if form is Format.yolo else Classes.target


def _write(config: WriteConfig, folder: RunFolder, framed: "list[FramedImage]", classes: list[str]) -> None:
    from core.files import write_json, write_text
    from data.write.coco import coco_of
    from data.write.cvat import cvat_of, labels_of
    from data.write.label_studio import interface_of, tasks_of
    from data.yolo.tree import finish_tree, prepare_tree, refuse_shared_labels, write_part

    path = folder.path / FILES.get(config.format, "")
    if config.format is Format.coco:
        write_json(path, coco_of(framed, classes))
    elif config.format is Format.label_studio:
        write_json(path, tasks_of(framed, config.address, bool(classes)))
        write_text(folder.path / "interface.xml", interface_of(classes))
    elif config.format is Format.cvat:
        write_text(path, cvat_of(framed, bool(classes)))
        write_json(folder.path / "labels.json", labels_of(classes))
    else:
        refuse_shared_labels("train", framed)
        prepare_tree(folder.path)
        write_part(folder.path, "train", framed, config.place, classes)
        finish_tree(folder.path, False, {"num_train": len(framed)}, classes)


def _framed(config: WriteConfig, annotated: "list[AnnotatedImage]") -> "list[FramedImage]":
    from data.frames import frame_image, frame_images, say_hanging

    if config.size is None or config.format is Format.yolo:
        if config.images is None:
            other = "" if config.format is Format.yolo else ", or the size of every image (size=[WIDTH,HEIGHT])"
            raise InputError(f"images: must be given (images=DIR){other}")
        return frame_images(config.annotations, annotated, config.images)
    if len(config.size) != 2 or min(config.size) < 1:
        raise InputError(f"size: {list(config.size)} is not [width, height] in pixels")
    width, height = config.size
    framed = [frame_image(config.annotations, image, (width, height)) for image in annotated]
    say_hanging(config.annotations, framed)
    return framed


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.write`."""
    from grounder.command import run_command

    run_command("data.write", WriteConfig, run, argv)
