"""Show an augmentation recipe as a grid of images, how often each step fired, and what it drew."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.runs import RunConfig, RunFolder
from data.recipe import RecipeConfig, check_steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.augment.measure import StepFigures

LINE_PX, MARGIN_PX = 14, 6


@dataclass
class RecipesConfig(RunConfig):
    """Settings of detector.recipes."""

    recipe: RecipeConfig = field(default_factory=RecipeConfig)  # any recipe by name, yours through --config-dir
    image: str | None = None  # image to augment; default: a drawn scene
    grid: list[int] = field(default_factory=lambda: [4, 4])  # columns and rows; the first image is the original
    tile: int = 320  # side of a grid image in pixels
    draws: int = 4000  # images that the figures are taken over
    seed: int = 0  # of the drawn scene and of what is done to it


def run(config: RecipesConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `grid.png`; returns each step's asked and seen probability and the parameters it drew."""
    if len(config.grid) != 2 or min(config.grid) < 1 or config.tile < 64 or config.draws < 1:
        raise InputError(
            "fields 'grid', 'tile', 'draws': want two counts from 1, a side from 64 px, and 1 or more draws"
        )
    check_steps(config.recipe)

    from core.images import write_image
    from data.augment.measure import Probe, measure_recipe, summary

    figures = measure_recipe(config.recipe, config.draws, config.seed)
    original = _image(config)
    probe = Probe(config.recipe, config.seed)
    tiles = [(original, ["original"])]
    tiles += [probe(original) for _ in range(config.grid[0] * config.grid[1] - 1)]
    write_image(folder.path / "grid.png", _draw_grid(config, tiles, figures))
    print(f"{folder.path / 'grid.png'}")
    return {"recipe": config.recipe.name, "draws": config.draws, "steps": [summary(step) for step in figures]}


def _image(config: RecipesConfig) -> "NDArray[np.uint8]":
    """The image to augment, cut to a square of `tile` pixels: the user's, or a drawn scene around its targets."""
    import cv2
    import numpy as np

    if config.image is not None:
        from core.images import read_image

        image = read_image(config.image)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        square = image[top : top + side, left : left + side]
        return np.asarray(cv2.resize(square, (config.tile, config.tile), interpolation=cv2.INTER_AREA), np.uint8)
    from data.scenes.draw import SceneSettings, draw_scene
    from data.scenes.layout import Layout
    from data.scenes.palette import default_captions

    target = (0.3 * config.tile, 0.2 * config.tile)
    layout = Layout((config.tile, config.tile), target, (3, 4), 0.5, tuple(default_captions()))
    return draw_scene(SceneSettings(config.seed, layout), 0)[0]


def _draw_grid(
    config: RecipesConfig, tiles: list[tuple["NDArray[np.uint8]", list[str]]], figures: list["StepFigures"]
) -> "NDArray[np.uint8]":
    """The tiles with what fired under each, and the table of measured figures below them."""
    import numpy as np

    columns = config.grid[0]
    lines = max(len(fired) for _, fired in tiles) + 1
    cells = [_captioned(image, fired, config.tile, lines) for image, fired in tiles]
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    table = _text_block(_table(config, figures), rows[0].shape[1], len(figures) + 2)
    return np.vstack([*rows, table])


def _captioned(image: "NDArray[np.uint8]", fired: list[str], side: int, lines: int) -> "NDArray[np.uint8]":
    import numpy as np

    cell = np.full((side + MARGIN_PX, side + MARGIN_PX, 3), 255, np.uint8)
    cell[: image.shape[0], : image.shape[1]] = image[:side, :side]
    return np.vstack([cell, _text_block(fired, side + MARGIN_PX, lines)])


def _table(config: RecipesConfig, figures: list["StepFigures"]) -> list[str]:
    """One line a step: asked and seen probability, and mean with range of each drawn parameter."""
    from data.augment.measure import summary

    head = f"recipe {config.recipe.name}, {config.draws} draws: step, p asked / seen, drawn mean [least, most]"
    rows = []
    for step in figures:
        of_step = summary(step)
        drawn = [f"{n} {v['mean']:.4g} [{v['least']:.4g}, {v['most']:.4g}]" for n, v in of_step["drawn"].items()]
        rows.append(f"{of_step['op']}: {of_step['p']:g} / {of_step['rate']:.3f}   {', '.join(drawn)}")
    return [head, *rows]


def _text_block(lines: list[str], width: int, height_lines: int) -> "NDArray[np.uint8]":
    """Black text on white, `height_lines` lines high."""
    import cv2
    import numpy as np

    block = np.full((height_lines * LINE_PX + MARGIN_PX, width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        place = (MARGIN_PX // 2, (number + 1) * LINE_PX - 2)
        cv2.putText(block, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return block


def main(argv: list[str] | None = None) -> None:
    """Run detector.recipes from the command line."""
    from grounder.command import run_command

    run_command("detector.recipes", RecipesConfig, run, argv)


if __name__ == "__main__":
    main()
