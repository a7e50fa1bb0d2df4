import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.images import read_image, write_image
from data.captions import read_annotations
from data.crops import main, plan_crops
from data.cropset import read_crop_set, verify_set

WORDS = ["annotations=a.jsonl", "images=images", "run_dir=out"]


def test_crops_are_the_pixels_of_their_boxes(toy, made_files):
    main(WORDS)
    crop_set = read_crop_set("out")
    verify_set(crop_set)
    annotated = {a.image: a for a in read_annotations("a.jsonl")}
    assert len(crop_set.crops) == 30
    for crop in crop_set.crops:
        annotation = annotated[crop.image].annotations[crop.index]
        left, top, width, height = annotation.boxes_ltwh[0]
        source = Image.fromarray(read_image(f"images/{crop.image}"))
        expected = source.crop((left, max(top, 0), left + width, top + height))
        assert crop.caption == annotation.caption
        assert crop.file_name == f"{Path(crop.image).stem}_{crop.index}.png"
        assert np.array_equal(read_image(crop_set.path(crop)), np.asarray(expected))
    assert read_image("out/image_3_1.png").shape == (8, 20, 3)  # 12 high, 4 of them above the image
    assert crop_set.record["pad"] == "none"
    assert crop_set.record["upscaler"] is None
    others = {"metadata.jsonl", "set.json", "crops.sha256", "README.md"}
    assert made_files(Path("out")) == others | {c.file_name for c in crop_set.crops}
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "crops.sha256"], cwd="out", check=True)


def test_boxes_over_an_edge_are_counted_in_one_line(toy, capsys):
    main(WORDS)
    said = [line for line in capsys.readouterr().err.splitlines() if "edge" in line]
    assert len(said) == 1
    assert "1 of 30 boxes" in said[0]
    assert "line 4, image_3.jpg" in said[0]
    assert json.loads(Path("out/metrics.json").read_text())["num_partly_outside"] == 1


def test_the_real_file_gives_27913_crops(reference_dir):
    crops = plan_crops(read_annotations(reference_dir / "til24" / "vlm.jsonl"), ".jpg")
    assert len(crops) == 27_913
    assert len({crop.file_name for crop in crops}) == 27_913
    assert (crops[0].file_name, crops[0].caption) == ("image_0_0.jpg", "grey missile")


@pytest.mark.parametrize("way", ["folder", "imagefolder"])
def test_datasets_loads_it_with_images(toy, write_jsonl, entry, way, monkeypatch):
    import datasets

    entries = [
        {**entry(0), "image": "sub/val_0.jpg"},
        {**entry(1), "image": "b.jpg"},
        {**entry(2), "image": "test_2.jpg"},
    ]
    if way == "imagefolder":  # this way no card is read, and words such as val in names make splits
        entries = [e | {"image": e["image"].replace("val", "x").replace("test", "y")} for e in entries]
    for number, e in enumerate(entries):
        write_image(f"images/{e['image']}", read_image(f"images/image_{number}.jpg"))
    write_jsonl(toy / "b.jsonl", entries)
    main(["annotations=b.jsonl", "images=images", "run_dir=out"])
    where = {"path": "out"} if way == "folder" else {"path": "imagefolder", "data_dir": "out"}
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", toy / "cache")
    loaded = datasets.load_dataset(**where, cache_dir=str(toy / "cache"))
    assert list(loaded) == ["train"]
    rows = list(loaded["train"])
    crop_set = read_crop_set("out")
    assert [(r["caption"], r["source"], r["index"]) for r in rows] == [
        (c.caption, c.image, c.index) for c in crop_set.crops
    ]
    for row, crop in zip(rows, crop_set.crops, strict=True):
        assert np.array_equal(np.asarray(row["image"].convert("RGB")), read_image(crop_set.path(crop)))


def test_jpeg_and_the_published_index(toy):
    main([*WORDS, "format=jpeg", "quality=90", "published_index=true"])
    crop_set, published = read_crop_set("out"), read_crop_set("out/index.json")
    assert json.loads(Path("out/index.json").read_text())[1] == {"image": "image_0_1.jpg", "label": "grey drone"}
    assert published.crops == crop_set.crops
    verify_set(published)
    assert Image.open("out/image_0_0.jpg").format == "JPEG"
    assert crop_set.record["quality"] == 90


def test_the_published_layout_is_read(tmp_path):
    """An index file beside a folder of its own name."""
    for name in ("image_0_0.jpg", "image_0_1.jpg", "image_12_3.jpg"):
        write_image(tmp_path / "til_siglip_ds" / name, np.zeros((5, 6, 3), np.uint8))
    index = [{"image": f"image_{n}.jpg", "label": f"label {n}"} for n in ("0_0", "0_1", "12_3")]
    (tmp_path / "til_siglip_ds.json").write_text(json.dumps(index))
    for path in (tmp_path / "til_siglip_ds.json", tmp_path):
        crop_set = read_crop_set(path)
        verify_set(crop_set)
        assert [(c.image, c.index, c.caption) for c in crop_set.crops] == [
            ("image_0.jpg", 0, "label 0_0"), ("image_0.jpg", 1, "label 0_1"), ("image_12.jpg", 3, "label 12_3"),
        ]  # fmt: skip


def digest_times(folder: str) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in Path(folder).glob("*.png")}


def test_the_same_command_again_cuts_nothing_anew(toy):
    main(WORDS)
    before, record = digest_times("out"), Path("out/set.json").read_bytes()
    main(WORDS)
    assert digest_times("out") == before
    assert Path("out/set.json").read_bytes() == record
    assert json.loads(Path("out/metrics.json").read_text())["num_reused_images"] == 10


def test_damaged_crops_are_cut_anew(toy):
    main(WORDS)
    expected = {p.name: p.read_bytes() for p in Path("out").glob("*.png")}
    Path("out/image_5_0.png").write_bytes(expected["image_5_0.png"][:-40])
    Path("out/image_6_0.png").unlink()
    main(WORDS)
    assert {p.name: p.read_bytes() for p in Path("out").glob("*.png")} == expected
    assert json.loads(Path("out/metrics.json").read_text())["num_reused_images"] == 8


def test_a_changed_image_is_cut_anew(toy):
    main(WORDS)
    write_image("images/image_7.jpg", np.full((64, 96, 3), 9, np.uint8))
    main(WORDS)
    assert read_image("out/image_7_0.png").mean() == pytest.approx(9, abs=1)
    verify_set(read_crop_set("out"))


def broken_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_after_a_failure_only_what_still_holds_is_kept(toy):
    last = Path("images/image_9.jpg")
    good = last.read_bytes()
    # by its header whole, of 96 x 64, and no pixel in it: what only decoding can find
    last.write_bytes(broken_png(96, 64))
    complaint_of_last_line(main, [*WORDS, "workers=1"])
    last.write_bytes(good)
    write_image("images/image_2.jpg", np.full((64, 96, 3), 9, np.uint8))
    Path("out/image_4_1.png").write_bytes(b"damaged")
    main(WORDS)
    assert json.loads(Path("out/metrics.json").read_text())["num_reused_images"] == 7  # not 2, 4 and 9
    main([*WORDS[:2], "run_dir=fresh"])
    for path in Path("fresh").glob("*.png"):
        assert Path("out", path.name).read_bytes() == path.read_bytes()
    assert Path("out/crops.sha256").read_bytes() == Path("fresh/crops.sha256").read_bytes()


def test_another_plan_leaves_nothing_of_the_old_set(toy, write_jsonl, entry):
    main(WORDS)
    write_jsonl(toy / "b.jsonl", [entry(i) for i in range(2)])
    main(["annotations=b.jsonl", "images=images", "run_dir=out", "format=jpeg"])
    assert not list(Path("out").glob("*.png"))
    assert len(list(Path("out").glob("*.jpg"))) == 6
    verify_set(read_crop_set("out"))


@pytest.mark.faults
def test_killed_at_any_moment_it_goes_on_to_the_same_set(toy, write_jsonl, entry, count):
    image = read_image("images/image_0.jpg")
    big = np.tile(image, (8, 8, 1))
    for i in range(60):
        write_image(f"images/image_{i}.jpg", np.roll(big, i, axis=1))
    write_jsonl(toy / "a.jsonl", [entry(i) for i in range(60)])
    main(["annotations=a.jsonl", "images=images", "run_dir=whole", "workers=1"])
    expected = {p.name: p.read_bytes() for p in Path("whole").glob("*") if p.suffix in {".png", ".sha256", ".jsonl"}}
    rng = np.random.default_rng(3)
    interrupted = 0
    for number in range(count(short=1, full=20)):
        words = [sys.executable, "-m", "data.crops", "annotations=a.jsonl", "images=images", f"run_dir=out{number}"]
        for _ in range(2):
            process = subprocess.Popen([*words, "workers=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            journal, deadline = Path(f"out{number}/journal.jsonl"), time.monotonic() + 30
            while process.poll() is None and not journal.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(float(rng.uniform(0, 0.3)))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if journal.exists():
                interrupted += 1
                with pytest.raises(ValueError, match="never finished"):
                    read_crop_set(f"out{number}")
        subprocess.run([*words, "workers=1"], check=True, capture_output=True)
        found = {p.name: p.read_bytes() for p in Path(f"out{number}").glob("*") if p.name in expected}
        assert found == expected
        assert not list(Path(f"out{number}").glob("journal*"))
        verify_set(read_crop_set(f"out{number}"))
    assert interrupted > 0


def test_a_missing_image_is_named_before_anything_is_written(toy, complaint, made_files):
    Path("images/image_8.jpg").unlink()
    said = complaint(main, *WORDS)
    assert said == "data.crops: a.jsonl line 9: field 'image': images/image_8.jpg does not exist"
    assert not made_files(Path("out"))
    assert "(there is no such folder)" in complaint(main, "annotations=a.jsonl", "images=nowhere", "run_dir=out")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_an_unreadable_image_is_named(toy, complaint, damage):
    path = Path("images/image_8.jpg")
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "truncated": data[: len(data) // 2]}[damage])
    said = complaint_of_last_line(main, WORDS)
    assert said.startswith("data.crops: a.jsonl line 9: field 'image': images/image_8.jpg: ")
    assert not Path("out/set.json").exists()
    assert not Path("out/metadata.jsonl").exists()
    assert not list(Path("out").rglob(".*"))


def complaint_of_last_line(main, words) -> str:
    """The last line on standard error, where a notice of boxes over the edge may stand before it."""
    import contextlib
    import io

    stream = io.StringIO()
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stderr(stream):
        main(words)
    assert stop.value.code == 2
    lines = stream.getvalue().strip().splitlines()
    assert len(lines) <= 2
    return lines[-1]


@pytest.mark.parametrize("box", [[96, 10, 5, 5], [10, 64, 5, 5], [-5, 10, 5, 5], [200.5, 300, 20, 20]])
def test_a_box_wholly_outside_its_image_is_named(toy, complaint, entry, write_jsonl, box, made_files):
    entries = [entry(i) for i in range(3)]
    entries[1]["annotations"][2]["bbox"] = box
    write_jsonl(toy / "a.jsonl", entries)
    said = complaint(main, *WORDS)
    assert said.startswith("data.crops: a.jsonl line 2: field 'annotations[2].bbox': ")
    assert "lies wholly outside the" in said
    assert not made_files(Path("out"))


def test_wrong_values_and_names_that_clash(toy, complaint, entry, write_jsonl, made_files):
    assert "quality: 0 is not between 1 and 100" in complaint(main, *WORDS, "quality=0")
    assert "workers: 0" in complaint(main, *WORDS, "workers=0")
    assert "format" in complaint(main, *WORDS, "format=jpg")
    write_jsonl(toy / "b.jsonl", [entry(0), entry(0, suffix=".png")])
    said = complaint(main, "annotations=b.jsonl", "images=images", "run_dir=out")
    assert "image_0.jpg and image_0.png would share the names of their crops" in said
    assert not made_files(Path("out"))


def test_files_of_others_are_not_overwritten(toy, complaint):
    Path("out").mkdir()
    Path("out/image_0_1.png").write_bytes(b"mine")
    assert "out/image_0_1.png: field 'run_dir': exists" in complaint_of_last_line(main, WORDS)
    assert Path("out/image_0_1.png").read_bytes() == b"mine"


def test_an_output_folder_that_cannot_be_one(toy, complaint):
    Path("out").write_text("a file")
    assert complaint(main, *WORDS).startswith("data.crops: out: ")
    assert Path("out").read_text() == "a file"
