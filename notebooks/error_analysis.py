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
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML, display

from eval.report.contents import Limits, gather
from eval.runs import find_runs
from eval.tables import markdown

contents = gather(find_runs(str(RUN)), "small run", str(RUN / "scenes/images"), None, Limits(0, 4, 8))
print(contents.notes or f"truth: {contents.truth_path}")
print({k: contents.metrics[k] for k in ("accuracy", "ci95", "num_hits", "num_captions")})

# %% [markdown]
# ## What became of every caption
#
# `ceiling` is what a perfect scorer would get on these candidates, `scorer_given_target` what this scorer gets where a
# right candidate was there. Whichever is lower names the stage to work on.

# %%
stages = contents.stages
print({k: round(stages[k], 3) for k in ("chance", "ceiling", "scorer_given_target", "candidates_per_image")})
fates = stages["fates"]
plt.figure(figsize=(7, 2.6))
plt.barh(list(fates), list(fates.values()))
plt.xlabel("captions")
plt.show()

# %% [markdown]
# ## By kind, colour, size and look-alikes

# %%
for by, rows in contents.breakdowns.items():
    print(f"### {by}\n\n{markdown(rows[:8], list(rows[0]), 3)}")

# %% [markdown]
# ## Failures
#
# The true crop, then the candidates' crops by falling score.

# %%
for card in contents.failures[:6]:
    crops = [card["truth_crop"], *(crop["data"] for crop in card["crops"])]
    images = "".join(f'<img src="{data}" style="height:64px;margin:2px">' for data in crops if data)
    display(HTML(f"<b>{escape(card['caption'])}</b>: {card['fate']}, IoU {card['iou']:.2f}<br>{images}"))
