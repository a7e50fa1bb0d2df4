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
# # Does validation rank runs as the test does?
#
# The published log chose by a clean validation part and was judged on noisy test images. Here are all its pairs, the
# wrong values corrected (`docs/experiments.csv`), and what rank correlations with intervals make of them.

# %%
from tempfile import mkdtemp

import matplotlib.pyplot as plt

from eval.correlation import CorrelationConfig, correlations, finding, read_pairs
from eval.tables import markdown

pairs = [row for row in read_pairs(None) if row["val"] and row["test"]]
plt.figure(figsize=(6.5, 4.5))
for kind in sorted({row["kind"] for row in pairs}):
    some = [row for row in pairs if row["kind"] == kind]
    plt.scatter([float(r["val"]) for r in some], [float(r["test"]) for r in some], label=kind)
plt.xlabel("validation, corrected")
plt.ylabel("hidden test (1,000 captions)")
plt.legend()
plt.show()

# %% [markdown]
# ## By kind of scorer
#
# A tau whose interval holds 0 has not been shown to rank anything. Pooling the kinds makes a high tau from the gap
# between them (Simpson's paradox), so each is looked at apart.

# %%
rows = correlations(CorrelationConfig(run_dir=mkdtemp(), metrics=["val_published", "val"]))
print(markdown(rows, ["metric", "runs", "pairs", "kendall", "kendall_low", "kendall_high", "agreement"], 2))
for sentence in finding(rows, "test"):
    print(sentence)

# %% [markdown]
# Your own runs: write a CSV with a column per metric and one for the target, and
# `python -m eval.correlation pairs=FILE target=COLUMN` says which local number to believe.
