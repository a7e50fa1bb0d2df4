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
# # Splits and crop sets
#
# From one annotation file to what both trainers take: what was held out, what the boxes are like, and the crops that
# the scorer sees. Everything shown is read from the files that `data.split` and `data.crops` wrote.

# %%
import sys

sys.path.insert(0, "../scripts")
from small_run import small_run

RUN = small_run()  # GROUNDER_RUN=DIR looks at another run, such as that of `make demo`

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from core.images import read_image
from data.captions import read_annotations
from data.check import main as check
from data.cropset import read_crop_set

parts = {name: read_annotations(RUN / "split" / f"{name}.jsonl") for name in ("train", "val")}
for name, images in parts.items():
    boxes = [box for image in images for box in image.targets]
    captions = Counter(a.caption for image in images for a in image.annotations)
    width, height = np.median(boxes, axis=0)[2:]
    size = f"median {width:g}x{height:g} px"
    print(f"{name}: {len(images)} images, {len(boxes)} boxes ({size}), {len(captions)} captions")

# %% [markdown]
# ## What `data.check` has to say
#
# Broken, duplicate, leaking and unbalanced data, in one table; `check.json` holds every finding.

# %%
images = RUN / "scenes" / "images"
check([f"annotations={RUN}/split/train.jsonl", f"images={images}", f"val={RUN}/split/val.jsonl",
       f"run_dir={RUN}/check"])  # fmt: skip

# %% [markdown]
# ## Box sizes
#
# The published set has a median of 60x40 px on images of 1520x870; small targets are what the image size of the
# detector is chosen for.

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for axis, (name, part) in zip(axes, parts.items(), strict=True):
    sides = np.asarray([box[2:] for image in part for box in image.targets])
    axis.scatter(*sides.T, s=8, alpha=0.4)
    axis.set(title=f"{name}: box sizes", xlabel="width, px", ylabel="height, px")

# %% [markdown]
# ## Crops, one a caption

# %%
crops = read_crop_set(RUN / "crops")
print(f"{len(crops.crops)} crops, pad policy {crops.record.get('pad')}, upscaler {crops.record.get('upscaler')}")
fig, axes = plt.subplots(2, 6, figsize=(9, 3))
for axis, crop in zip(axes.flat, crops.crops, strict=False):
    axis.imshow(read_image(crops.path(crop)))
    axis.set_title(crop.caption, fontsize=8)
    axis.axis("off")
