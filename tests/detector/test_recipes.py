"""detector.recipes: a grid of images and the figures beside it, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.images import read_image, write_image
from detector.recipes import main


def test_the_grid_shows_the_recipe_and_its_figures(tmp_path: Path) -> None:
    main(["recipe=v3", "draws=600", "tile=96", "grid=[3,2]", f"run_dir={tmp_path / 'out'}"])
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    steps = {step["op"]: step for step in metrics["steps"]}
    assert metrics["recipe"] == "v3"
    assert len(steps) == 10
    assert steps["gauss_noise"]["rate"] == pytest.approx(0.5, abs=4 * (0.25 / 600) ** 0.5)
    assert steps["gauss_noise"]["drawn"]["variance"]["mean"] == pytest.approx(1250, rel=0.15)
    assert steps["compression"]["drawn"]["quality"]["least"] >= 75
    grid = read_image(tmp_path / "out" / "grid.png")
    assert grid.shape[1] >= 3 * 96
    tiles = [grid[:96, x : x + 96].astype(int) for x in (0, 102, 204)]
    assert any(np.abs(tile - tiles[0]).max() > 20 for tile in tiles[1:])


def test_a_users_own_image_and_recipe(tmp_path: Path) -> None:
    image = np.zeros((100, 160, 3), np.uint8)
    image[..., 0] = 220
    write_image(tmp_path / "red.png", image)
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "recipe" / "turns.yaml").write_text("name: turns\nsteps: [{op: rotate90, p: 1.0}]\n")
    own = ["--config-dir", str(tmp_path / "mine"), "recipe=turns", f"image={tmp_path / 'red.png'}"]
    main([*own, "draws=50", "tile=64", "grid=[2,1]", f"run_dir={tmp_path / 'out'}"])
    grid = read_image(tmp_path / "out" / "grid.png")
    assert (grid[:64, :64] == [220, 0, 0]).all()
    assert (grid[:64, 70 : 70 + 64] == [220, 0, 0]).all()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("recipe=v9", "v3"),
        ("grid=[0,1]", "grid"),
        ("image=nothing.png", "nothing.png"),
        ("recipe.steps=[{op: blurr,p: 1}]", "blur"),
    ],
)
def test_wrong_use_is_one_line(word: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([word, "draws=5", f"run_dir={tmp_path / 'out'}"])
    assert stop.value.code == 2
    assert hint in capsys.readouterr().err
