"""Targets: colours in the caption's order, masks that fill their boxes, and cutouts pasted as published."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.errors import InputError
from data.scenes import main, scene_settings
from data.scenes.cutouts import find_cutouts, read_cutout, turn_cutout
from data.scenes.draw import draw_scene
from data.scenes.palette import COLOURS, KINDS, Livery, default_captions, parse_caption
from data.scenes.settings import CutoutBox, ScenesConfig
from data.scenes.targets import ALPHA_SEEN, Light, draw_target, mask_box
from data.scenes.targets.meshes import normals_of
from data.scenes.targets.models import VARIANTS, build_mesh

EVEN_LIGHT = Light(ambient=1.12)  # no side in shadow: colours can be read from the image


def colour_shares(image: np.ndarray, names: tuple[str, ...]) -> list[float]:
    """The share of opaque pixels nearest to each named colour in hue and lightness, dark fittings left out."""
    pixels = image[image[..., 3] == 255][:, :3].astype(float)
    anchors = np.array([np.mean(COLOURS[name], 0) for name in names])
    distance = np.linalg.norm(pixels[:, None] - anchors[None], axis=-1)
    near = distance.argmin(1)[distance.min(1) < 90]
    return [float((near == i).mean()) if len(near) else 0.0 for i in range(len(names))]


@pytest.mark.parametrize("kind", KINDS)
def test_colours_cover_in_the_captions_order(kind: str) -> None:
    rng = np.random.default_rng(3)
    ordered, second = [], []
    for names in (("white", "red"), ("yellow", "blue"), ("blue", "white"), ("red", "yellow")):
        for _ in range(12):
            shares = colour_shares(draw_target(Livery(kind, names), (120, 80), rng, EVEN_LIGHT), names)
            ordered.append(shares[0] > shares[1])
            second.append(shares[1])
    assert np.mean(ordered) > 0.92
    assert np.mean(np.array(second) > 0.08) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_three_colours_all_show(kind: str) -> None:
    rng = np.random.default_rng(4)
    names = ("white", "red", "blue")
    shares = np.array(
        [colour_shares(draw_target(Livery(kind, names), (140, 100), rng, EVEN_LIGHT), names) for _ in range(16)]
    )
    assert np.mean((shares > 0.03).all(1)) > 0.85
    assert shares.mean(0)[0] > shares.mean(0)[2]


def test_camouflage_is_more_than_one_tone() -> None:
    rng = np.random.default_rng(5)
    for caption in ("green camouflage helicopter", "blue camouflage fighter jet"):
        plain = caption.replace(" camouflage", "")
        spread = [
            np.mean([_spread(draw_target(parse_caption(c), (120, 80), rng, EVEN_LIGHT)) for _ in range(10)])
            for c in (caption, plain)
        ]
        assert spread[0] > 1.3 * spread[1]


def _spread(image: np.ndarray) -> float:
    return float(image[image[..., 3] == 255][:, :3].max(-1).std())


def test_every_default_caption_fills_its_box() -> None:
    rng = np.random.default_rng(0)
    for caption in default_captions():
        image = draw_target(parse_caption(caption), (60, 40), rng, Light())
        assert mask_box(image[..., 3]) == (0, 0, image.shape[1], image.shape[0])
        assert 0.12 < (image[..., 3] >= ALPHA_SEEN).mean() < 0.98, caption
        assert image.shape[0] * image.shape[1] == pytest.approx(2400, rel=0.3)


@pytest.mark.parametrize("size", [(60, 40), (24, 64), (8, 8), (3, 5), (400, 90)])
def test_exact_targets_fill_the_asked_box(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for kind in KINDS:
        image = draw_target(Livery(kind, ("grey",)), size, rng, Light(), exact=True)
        assert image.shape == (size[1], size[0], 4)
        left, top, width, height = mask_box(image[..., 3])
        assert max(left, top, size[0] - left - width, size[1] - top - height) <= 1, kind


def test_kinds_look_different() -> None:
    """A nearest-neighbour reader of 24x16 silhouettes tells the kinds apart far above chance."""
    rng = np.random.default_rng(2)
    grey = ("grey",)

    def silhouettes(count: int) -> np.ndarray:
        found = [
            [draw_target(Livery(kind, grey), (72, 48), rng, Light())[..., 3] for _ in range(count)] for kind in KINDS
        ]
        return np.array([[cv2.resize(a, (24, 16), interpolation=cv2.INTER_AREA).ravel() for a in row] for row in found])

    known, unknown = silhouettes(40).astype(float), silhouettes(12).astype(float)
    gaps = ((unknown[:, :, None, None] - known[None, None]) ** 2).sum(-1)
    hits = gaps.min(-1).argmin(-1) == np.arange(len(KINDS))[:, None]
    assert hits.mean() > 3 / len(KINDS), hits.mean(1)


@pytest.mark.parametrize("kind", KINDS)
def test_meshes_face_outwards(kind: str) -> None:
    """Closed surfaces have no net area vector, and the divergence theorem makes their volume positive."""
    for variant in range(VARIANTS):
        mesh = build_mesh(kind, variant)
        for quads in mesh.quads:
            middle = quads.mean(1) - quads.mean((0, 1))
            one, two = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
            volume = (np.cross(one, two) * middle).sum() / 6
            assert np.isfinite(normals_of(quads)).all()
            assert volume > -1e-6, (kind, variant)


def test_caption_grammar() -> None:
    assert parse_caption("Red,  white, and blue light aircraft") == Livery("light aircraft", ("red", "white", "blue"))
    assert parse_caption("white yellow and black helicopter").colours == ("white", "yellow", "black")
    assert parse_caption("green and brown camouflage fighter jet").camouflage
    for wrong, hint in (("purple drone", "purple"), ("red helicpter", "helicopter"), ("drone", "kind"),
                        ("red, white, blue, and black drone", "one to three"),
                        ("red and red drone", "different")):  # fmt: skip
        with pytest.raises(InputError, match=hint):
            parse_caption(wrong)


@pytest.fixture
def cutouts(tmp_path: Path) -> Path:
    """Three transparent PNGs: a bar in red, one in blue (a second copy with a number), with wide empty margins."""
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for name, colour in (
        ("red_missile_1", (0, 0, 255)),
        ("red_missile_2", (0, 0, 255)),
        ("flying_saucer", (255, 0, 0)),
    ):
        image = np.zeros((120, 300, 4), np.uint8)
        image[40:70, 50:250] = (*colour, 255)
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


def test_cutouts_are_named_by_their_files_and_cut_tight(cutouts: Path) -> None:
    found = find_cutouts(cutouts)
    assert {caption: len(paths) for caption, paths in found.items()} == {"red missile": 2, "flying saucer": 1}
    assert read_cutout(found["red missile"][0]).shape == (30, 200, 4)
    with pytest.raises(InputError, match="cutouts"):
        find_cutouts(cutouts.parent)
    cv2.imwrite(str(cutouts / "opaque.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"opaque\.png"):
        read_cutout(cutouts / "opaque.png")


def test_turning_keeps_the_published_canvas_unless_cut_first(cutouts: Path) -> None:
    bar = read_cutout(find_cutouts(cutouts)["flying saucer"][0])
    loose = turn_cutout(bar, (120, 80), np.random.default_rng(8), tight_first=False)
    tight = turn_cutout(bar, (120, 80), np.random.default_rng(8), tight_first=True)
    assert loose.shape == tight.shape == (80, 120, 4)
    assert mask_box(tight[..., 3]) == (0, 0, 120, 80)
    assert (tight[tight[..., 3] > 250][:, 2] > 240).all()  # the bar is blue, RGBA


@pytest.mark.parametrize("box", list(CutoutBox))
def test_pasted_scenes_follow_the_published_generator(cutouts: Path, box: CutoutBox) -> None:
    config = ScenesConfig(cutouts=str(cutouts), cutout_box=box, num_targets=[2, 2], size=[760, 435])
    settings = scene_settings(config)
    boxes = [annotation for index in range(12) for annotation in draw_scene(settings, index)[1]]
    assert {annotation.caption for annotation in boxes} == {"red missile", "flying saucer"}
    ratios = np.array([annotation.boxes_ltwh[0][2:] for annotation in boxes]) / (760, 435)
    assert ((ratios > 0.026) & (ratios < 0.104)).all()
    assert np.ptp(ratios[:, 0]) > 0.02
    assert np.allclose(ratios[:, 0], ratios[:, 1], atol=0.004)  # one scale for both sides, as published


def test_a_caption_without_a_cutout_is_named(cutouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"image": "x.jpg", "annotations": [{"caption": "green drone", "bbox": [1, 1, 9, 9]}]}
    Path("a.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(SystemExit) as stop:
        main(["annotations=a.jsonl", f"cutouts={cutouts}", "size=[64,64]", "workers=1", "run_dir=out"])
    assert stop.value.code == 2
    assert "green drone" in capsys.readouterr().err
