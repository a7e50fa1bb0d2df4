# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Error analysis of a run
#
# Which stage loses which captions. The same in one page: `python -m eval.report run=RUN`.

# %%
import sys

sys.path.insert(0, "../scripts")
from small_run import small_run

RUN = small_run()  # GROUNDER_RUN=DIR looks at another run, such as that of `make demo`

# %%
import matplotlib.pyplot as plt
import numpy as np

from core.images import read_image
from core.pixels import crop_box
from eval.answered import answered_run
from eval.answers.measures import grounding_metrics
from eval.attribution import FATES, attribution, breakdown
from eval.runs import find_runs
from eval.tables import markdown

run, lacking = answered_run(find_runs(str(RUN)), "small run")
assert run is not None, lacking
metrics = grounding_metrics(run.outcomes)
print(run.notes or f"truth: {run.truth_path}")
print({k: metrics[k] for k in ("accuracy", "ci95", "num_hits", "num_captions")})

# %% [markdown]
# ## What became of every caption
#
# `ceiling` is what a perfect scorer would get on these candidates, `scorer_given_target` what this scorer gets where a
# right candidate was there. Whichever is lower names the stage to work on.

# %%
stages = attribution(run.cases)
print({k: round(stages[k], 3) for k in ("chance", "ceiling", "scorer_given_target", "candidates_per_image")})
fates = stages["fates"]
plt.figure(figsize=(7, 2.6))
plt.barh(list(fates), list(fates.values()))
plt.xlabel("captions")
plt.show()

# %% [markdown]
# ## By kind, colour, size and look-alikes

# %%
for by in ("kind", "colour", "size", "look-alikes"):
    rows = breakdown(run.cases, by)
    print(f"### {by}\n\n{markdown(rows[:8], list(rows[0]), 3)}")

# %% [markdown]
# ## Failures
#
# The true crop, then the candidates' crops by falling score.

# %%
wrong = [case for case in run.cases if case.fate != "right"]
for case in wrong[:6]:
    image = read_image(RUN / "scenes/images" / case.outcome.image)
    left, top, width, height = case.outcome.truths_ltwh[0]
    worth = case.candidates.confidence if case.scores is None else case.scores
    best = case.candidates.boxes_xyxy[np.argsort(-np.asarray(worth), kind="stable")[:5]]
    _, axes = plt.subplots(1, 6, figsize=(8, 1.5))
    for place, axis in enumerate(axes):
        axis.axis("off")
        if place <= len(best):
            axis.imshow(crop_box(image, best[place - 1] if place else (left, top, left + width, top + height)))
    axes[0].set_title(f"{case.outcome.caption}: {case.fate}, {FATES[case.fate][1]}", loc="left", fontsize=8)
    plt.show()
