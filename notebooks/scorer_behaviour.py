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
# # Scorer behaviour
#
# What scorers say of the same candidates: how far right crops stand above the others, with and without enlarging, which
# scorer picks what on one image, and which captions are taken for one another. All of it is replayed from the store
# that `pipeline.export` filled; no model is loaded.

# %%
import sys

sys.path.insert(0, "../scripts")
from small_run import small_run

RUN = small_run()  # GROUNDER_RUN=DIR looks at another run, such as that of `make demo`

# %%
import matplotlib.pyplot as plt
import numpy as np

from core.cuts import CutConfig
from core.images import read_image
from core.pixels import crop_box
from core.store import CandidateStore
from data.captions import read_annotations
from eval.separation import confusion, right_and_other_scores, scored_captions, separation
from eval.sweep.points import Sweeper
from eval.sweep.replay import Replay
from eval.tables import markdown

truth = read_annotations(RUN / "split" / "val.jsonl")
store = CandidateStore(RUN / "export" / "candidates")
sweeper = Sweeper(Replay(store, truth))
detector = next(iter(store.known("proposals")))
cut = CutConfig(confidence=0.1, nms_iou=0.5)


def name_of(about):
    """A scorer's checkpoint folder and how its crops were enlarged."""
    return f"{about['scorer'].split('/')[-2]}, {about['upscaler'].split(' ')[0]}"


scored = {name_of(about): scored_captions(sweeper, detector, cut, key)
          for key, about in store.known("embeddings").items()}  # fmt: skip

# %% [markdown]
# ## How far right crops stand above the others
#
# `above`: the chance that a right candidate outscores another one of its image; `first`: how often the best-scored
# candidate is right, where there is a right one. The published log saw enlarging widen the gap and lower the validation
# accuracy at once, which is why both are looked at.

# %%
rows = [{"scorer": name, **separation(captions)} for name, captions in scored.items()]
print(markdown(rows, list(rows[0]), 3))
fig, axes = plt.subplots(1, len(scored), figsize=(4 * len(scored), 3), sharey=True, squeeze=False)
for axis, (name, captions) in zip(axes.flat, scored.items(), strict=True):
    right, others = (np.log10(np.maximum(s, 1e-12)) for s in right_and_other_scores(captions))
    axis.hist([right, others], 30, density=True, label=["right", "other"])
    axis.set(title=name, xlabel="log10 score")
axes[0, 0].legend()
plt.show()

# %% [markdown]
# ## Every scorer on one image
#
# Each row a caption, each column a scorer: the crop it takes, with its score; a tick where it is right. The published
# sheet compared eleven scorers on four captions this way.

# %%
name = truth[0].image
sheets = {scorer: [c for c in captions if c.image == name] for scorer, captions in scored.items()}
image = read_image(RUN / "scenes" / "images" / name)
candidates, _ = sweeper.candidates(next(i for i in sweeper.replay.images(detector) if i.name == name), cut)
captions = [c.caption for c in next(iter(sheets.values()))]
fig, axes = plt.subplots(len(captions), len(sheets), figsize=(3 * len(sheets), 1.3 * len(captions)), squeeze=False)
for column, (scorer, sheet) in enumerate(sheets.items()):
    for row, caption in enumerate(sheet):
        best = int(caption.scores_N.argmax())
        axes[row, column].imshow(crop_box(image, candidates.boxes_xyxy[best]))
        mark = "right" if caption.is_right_N[best] else "wrong"
        axes[row, column].set_title(f"{scorer}\n{caption.caption}: {caption.scores_N[best]:.2g}, {mark}", fontsize=7)
        axes[row, column].axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## Which captions are taken for one another

# %%
asked, taken, counts = confusion(next(iter(scored.values())))
plt.figure(figsize=(6, 4.5))
plt.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
plt.xticks(range(len(taken)), taken, rotation=60, ha="right", fontsize=7)
plt.yticks(range(len(asked)), asked, fontsize=7)
plt.xlabel("taken")
plt.ylabel("asked")
plt.colorbar(label="share of the caption")
plt.show()
