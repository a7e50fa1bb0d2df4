import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from core.images import decode_image, encode_image, read_image, write_image
from data.captions import read_captions
from data.noise import encode_best, main
from data.noise.grades import Grade, apply_grade, content_seed, parse_grade

GREY = np.full((300, 400, 3), 128, np.uint8)
RNG = np.random.default_rng(5)
COARSE = np.kron(RNG.integers(20, 236, (30, 40, 3)).astype(np.uint8), np.ones((10, 10, 1), np.uint8))
WORDS = ["annotations=a.jsonl", "images=images", "run_dir=out"]


def difference(image: np.ndarray, grade: str) -> np.ndarray:
    return apply_grade(image, parse_grade(grade)).astype(np.float64) - image


@pytest.mark.parametrize("variance", [500, 1000, 2500])
def test_gauss_has_its_variance_and_no_mean_and_no_bond_between_channels(variance):
    noise = difference(GREY, f"gauss{variance}")  # 128 is at least 2.5 sigma from where values are cut off
    n = noise.size
    # rounding adds 1/12; cutting off at 0 and 255 takes 0.0, 0.0, 1.2 percent
    kept = {500: 1.0, 1000: 0.9997, 2500: 0.972}[variance]
    assert noise.var() == pytest.approx(variance * kept + 1 / 12, rel=4 * (2 / n) ** 0.5 + 0.003)
    assert abs(noise.mean()) < 4 * (variance / n) ** 0.5 + 0.1
    bond = np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(bond).max() < 4 / (n / 3) ** 0.5


def test_two_levels_differ_in_strength_only():
    weak, strong = difference(GREY, "gauss100"), difference(GREY, "gauss400")
    assert np.abs(strong - 2 * weak).max() <= 1.5


@pytest.mark.parametrize("name", ["gauss2500", "iso30", "multiplicative10", "jpeg20", "blur5", "lowres3", "clean"])
def test_the_same_image_gets_the_same_noise(name):
    grade = parse_grade(name)
    assert grade.name == name
    first = apply_grade(COARSE, grade)
    assert (first.shape, first.dtype) == (COARSE.shape, np.uint8)
    assert np.array_equal(apply_grade(COARSE.copy(), grade), first)
    assert np.array_equal(apply_grade(np.asfortranarray(COARSE), grade), first)
    assert (name == "clean") == np.array_equal(first, COARSE)
    if name in {"gauss2500", "iso30", "multiplicative10"}:
        assert not np.array_equal(apply_grade(COARSE, grade, seed=1), first)
        other = COARSE.copy()
        other[0, 0, 0] ^= 1
        assert not np.array_equal(apply_grade(other, grade)[50:], first[50:])


def test_the_seed_knows_the_shape():
    assert content_seed(GREY, "gauss", 0) != content_seed(GREY.reshape(400, 300, 3), "gauss", 0)


def test_iso_keeps_red_red_and_grows_with_its_level():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    red[::2, :, 1:] = 30
    spoiled = apply_grade(red, parse_grade("iso30"))
    assert spoiled[..., 0].mean() > 3 * spoiled[..., 2].mean()
    amounts = [np.abs(difference(COARSE, f"iso{level}")).mean() for level in (10, 30, 50, 100)]
    assert amounts == sorted(amounts)
    assert amounts[0] > 0.5


def test_multiplicative_is_one_factor_a_channel():
    spoiled = apply_grade(COARSE, parse_grade("multiplicative20")).astype(np.float64)
    bright = COARSE > 60
    dull = bright & (COARSE < 200)
    for c in range(3):
        ratio = spoiled[..., c][dull[..., c]] / COARSE[..., c][dull[..., c]]
        assert ratio.max() - ratio.min() < 0.02
        assert 0.8 <= ratio.mean() <= 1.2
    factors = [
        np.random.default_rng(content_seed(COARSE, "multiplicative", s)).uniform(0.8, 1.2, 3) for s in range(2000)
    ]
    assert np.mean(factors) == pytest.approx(1, abs=4 * (0.4 / 12**0.5) / 6000**0.5)


def test_jpeg_is_the_codecs_own():
    expected = decode_image(encode_image(COARSE, ".jpg", 20), "x")
    assert np.array_equal(apply_grade(COARSE, Grade("jpeg", 20)), expected)
    errors = [np.abs(difference(COARSE, f"jpeg{quality}")).mean() for quality in (90, 50, 20, 5)]
    assert errors == sorted(errors)


def test_blur_is_a_mean_as_pillows():
    blurred = apply_grade(COARSE, Grade("blur", 5)).astype(int)
    expected = np.asarray(Image.fromarray(COARSE).filter(ImageFilter.BoxBlur(2))).astype(int)
    assert np.abs(blurred - expected)[4:-4, 4:-4].max() <= 1


def test_lowres_forgets_what_a_small_image_cannot_hold():
    spoiled = apply_grade(COARSE, Grade("lowres", 4))
    small = cv2.resize(COARSE, (100, 75), interpolation=cv2.INTER_AREA)
    assert np.array_equal(spoiled, cv2.resize(small, (400, 300), interpolation=cv2.INTER_LINEAR))
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert apply_grade(stripes, Grade("lowres", 2)).std() < 1


def test_one_pixel_can_be_spoiled_too():
    dot = np.full((1, 1, 3), 77, np.uint8)
    for name in ("gauss2500", "iso30", "multiplicative10", "jpeg20", "blur5", "lowres3", "clean"):
        assert apply_grade(dot, parse_grade(name)).shape == (1, 1, 3)


def test_files_are_as_true_as_their_format_allows():
    noisy = apply_grade(COARSE, parse_grade("gauss2500"))
    for suffix in (".png", ".bmp", ".tiff", ".webp"):
        assert np.array_equal(decode_image(encode_best(noisy, suffix), suffix), noisy)
    error = decode_image(encode_best(noisy, ".jpg"), "x").astype(np.float64) - noisy
    usual = decode_image(encode_image(noisy, ".jpg", 95), "x").astype(np.float64) - noisy
    assert error.std() < 1.2  # of noise whose sigma is 50
    assert usual.std() > 10 * error.std()


def test_a_copy_keeps_names_and_lines(toy, made_files):
    main([*WORDS, "grade=gauss500"])
    assert Path("out/annotations.jsonl").read_bytes() == Path("a.jsonl").read_bytes()
    names = {f"images/image_{i}.jpg" for i in range(10)}
    assert made_files(Path("out")) == {"annotations.jsonl", "noise.json"} | names
    for i in range(10):
        clean = read_image(f"images/image_{i}.jpg")
        noisy = read_image(f"out/images/image_{i}.jpg")
        assert np.abs(noisy.astype(int) - apply_grade(clean, Grade("gauss", 500))).mean() < 1
    first = {p.name: p.read_bytes() for p in Path("out/images").iterdir()}
    main(["annotations=a.jsonl", "images=images", "run_dir=again", "grade=gauss500", "workers=1"])
    assert {p.name: p.read_bytes() for p in Path("again/images").iterdir()} == first
    main(["annotations=a.jsonl", "images=images", "run_dir=clean", "grade=clean"])
    assert all(Path("clean", n).read_bytes() == Path(n).read_bytes() for n in names)


def test_annotations_may_lack_boxes(toy, write_jsonl):
    lines = [{"image": "image_0.jpg", "annotations": [{"caption": "red drone"}]}]
    write_jsonl(toy / "a.jsonl", lines)
    main([*WORDS, "grade=jpeg30"])
    assert read_captions("out/annotations.jsonl")[0].captions == ("red drone",)


def test_another_grade_replaces_the_images(toy, write_jsonl, entry):
    main([*WORDS, "grade=jpeg30"])
    write_jsonl(toy / "a.jsonl", [entry(1)])
    main([*WORDS, "grade=blur3"])
    assert [p.name for p in Path("out/images").iterdir()] == ["image_1.jpg"]
    assert json.loads(Path("out/noise.json").read_text())["grade"] == "blur3"


def test_a_copy_that_fails_half_way_is_no_copy_and_goes_on(toy):
    main([*WORDS, "grade=jpeg30"])
    last = Path("images/image_9.jpg")
    good = last.read_bytes()
    last.write_bytes(good[:400])
    with pytest.raises(SystemExit):
        main([*WORDS, "grade=gauss900"])
    assert not Path("out/noise.json").exists()
    last.write_bytes(good)
    Path("out/images/image_2.jpg").write_bytes(b"damaged")
    write_image("images/image_4.jpg", np.full((64, 96, 3), 99, np.uint8))
    main([*WORDS, "grade=gauss900"])
    assert json.loads(Path("out/metrics.json").read_text())["num_reused_images"] == 7  # not 2, 4 and 9
    main([*WORDS[:2], "run_dir=fresh", "grade=gauss900"])
    for path in Path("fresh/images").iterdir():
        assert Path("out/images", path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("grade", "message"),
    [
        ("gaus500", "'gaus500' is none of clean, gaussN (1 to 20000)"),
        ("gauss", "gauss needs a number from 1 to 20000"),
        ("gauss0", "gauss needs a number from 1"),
        ("jpeg101", "jpeg needs a number from 1 to 100"),
        ("blur4", "a blur is an odd number of pixels wide"),
        ("clean3", "clean takes no number"),
        ("gauss-500", "is none of"),
    ],
)
def test_a_wrong_grade_is_named(toy, complaint, grade, message, made_files):
    said = complaint(main, *WORDS, f"grade={grade}")
    assert said.startswith("data.noise: grade: ")
    assert message in said
    assert not made_files(Path("out"))


def test_bad_input_is_named(toy, complaint, made_files):
    assert "workers: 0" in complaint(main, *WORDS, "grade=blur3", "workers=0")
    said = complaint(main, "annotations=a.jsonl", "images=images", f"run_dir={toy}", "grade=blur3")
    assert "images: field 'run_dir': exists and is no copy of ours" in said
    Path("images/image_4.jpg").write_bytes(Path("images/image_4.jpg").read_bytes()[:400])
    said = complaint(main, *WORDS, "grade=blur3")
    assert said.startswith("data.noise: a.jsonl line 5: field 'image': images/image_4.jpg: ")
    assert not Path("out/noise.json").exists()
    Path("images/image_4.jpg").unlink()
    assert "images/image_4.jpg does not exist" in complaint(main, *WORDS, "grade=blur3")


@pytest.mark.faults
def test_killed_at_any_moment_it_goes_on_to_the_same_copy(toy, write_jsonl, entry, count):
    big = np.tile(read_image("images/image_0.jpg"), (6, 6, 1))
    for i in range(30):
        write_image(f"images/image_{i}.jpg", np.roll(big, i, axis=1))
    write_jsonl(toy / "a.jsonl", [entry(i) for i in range(30)])
    main(["annotations=a.jsonl", "images=images", "run_dir=whole", "grade=gauss500"])
    expected = {p.name: p.read_bytes() for p in Path("whole/images").iterdir()}
    rng = np.random.default_rng(3)
    for number in range(count(short=1, full=15)):
        words = [sys.executable, "-m", "data.noise", "annotations=a.jsonl", "images=images", f"run_dir=out{number}"]
        words += ["grade=gauss500", "workers=1"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        journal, deadline = Path(f"out{number}/journal.jsonl"), time.monotonic() + 30
        while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.4)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert journal.exists() or Path(f"out{number}/noise.json").exists()
        subprocess.run(words, check=True, capture_output=True)
        assert {p.name: p.read_bytes() for p in Path(f"out{number}/images").glob("*.jpg")} == expected
        assert not journal.exists()
