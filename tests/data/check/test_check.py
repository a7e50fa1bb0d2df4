import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.images import encode_image, write_image
from data.check import main
from data.check.findings import HARMLESS, KINDS, balance
from data.check.images import look_of, nearest
from data.noise.grades import apply_grade, parse_grade


def scene(seed: int) -> np.ndarray:
    """An image with large and small features, unlike that of any other seed."""
    import cv2

    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 60 / 2**k, (2 << k, 3 << k, 3)), (384, 256), interpolation=cv2.INTER_CUBIC)
        for k in range(6)
    ]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def line(image: str, *annotations: tuple[str, list]) -> dict:
    return {"image": image, "annotations": [{"caption": c, "bbox": b} for c, b in annotations]}


@pytest.fixture
def checked(tmp_path, write_jsonl):
    """A set with one fault of every kind, checked once; the report as JSON."""
    for i in range(12):
        write_image(tmp_path / f"images/p{i}.png", scene(i))
    shutil.copy("images/p0.png", "images/p8.png")  # equal, both in training
    shutil.copy("images/p1.png", "images/p9.png")  # equal, in training and validation
    write_image("images/p10.png", apply_grade(scene(2), parse_grade("gauss2500")))
    Path("images/p7.jpg").write_bytes(encode_image(scene(3), ".jpg", 30))
    Path("images/p6.png").write_bytes(Path("images/p6.png").read_bytes()[:900])
    thermal = scene(11)[..., 0].astype(np.uint16) + 7000  # 256 of 65536 levels, of which the high byte keeps two
    Image.fromarray(thermal).save("images/p11.png")
    write_jsonl(
        tmp_path / "train.jsonl",
        [
            line("p0.png", ("red drone", [10, 10, 50, 40]), ("red drone", [100, 10, 50, 40])),
            line("p1.png", ("red drone", [10, 10, 50, 40]), ("blue drone", [10, 10, 50, 41])),
            line("p2.png", ("red drone", [1, 2, 30, 40])),
            "{",
            line("p3.png", ("red drone", [-5, 10, 50, 40]), ("Red  drone", [350, 200, 50, 40])),
            line("p4.png", ("red drone", [10, 10, 8, 40]), ("blue drone", [390, 10, 5, 5]), ("x", [1, 2, 0, 4])),
            line("p0.png", ("red drone", [10, 10, 50, 40])),
            line("none.png", ("grey drone", [10, 10, 50, 40])),
            line("p6.png"),
            line("p7.jpg", ("red drone", [7, 7, 50, 40])),
            line("p8.png", ("red drone", [1, 2, 30, 40])),
            {"image": "p5.png"},
        ],
    )
    write_jsonl(
        tmp_path / "val.jsonl",
        [
            line("p9.png", ("red drone", [90, 10, 50, 40])),
            line("p10.png", ("green drone", [10, 10, 50, 40])) | {"width": 800, "height": 480},
            line("p11.png", ("red drone", [7, 7, 50, 40])),
            line("p4.png", ("red drone", [99, 10, 88, 40])),
        ],
    )
    main(["annotations=train.jsonl", "val=val.jsonl", "images=images", "few=2", "run_dir=out"])
    return json.loads(Path("out/check.json").read_text())


EXPECTED = {
    "broken_entry": ["train.jsonl line 4", "train.jsonl line 6", "train.jsonl line 12"],
    "missing_image": ["train.jsonl line 8"],
    "unreadable_image": ["train.jsonl line 9"],
    "other_size": ["val.jsonl line 2"],
    "lost_levels": ["val.jsonl line 3 (p11.png)"],
    "unlisted_image": ["images", "images"],
    "repeated_image": ["train.jsonl line 7"],
    "leak_name": ["val.jsonl line 4"],
    "leak_content": ["val.jsonl line 1", "val.jsonl line 4"],
    "leak_near": ["val.jsonl line 2"],
    "leak_annotations": ["val.jsonl line 3"],
    "same_content": ["train.jsonl line 11"],
    "near_content": ["train.jsonl line 10"],
    "same_annotations": ["train.jsonl line 11"],
    "repeated_box": ["train.jsonl line 2 (p1.png)"],
    "box_outside": ["train.jsonl line 6 (p4.png)"],
    "box_over_edge": ["train.jsonl line 5 (p3.png)", "train.jsonl line 5 (p3.png)"],
    "small_box": ["train.jsonl line 6 (p4.png)", "train.jsonl line 6 (p4.png)"],
    "caption_spelling": ["captions"],
    "rare_caption": ["captions", "captions"],
    "caption_only_in_val": ["captions"],
    "caption_only_in_train": ["captions", "captions", "captions"],
}


def test_every_fault_is_found_and_nothing_else(checked):
    found = {kind: [item["place"] for item in items] for kind, items in checked["findings"].items()}
    assert found == EXPECTED
    assert set(found) == set(KINDS)
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert {k: metrics[k] for k in KINDS} == {kind: len(items) for kind, items in EXPECTED.items()}
    what = {kind: items[0]["what"] for kind, items in checked["findings"].items()}
    assert what["caption_spelling"] == "'Red  drone' / 'red drone'"
    assert what["leak_content"] == "p9.png and p1.png (train.jsonl line 2)"
    assert what["missing_image"] == "images/none.png does not exist"
    assert "truncated" in what["unreadable_image"]
    assert what["other_size"].startswith("labelled at 800 x 480, but p10.png is ")
    assert what["lost_levels"] == "uses 0.39 % of its range: 256 levels become 2"
    assert what["caption_only_in_val"] == "'green drone': 1 boxes"
    assert sorted(i["what"] for i in checked["findings"]["unlisted_image"]) == ["p5.png", "p7.png"]


def test_the_report_reads_well(checked):
    text = Path("out/check.md").read_text()
    wrong = sum(len(items) for kind, items in EXPECTED.items() if kind not in HARMLESS)
    assert text.startswith(f"# Data check: {wrong} things to mend\n")
    for kind, items in EXPECTED.items():
        title = KINDS[kind]
        assert f"\n## {title}\n" in text
        anchor = next(row for row in text.splitlines() if row.startswith(f"| [{title}]"))
        assert anchor.endswith(f"| {len(items)} |")
    assert "| train | train.jsonl | 9 | 12 | 11 (10 / 1 / 0) | 384 x 256 (7) |" in text
    assert "## Captions of val" in text


def test_a_sound_set_has_nothing_to_mend(tmp_path, write_jsonl):
    for i in range(6):
        write_image(tmp_path / f"images/p{i}.png", scene(i))
    for part, numbers in (("train", range(4)), ("val", range(4, 6))):
        write_jsonl(tmp_path / f"{part}.jsonl", [line(f"p{i}.png", ("red drone", [i, 10, 50, 40])) for i in numbers])
    main(["annotations=train.jsonl", "val=val.jsonl", "images=images", "few=4", "run_dir=out"])
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert set(metrics.values()) == {0}
    assert Path("out/check.md").read_text().startswith("# Data check: nothing to mend\n")


@pytest.mark.parametrize("grade", ["gauss5000", "iso50", "jpeg10", "blur7", "lowres4", "multiplicative20"])
def test_a_spoiled_copy_still_looks_alike_and_another_scene_does_not(grade):
    def bits(a: np.ndarray, b: np.ndarray) -> int:
        return int(np.bitwise_count(look_of(a) ^ look_of(b)).sum())

    scenes = [scene(i) for i in range(8)]
    assert max(bits(s, apply_grade(s, parse_grade(grade))) for s in scenes) <= 40
    assert max(bits(s, s[::2, ::2]) for s in scenes) <= 40
    assert min(bits(a, b) for i, a in enumerate(scenes) for b in scenes[:i]) > 80


def test_the_nearest_is_that_of_a_plain_count():
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 2**63, (60, 4), np.uint64)
    looks[40:] = looks[:20] ^ (np.uint64(1) << rng.integers(0, 60, (20, 4)).astype(np.uint64))
    found = []
    for number, look in enumerate(looks):
        others = looks[:number]
        bits = [sum((int(a) ^ int(b)).bit_count() for a, b in zip(look, other, strict=True)) for other in others]
        expected = (int(np.argmin(bits)), min(bits)) if bits and min(bits) <= 40 else None
        assert nearest(others, look, 40) == expected
        if bits:
            assert nearest(others, look, min(bits)) == (int(np.argmin(bits)), min(bits))
            assert nearest(others, look, min(bits) - 1) is None
        found.append(expected)
    assert [f[0] for f in found[40:]] == list(range(20))


def test_many_copies_are_one_finding_each(tmp_path, write_jsonl):
    for i in range(30):
        write_image(tmp_path / f"images/p{i}.png", scene(0))
    write_jsonl(tmp_path / "train.jsonl", [line(f"p{i}.png", ("red drone", [i, 10, 50, 40])) for i in range(30)])
    main(["annotations=train.jsonl", "images=images", "run_dir=out"])
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert (metrics["same_content"], metrics["near_content"]) == (29, 0)


def test_balance_of_equal_and_uneven_captions():
    assert balance([7, 7, 7, 7])["effective"] == pytest.approx(4)
    uneven = balance([96, 2, 2])
    assert uneven["most_over_fewest"] == 48
    assert uneven["effective"] == pytest.approx(np.exp(-(0.96 * np.log(0.96) + 2 * 0.02 * np.log(0.02))))
    assert balance([]) == {"captions": 0, "boxes": 0}


def test_without_images_the_file_alone_is_checked(reference_dir):
    main([f"annotations={reference_dir / 'til24' / 'vlm.jsonl'}", "run_dir=out"])
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert {kind: number for kind, number in metrics.items() if number} == {"box_over_edge": 1, "small_box": 23}
    captions = json.loads(Path("out/check.json").read_text())["captions"]["train"]
    assert (captions["captions"], captions["boxes"], captions["fewest"], captions["most"]) == (126, 27_913, 25, 285)
    assert "line 1450 (image_1449.jpg)" in Path("out/check.md").read_text()


def test_a_file_that_cannot_be_read_at_all_is_an_error(tmp_path, complaint):
    assert "none.jsonl: cannot be read" in complaint(main, "annotations=none.jsonl")
    (tmp_path / "a.json").write_text("[{]")
    assert "a.json line 1: not valid JSON" in complaint(main, "annotations=a.json")
    (tmp_path / "a.json").write_text("[]")
    assert "near_bits: 200" in complaint(main, "annotations=a.json", "near_bits=200")
