"""Any annotations, through each form and back, to the bit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.images import write_image
from core.values import AnnotatedImage, Annotation
from data.captions import read_annotations, write_annotations
from data.crops import main as crops_main
from data.cropset import Crop, CropSet, finish_set, read_crop_set
from data.formats.yolo import read_tree
from data.frames import frame_image, frame_images
from data.noise import main as noise_main
from data.placing import Place
from data.sources import read_any
from data.write.coco import coco_of
from data.write.cvat import UNWRITABLE, cvat_of
from data.write.label_studio import tasks_of
from data.yolo import main as yolo_main
from data.yolo.tree import finish_tree, prepare_tree, write_part

WIDTH, HEIGHT = 61, 43

caption = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)


@st.composite
def overlapping_box(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box with some area inside the image, of whole numbers or not, perhaps over its edges."""
    number = st.integers if draw(st.booleans()) else st.floats
    left, top = draw(number(-20, WIDTH - 1)), draw(number(-20, HEIGHT - 1))
    return (left, top, draw(number(21, 90)) + 0, draw(number(21, 90)) + 0)


def of_images(entries: st.SearchStrategy[Annotation]) -> st.SearchStrategy[list[AnnotatedImage]]:
    unique = st.lists(entries, max_size=4, unique_by=lambda a: a.caption).map(tuple)
    return st.lists(unique, max_size=4).map(
        lambda lists: [AnnotatedImage(f"p{i}.png", found, i + 1) for i, found in enumerate(lists)]
    )


one_each = st.builds(Annotation, caption, st.tuples(overlapping_box()))
# boxes that several captions share, several boxes for a caption, and captions for nothing
shared = st.sampled_from([(1, 2, 30, 40), (5, 5, 30, 20.5), (-3, 4, 44, 21), (0.5, 1, 22, 22)])
mixed = st.builds(Annotation, caption, st.lists(shared, max_size=3, unique=True).map(tuple))
annotated = of_images(one_each) | of_images(mixed)
same_folder = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def numbers(images: list[AnnotatedImage]) -> list[tuple[type, str]]:
    return [(type(v), repr(v)) for image in images for _, box in image.pairs for v in box]


@given(annotated, st.sampled_from(["a.jsonl", "a.json"]))
@same_folder
def test_caption_files(tmp_path, images, name):
    write_annotations(tmp_path / name, images)
    again = read_annotations(tmp_path / name)
    assert again == images
    assert numbers(again) == numbers(images)
    first = (tmp_path / name).read_bytes()
    write_annotations(tmp_path / name, again)
    assert (tmp_path / name).read_bytes() == first


@given(annotated, st.booleans())
@same_folder
def test_label_tools(tmp_path, images, by_caption):
    """Label Studio's percents and CVAT's corners come back as the numbers they were, to nine decimals."""
    framed = [frame_image("x", image, (WIDTH, HEIGHT)) for image in images]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks_of(framed, "/data/local-files/?d=", by_caption)))
    sources = [tmp_path / "tasks.json"] if images else []
    if images and not any(UNWRITABLE.search(a.caption) for image in images for a in image.annotations):
        (tmp_path / "cvat.xml").write_text(cvat_of(framed, by_caption), encoding="utf-8")
        sources.append(tmp_path / "cvat.xml")
    for source in sources:
        again = read_any(source)
        assert [image.image for image in again] == [image.image for image in images]
        for one, other in zip(again, images, strict=True):
            found = {a.caption: a.boxes_ltwh for a in one.annotations}
            assert found.keys() == {a.caption for a in other.annotations}
            for annotation in other.annotations:
                boxes = found[annotation.caption]
                assert len(boxes) == len(annotation.boxes_ltwh)
                assert np.allclose(boxes, annotation.boxes_ltwh, rtol=0, atol=1e-6)


@given(annotated)
@same_folder
def test_coco(tmp_path, images):
    assume(images)  # a source without any is refused
    framed = [frame_image("x", image, (WIDTH, HEIGHT)) for image in images]
    (tmp_path / "coco.json").write_text(json.dumps(coco_of(framed)))
    again = read_any(tmp_path / "coco.json")
    if all(len(a.boxes_ltwh) == 1 for image in images for a in image.annotations) and no_box_twice(images):
        assert again == images
        assert numbers(again) == numbers(images)
    for one, other in zip(again, images, strict=True):  # COCO's order is the targets'
        assert set(one.targets) == set(other.targets)
        assert {(a.caption, frozenset(a.boxes_ltwh)) for a in one.annotations} == {
            (a.caption, frozenset(a.boxes_ltwh)) for a in other.annotations
        }


def no_box_twice(images: list[AnnotatedImage]) -> bool:
    return all(len(image.targets) == len(image.pairs) for image in images)


@given(annotated)
@same_folder
def test_yolo(tmp_path, images):
    assume(images)
    for i in range(4):
        if not (tmp_path / f"images/p{i}.png").exists():
            write_image(tmp_path / f"images/p{i}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    tree = tmp_path / "tree"
    prepare_tree(tree)
    write_part(tree, "train", frame_images("x", images, tmp_path / "images"), Place.link)
    finish_tree(tree, False, {})
    again = read_tree(tree)["train"]
    assert again == images
    assert numbers(again) == numbers(images)
    shutil.rmtree(tree)


@given(st.lists(caption, max_size=6, unique=True))
@same_folder
def test_crop_sets(tmp_path, captions):
    crops = [Crop(f"s_{i}.png", text, "s.png", i) for i, text in enumerate(captions)]
    finish_set(tmp_path, crops, {crop.file_name: "0" * 64 for crop in crops}, {"pad": "none", "upscaler": None})
    assert read_crop_set(tmp_path).crops == tuple(crops)
    assert read_crop_set(tmp_path).policy == "none"


@pytest.mark.parametrize("record", [{"upscaler": "x4"}, {"upscaler": "x4", "policy": "x4"}, {"policy": "x4"}])
def test_a_set_says_how_it_was_enlarged_whichever_version_wrote_it(tmp_path, record):
    assert CropSet(tmp_path, (), record).policy == "x4"


@pytest.mark.parametrize("kind", ["exif", "cmyk", "grey", "sixteen", "alpha", "dot"])
def test_unusual_images_go_through_every_command(tmp_path, kind):
    """Each becomes what `core.images` makes of it; boxes are of the image as shown."""
    suffix = ".jpg" if kind in {"exif", "cmyk"} else ".png"
    ramp = np.linspace(0, 255, 40 * 60).reshape(40, 60).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1))
    exif = Image.Exif()
    if kind == "exif":
        exif[0x0112] = 6  # shown turned a quarter to the right: 40 wide, 60 high
    image = {"cmyk": image.convert("CMYK"), "grey": image.convert("L"), "alpha": image.convert("RGBA")}.get(kind, image)
    if kind == "sixteen":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    if kind == "dot":
        image = image.crop((5, 5, 6, 6))
    Path("images").mkdir()
    image.save(f"images/a{suffix}", exif=exif, quality=100)
    width, height = {"exif": (40, 60), "dot": (1, 1)}.get(kind, (60, 40))
    box = (width // 2, height // 2, max(width // 4, 1), max(height // 3, 1))
    write_annotations("a.jsonl", [AnnotatedImage(f"a{suffix}", (Annotation("x", (box,)),), 1)])
    crops_main(["annotations=a.jsonl", "images=images", "run_dir=crops"])
    assert Image.open("crops/a_0.png").size == box[2:]
    yolo_main(["annotations=a.jsonl", "images=images", "run_dir=yolo"])
    yolo_main(["tree=yolo", "run_dir=back"])
    assert read_annotations("back/train.jsonl") == read_annotations("a.jsonl")
    fractions = [float(v) for v in Path("yolo/labels/train/a.txt").read_text().split()[1:]]
    assert fractions[2:] == pytest.approx([box[2] / width, box[3] / height])
    noise_main(["annotations=a.jsonl", "images=images", "grade=blur3", "run_dir=noise"])
    assert Image.open(f"noise/images/a{suffix}").size == (width, height)
