import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.files import write_json
from core.images import read_image
from data.captions import read_annotations
from data.crops import main as crops_main
from data.cropset import read_crop_set, verify_set, write_index
from data.merge import main


@pytest.fixture
def two(toy, write_jsonl, entry) -> Path:
    """`first.jsonl` and `second.jsonl` share image_4.jpg; `one/` and `other/` are their crop sets."""
    write_jsonl(toy / "first.jsonl", [{**entry(i), "id": i} for i in range(5)])
    write_jsonl(toy / "second.jsonl", [entry(i) for i in range(4, 8)])
    crops_main(["annotations=first.jsonl", "images=images", "run_dir=one"])
    crops_main(["annotations=second.jsonl", "images=images", "run_dir=other"])
    return toy


def apart(path: str, number: int) -> None:
    """Keep an annotation file's last `number` lines."""
    lines = Path(path).read_text().splitlines(keepends=True)
    Path(path).write_text("".join(lines[-number:]))


def test_annotation_files_without_shared_names(two):
    apart("second.jsonl", 3)
    main(["sets=[first.jsonl,second.jsonl]", "images=[images]", "run_dir=out"])
    expected = Path("first.jsonl").read_bytes() + Path("second.jsonl").read_bytes()
    assert Path("out/annotations.jsonl").read_bytes() == expected
    assert {p.name for p in Path("out/images").iterdir()} == {f"image_{i}.jpg" for i in range(8)}
    assert Path("out/images/image_0.jpg").is_symlink()


def test_shared_names_are_refused_with_their_count(two, complaint, made_files):
    said = complaint(main, "sets=[first.jsonl,second.jsonl]", "images=[images]", "run_dir=out")
    assert "1 image names are in two sets: image_4.jpg (first and second)" in said
    said = complaint(main, "sets=[one,other]", "run_dir=out")
    assert "3 crops are in two sets: image_4_0.png (one and other), image_4_1.png" in said
    assert not made_files(Path("out"))


def test_renamed_annotations_find_their_images(two):
    words = ["sets=[first.jsonl,second.jsonl]", "images=[images,images]", "collisions=rename", "place=copy"]
    main([*words, "names=[a,b]", "run_dir=out"])
    merged = read_annotations("out/annotations.jsonl")
    assert [i.image for i in merged] == [f"a-image_{i}.jpg" for i in range(5)] + [
        f"b-image_{i}.jpg" for i in range(4, 8)
    ]
    assert json.loads(Path("out/annotations.jsonl").read_text().splitlines()[2])["id"] == 2
    for image in merged:
        assert Path("out/images", image.image).read_bytes() == Path("images", image.image[2:]).read_bytes()
        assert not Path("out/images", image.image).is_symlink()


def test_crop_sets_merge_into_a_crop_set(two):
    main(["sets=[one,other]", "collisions=rename", "run_dir=out"])
    merged = read_crop_set("out")
    verify_set(merged)
    assert len(merged.crops) == 27
    for name in ("one", "other"):
        for crop in read_crop_set(name).crops:
            (twin,) = [c for c in merged.crops if c.file_name == f"{name}-{crop.file_name}"]
            assert (twin.image, twin.caption, twin.index) == (f"{name}-{crop.image}", crop.caption, crop.index)
            assert np.array_equal(read_image(merged.path(twin)), read_image(f"{name}/{crop.file_name}"))
    assert [part["name"] for part in merged.record["merged"]] == ["one", "other"]
    assert merged.record["merged"][0]["digests"] == read_crop_set("one").record["digests"]
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["num_same_crop_and_caption"] == 3  # those of image_4.jpg


def test_a_published_index_merges_too(two):
    crops = read_crop_set("other").crops
    shutil.copytree("other", "published", ignore=shutil.ignore_patterns("*.json*", "*.sha256"))
    write_index("published.json", crops)
    main(["sets=[one,published.json]", "collisions=rename", "run_dir=out"])
    merged = read_crop_set("out")
    verify_set(merged)
    assert [c.caption for c in merged.crops[15:]] == [c.caption for c in crops]
    assert merged.crops[15].file_name == "published-image_4_0.png"


def test_sets_made_in_different_ways_are_refused(two, complaint):
    apart("second.jsonl", 3)
    crops_main(["annotations=second.jsonl", "images=images", "run_dir=other"])
    record = json.loads(Path("other/set.json").read_text())
    write_json("other/set.json", {**record, "pad": "published", "upscaler": "x4v3", "scale": 4})
    said = complaint(main, "sets=[one,other]", "run_dir=out")
    assert "field 'pad': 'none' in one but 'published' in other" in said
    main(["sets=[one,other]", "allow_mixed=true", "run_dir=out"])
    merged = read_crop_set("out")
    assert (merged.record["pad"], merged.record["upscaler"], merged.record["scale"]) == ("mixed", "mixed", "mixed")


def test_wrong_use_is_named(two, complaint, made_files):
    assert "sets: 1 given" in complaint(main, "sets=[one]", "run_dir=out")
    assert "a crop set and an annotation file" in complaint(main, "sets=[one,first.jsonl]", "run_dir=out")
    assert "images: crop sets hold" in complaint(main, "sets=[one,other]", "images=[images]", "run_dir=out")
    words = ["sets=[first.jsonl,second.jsonl]", "run_dir=out", "collisions=rename"]
    assert "images: 3 folders for 2 sets" in complaint(main, *words, "images=[a,b,c]")
    assert "names: ['x', 'x'] are not 2 different" in complaint(main, *words, "names=[x,x]")
    assert "names: 'a/b' is not made of" in complaint(main, *words, "names=[a/b,c]")
    assert "cannot be read: No such file" in complaint(main, "sets=[one,gone]", "run_dir=out")
    Path("empty").mkdir()
    assert "holds neither metadata.jsonl nor one published index" in complaint(main, "sets=[one,empty]", "run_dir=out")
    assert not made_files(Path("out"))


def test_a_damaged_set_is_refused(two, complaint):
    Path("other/image_5_1.png").unlink()
    said = complaint(main, "sets=[one,other]", "collisions=rename", "run_dir=out")
    assert "other/image_5_1.png: missing" in said
    assert not Path("out/set.json").exists()


def test_a_set_is_never_merged_over_itself(two, complaint):
    Path("one/run.json").unlink()
    assert "one: field 'run_dir': this run would overwrite its own input" in complaint(
        main, "sets=[one,other]", "collisions=rename", "run_dir=one"
    )
    verify_set(read_crop_set("one"))


def test_names_that_are_equal_are_numbered(two):
    Path("x").mkdir()
    shutil.move("other", "x/one")
    main(["sets=[one,x/one]", "collisions=rename", "run_dir=out"])
    assert {c.file_name.split("-")[0] for c in read_crop_set("out").crops} == {"one1", "one2"}
