"""data.tfds: what TensorFlow Datasets reads back is the crop set, to the bit."""

import json

import numpy as np
import pytest

from core.images import read_image, write_image
from data.crops import main as cut_crops
from data.cropset import read_crop_set
from data.tfds import main

COLOURS = ("red", "green", "blue")


@pytest.fixture
def crops(tmp_path):
    """Crop sets `train` (PNG, 12 crops) and `val` (PNG, 6), and `jpeg`."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 4), ("val", 2)):
        lines = []
        for number in range(count):
            image = f"{name}_{number}.png"
            write_image(tmp_path / "images" / image, rng.integers(0, 256, (60, 90, 3)).astype(np.uint8))
            boxes = [{"caption": f"{c} drone ü", "bbox": [20 * i, 5, 9 + i, 12]} for i, c in enumerate(COLOURS)]
            lines.append(json.dumps({"image": image, "annotations": boxes}))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        cut_crops([f"annotations={name}.jsonl", "images=images", f"run_dir={name}"])
    cut_crops(["annotations=val.jsonl", "images=images", "format=jpeg", "run_dir=jpeg"])
    return tmp_path


def test_tfds_reads_back_every_crop(crops):
    import tensorflow_datasets as tfds

    main(["crops=train", "val_crops=val", "name=flying_objects", "shard=5", "run_dir=out"])
    builder = tfds.builder("flying_objects", data_dir=str(crops / "out"))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"train": 12, "val": 6}
    assert builder.info.splits["train"].num_shards == 3
    for split in ("train", "val"):
        crop_set = read_crop_set(crops / split)
        wanted = {c.file_name: c for c in crop_set.crops}
        seen = set()
        for row in tfds.as_numpy(builder.as_dataset(split=split)):
            crop = wanted[row["file_name"].decode()]
            np.testing.assert_array_equal(row["image"], read_image(crop_set.path(crop)))
            assert (row["caption"].decode(), row["source"].decode(), row["index"]) == (
                crop.caption, crop.image, crop.index,
            )  # fmt: skip
            seen.add(crop.file_name)
        assert seen == set(wanted)
    raw = next(iter(builder.as_dataset(split="val", decoders={"image": tfds.decode.SkipDecoding()})))
    assert raw["image"].numpy() == (crops / "val" / raw["file_name"].numpy().decode()).read_bytes()


def test_jpeg_crops_keep_their_bytes(crops):
    import tensorflow_datasets as tfds

    main(["crops=jpeg", "run_dir=out"])
    builder = tfds.builder_from_directory(str(crops / "out/described_crops/1.0.0"))
    for row in builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()}):
        assert row["image"].numpy() == (crops / "jpeg" / row["file_name"].numpy().decode()).read_bytes()


def test_misuse_is_one_line_and_leaves_no_data_set(crops, capfd):
    broken = next((crops / "val").glob("*.png"))
    for words, told in (
        (["crops=nowhere"], "nowhere: no such crop set"),
        (["crops=train", "val_crops=jpeg"], "crops: are .jpg, .png files; a TFDS data set holds one"),
        (["crops=train", "name=Flying"], "name: 'Flying' is not lower-case"),
        (["crops=train", "version=1"], "version: '1' is not three numbers"),
        (["crops=train", "shard=0"], "shard: 0 is not at least 1"),
    ):
        refused(words, told, capfd)
    broken.write_bytes(broken.read_bytes()[:-3])
    refused(["crops=val"], "its content differs from its digest", capfd)
    assert not list(crops.glob("bad/*/*/*.json"))


def refused(words, told, capfd):
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*words, "run_dir=bad"])
    error = capfd.readouterr().err
    assert stop.value.code == 2
    assert told in error.splitlines()[-1]
