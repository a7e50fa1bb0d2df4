# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Recipe gallery
#
# Every augmentation recipe on the same drawn image, with how often each step fired and what it drew. The same page
# for one recipe: `python -m detector.recipes recipe=v3`. What the steps mean: `docs/recipes.md`.

# %%
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

from core.images import read_image
from detector.recipes import main as show_recipe

RECIPES = ("v1", "v2", "v3", "augv2")
folder = Path(mkdtemp())
for recipe in RECIPES:
    show_recipe([f"recipe={recipe}", "grid=[6,1]", "tile=160", "draws=200", f"run_dir={folder / recipe}"])

# %% [markdown]
# The first image of each row is the original. Strong noise (`v1`, `v3`, variance up to 2500) is what the published
# log found to help most on its noisy test images; `v2`, always on, trained a worse detector.

# %%
for recipe in RECIPES:
    grid = read_image(folder / recipe / "grid.png")
    fig = plt.figure(figsize=(10, 10 * grid.shape[0] / grid.shape[1]))
    plt.imshow(grid)
    plt.title(recipe)
    plt.axis("off")
    plt.show()
