"""Scenes: bytes by seed, boxes that fit what is drawn, published captions and sizes, and the annotation-file mode."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.images import read_image, write_image
from core.values import AnnotatedImage, Annotation
from data.scenes import main, scene_settings
from data.scenes.draw import draw_scene
from data.scenes.layout import choose_captions, choose_size
from data.scenes.palette import default_captions
from data.scenes.settings import SceneNoise, ScenesConfig
from data.scenes.targets import ALPHA_SEEN, Light

PLAIN = (250, 20, 250)  # no target has this colour, nor a rotor disc


def flat_background(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], Light]:
    """A plain image, so that whatever differs from it is a target."""
    return np.full((height, width, 3), PLAIN, np.uint8), Light()


def drawn_box(image: NDArray[np.uint8], box: tuple[float, ...], reach: int = 3) -> tuple[int, int, int, int]:
    """The tight box of what differs from the plain image in and just around `box`, in image pixels."""
    left, top, width, height = (int(v) for v in box)
    x0, y0 = max(left - reach, 0), max(top - reach, 0)
    part = image[y0 : top + height + reach, x0 : left + width + reach].astype(int)
    rows, columns = (np.flatnonzero((np.abs(part - PLAIN).max(-1) > 3).any(axis)) for axis in (1, 0))
    return x0 + columns[0], y0 + rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def run(tmp_path: Path, name: str, *words: str) -> Path:
    folder = tmp_path / name
    main([*words, f"run_dir={folder}"])
    return folder


def read_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "annotations.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_the_same_seed_gives_the_same_bytes_whatever_the_count_and_the_processes(tmp_path: Path) -> None:
    small = ("size=[320,184]", "seed=5")
    one = run(tmp_path, "one", *small, "num_images=16", "workers=1")
    two = run(tmp_path, "two", *small, "num_images=16", "workers=2")
    few = run(tmp_path, "few", *small, "num_images=3", "workers=1")
    other = run(tmp_path, "other", "size=[320,184]", "seed=6", "num_images=3", "workers=1")
    assert contents(one) == contents(two)
    assert (one / "annotations.jsonl").read_bytes() == (two / "annotations.jsonl").read_bytes()
    assert all(contents(one)[name] == data for name, data in contents(few).items())
    assert all(contents(few)[name] != data for name, data in contents(other).items())
    assert len(contents(one)) == 16


def test_boxes_are_tight_round_the_drawn_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.scenes.draw.draw_background", flat_background)
    settings = scene_settings(
        ScenesConfig(captions=["red fighter jet", "white drone", "black missile", "blue helicopter"])
    )
    checked = 0
    for index in range(12):
        image, annotations = draw_scene(settings, index)
        for annotation in annotations:
            seen = drawn_box(image, annotation.boxes_ltwh[0])
            # A faint edge below the mask's threshold may still tint a pixel just outside.
            assert np.abs(np.array(seen) - np.array(annotation.boxes_ltwh[0])).max() <= 2, (annotation, seen)
            checked += 1
    assert checked >= 30
    assert 0 < ALPHA_SEEN < 64


def test_counts_sizes_and_captions_are_as_published() -> None:
    layout = scene_settings(ScenesConfig()).layout
    rng = np.random.default_rng(0)
    captions = [choose_captions(layout, rng) for _ in range(400)]
    assert {len(found) for found in captions} == set(range(3, 9))
    assert all(len(set(found)) == len(found) for found in captions)
    sides = np.array([choose_size(layout, rng) for _ in range(4000)])
    assert np.median(sides, 0) == pytest.approx([60, 40], rel=0.05)
    with_twin = [len({_kind(c) for c in found}) < len(found) for found in captions]
    assert statistics.mean(with_twin) > 0.85


def test_kinds_are_drawn_alike_often() -> None:
    layout = scene_settings(ScenesConfig(same_kind=0.0)).layout
    rng = np.random.default_rng(1)
    kinds = [_kind(caption) for _ in range(600) for caption in choose_captions(layout, rng)]
    counts = np.array([kinds.count(kind) for kind in set(kinds)])
    assert len(counts) == 8
    assert counts.min() > 0.75 * counts.mean()


def _kind(caption: str) -> str:
    return re.search(r"(fighter jet|fighter plane|helicopter|missile|drone|\w+ aircraft)$", caption).group(1)


def test_drawn_sizes_scale_with_the_image_and_follow_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.scenes.draw.draw_background", flat_background)
    cases = (
        (ScenesConfig(), (60, 40)),
        (ScenesConfig(size=[760, 435]), (30, 20)),
        (ScenesConfig(size=[640, 368], target_size=[40, 27]), (40, 27)),
    )
    for config, wanted in cases:
        settings = scene_settings(config)
        boxes = [a.boxes_ltwh[0] for index in range(32) for a in draw_scene(settings, index)[1]]
        median = [statistics.median(box[i] for box in boxes) for i in (2, 3)]
        assert median == pytest.approx(wanted, rel=0.15), config.size


def test_boxes_lie_inside_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.scenes.draw.draw_background", flat_background)
    settings = scene_settings(ScenesConfig(box_grid=4, num_targets=[8, 8]))
    for index in range(10):
        boxes = np.array([a.boxes_ltwh[0] for a in draw_scene(settings, index)[1]])
        assert (boxes % 4 == 0).all()
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= [1520, 870]).all()
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[0] >= b[0] + b[2] or b[0] >= a[0] + a[2] or a[1] >= b[1] + b[3] or b[1] >= a[1] + a[3]


def test_an_annotation_file_is_drawn_into_its_own_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.scenes.draw.draw_background", flat_background)
    boxes = [(12, 20, 60, 40), (140, 30, 24, 64), (100, 120, 8, 8), (250, 100, 92, 56)]
    captions = ["grey camouflage fighter jet", "white missile", "yellow drone", "red, white, and blue light aircraft"]
    given = AnnotatedImage("a.png", tuple(Annotation(c, (b,)) for c, b in zip(captions, boxes, strict=True)), 1)
    settings = scene_settings(ScenesConfig(size=[400, 230]))
    for index in range(6):
        image, annotations = draw_scene(settings, index, given)
        assert annotations == list(given.annotations)
        for box in boxes:
            seen = drawn_box(image, box)
            assert np.abs(np.array(seen) - box).max() <= 1, (index, box, seen)
    over_the_edge = AnnotatedImage("b.png", (Annotation("grey drone", ((184, -4, 92, 56),)),), 1)
    image, annotations = draw_scene(settings, 0, over_the_edge)
    seen = drawn_box(image, (184, 0, 92, 52))
    assert np.abs(np.array(seen) - (184, 0, 92, 52)).max() <= 1
    assert annotations[0].boxes_ltwh[0] == (184, -4, 92, 56)


def test_the_annotation_file_comes_back_unchanged(tmp_path: Path) -> None:
    entry = {"image": "sub/x.png", "annotations": [{"caption": "grey missile", "bbox": [10, 20, 48, 52]}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(entry) + "\n")
    folder = run(tmp_path, "out", f"annotations={tmp_path / 'a.jsonl'}", "size=[200,120]", "workers=1")
    assert read_lines(folder) == [entry]
    assert read_image(folder / "images" / "sub" / "x.png").shape == (120, 200, 3)
    assert json.loads((folder / "metrics.json").read_text())["num_targets"] == 1


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"image": "x.jpg", "annotations": [{"caption": "grey submarine", "bbox": [1, 1, 9, 9]}]}, "caption"),
        ({"image": "x.jpg", "annotations": [{"caption": "pink drone", "bbox": [1, 1, 9, 9]}]}, "pink"),
        ({"image": "x.jpg", "annotations": [{"caption": "grey drone", "bbox": [300, 1, 9, 9]}]}, "bbox"),
        ({"image": "../x.jpg", "annotations": [{"caption": "grey drone", "bbox": [1, 1, 9, 9]}]}, "image"),
    ],
)
def test_what_cannot_be_drawn_is_named_before_any_work(
    entry: dict, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"image": "g.jpg", "annotations": [{"caption": "grey drone", "bbox": [1, 1, 9, 9]}]}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(entry)}\n")
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "out", f"annotations={tmp_path / 'a.jsonl'}", "size=[200,120]", "workers=1")
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert "a.jsonl line 2" in message
    assert field in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out" / "images").exists()


WRONG = {
    "noise=v3": "v2",
    "same_kind=1.5": "same_kind",
    "num_targets=[5,2]": "num_targets",
    "size=[5]": "size",
    "sede=3": "seed",
    "seed=-1": "seed",
    "num_images=-3": "num_images",
    "suffix=.gif": "suffix",
    "captions=[gray drone]": "grey",
}


@pytest.mark.parametrize(("word", "hint"), list(WRONG.items()))
def test_wrong_settings_end_in_one_line(
    word: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "out", word)
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert hint in message


def test_every_published_caption_can_be_drawn(reference_dir: Path) -> None:
    from data.scenes.palette import parse_caption

    lines = (reference_dir / "til24" / "vlm.jsonl").read_text().splitlines()
    captions = {a["caption"] for line in lines for a in json.loads(line)["annotations"]}
    assert len(captions) == 126
    for caption in captions:
        assert parse_caption(caption).caption == caption


def test_the_default_vocabulary_has_all_kinds_and_no_caption_twice() -> None:
    captions = default_captions()
    assert len(set(captions)) == len(captions) > 100
    assert len({_kind(caption) for caption in captions}) == 8
    assert any("camouflage" in caption for caption in captions)
    assert any(caption.count(",") == 2 for caption in captions)


def test_photographs_serve_as_backgrounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = np.zeros((90, 300, 3), np.uint8)
    photo[:, :, 1] = 200
    write_image(tmp_path / "photos" / "deep" / "green.png", photo)
    settings = scene_settings(ScenesConfig(size=[200, 120], backgrounds=str(tmp_path / "photos"), num_targets=[0, 0]))
    image, annotations = draw_scene(settings, 0)
    assert annotations == []
    assert image.shape == (120, 200, 3)
    assert (image == [0, 200, 0]).all()
    (tmp_path / "photos" / "deep" / "green.png").write_bytes(b"no image")
    with pytest.raises(SystemExit):
        run(tmp_path, "out", f"backgrounds={tmp_path / 'photos'}", "num_images=1", "size=[64,64]", "workers=1")
    assert "green.png" in capsys.readouterr().err


def test_sensor_noise_keeps_boxes_and_adds_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.scenes.draw.draw_background", flat_background)
    config = {"size": [320, 200], "seed": 3}
    clean = [draw_scene(scene_settings(ScenesConfig(**config)), index) for index in range(6)]
    for name in ("v1", "v2"):
        settings = scene_settings(ScenesConfig(**config, noise=SceneNoise(name)))
        noisy = [draw_scene(settings, index) for index in range(6)]
        assert [n[1] for n in noisy] == [c[1] for c in clean]
        levels = [float(image[-20:, :, 1].std()) for image, _ in noisy]
        assert statistics.median(levels) > 4 > clean[0][0][-20:, :, 1].std()
        assert (draw_scene(settings, 2)[0] == noisy[2][0]).all()
