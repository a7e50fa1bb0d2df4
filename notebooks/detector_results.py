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
# # Detector results
#
# What `eval.coco` found about the boxes: AP, the curves, the confidences of right and wrong boxes, and how tightly
# right boxes fit targets of each size.

# %%
import sys

sys.path.insert(0, "../scripts")
from small_run import small_run

RUN = small_run()  # GROUNDER_RUN=DIR looks at another run, such as that of `make demo`

# %%
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display

from core.files import read_json
from core.records import read_detections
from data.captions import read_annotations
from eval.attribution import size_of
from eval.boxes.matching import match_by_confidence
from eval.boxes.table import detection_table, truth_table
from eval.charts.png import save_png
from eval.report.charts import curve_charts
from eval.runs import find_runs, latest

runs = find_runs(str(RUN))
coco = latest(runs, "eval.coco")
metrics = read_json(RUN / "coco" / "metrics.json")
print({name: round(metrics[name], 3) for name in ("AP", "AP50", "AP75", "precision", "recall", "f1", "best_f1")})

# %% [markdown]
# ## Curves

# %%
for chart in curve_charts(coco):
    image = Path(mkdtemp()) / f"{chart.key}.png"
    save_png(chart, image)
    display(Image(image, width=560))

# %% [markdown]
# ## Confidences of right and wrong boxes
#
# A box is right when it takes a true box that no more confident one has taken, at an IoU of one half.

# %%
truth = read_annotations(RUN / "split" / "val.jsonl")
path = RUN / "export" / "detections.json"
found = detection_table(read_detections(path), truth, path)
is_right = match_by_confidence(found, truth_table(truth), [0.5])[:, 0]
bins = np.linspace(0, 1, 41)
plt.figure(figsize=(7, 3))
plt.hist([found.score[is_right], found.score[~is_right]], bins, stacked=True, label=["right", "wrong"])
plt.yscale("log")
plt.xlabel("confidence")
plt.ylabel("boxes")
plt.legend()
plt.show()

# %% [markdown]
# ## Confidence of right boxes by the size of the target

# %%
right = found.take(is_right)
sizes = np.asarray([size_of(tuple(box)) for box in right.box_ltwh])
kinds = [size for size in ("small", "medium", "large") if (sizes == size).any()]
plt.figure(figsize=(7, 3))
plt.boxplot([right.score[sizes == kind] for kind in kinds], tick_labels=[f"{k} ({(sizes == k).sum()})" for k in kinds])
plt.ylabel("confidence")
plt.show()

# %% [markdown]
# ## Where the boxes go wrong
#
# The kinds of error above the confidence that gives the best F1.

# %%
from eval.attribution import detection_errors
from eval.boxes.operating_point import cut_table

detection_errors(cut_table(found, metrics["best_f1_confidence"]), truth_table(truth))
