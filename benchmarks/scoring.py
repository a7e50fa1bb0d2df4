"""Scoring crops against captions: ours against transformers' zero-shot pipeline, called once a caption as published.

    python -m benchmarks.scoring [ROUNDS] [PICTURES]

A SigLIP of base size (ViT-B/16, 224 px, random weights, the scale of the published fine-tuned one, no bias, so that
random scores lie around one half where errors show), images of 8 crops of 20 to 80 px and 5 captions each. The
published system asked `pipeline("zero-shot-image-classification")` with all crops of an image and one caption at a
time, so its image tower saw each crop five times; ours embeds each crop once and each distinct caption once. Rounds
alternate, both on every core. Exit status 1 when the ratio of medians is below 4.5 or a score differs by more than
1e-5.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from benchmarks.recording import record, take_json
from siglip.build import build_scorer
from siglip.model import make_model, save_checkpoint
from siglip.settings import ScorerConfig

CROPS, CAPTIONS, GOAL, MOST_ERROR = 8, 5, 4.5, 1e-5
COLOURS, KINDS = ("red", "grey", "white", "blue"), ("drone", "missile", "helicopter", "fighter jet", "light aircraft")
BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
ARCHITECTURE = {
    "vision": {**BASE, "image_size": 224, "patch_size": 16},
    "text": {**BASE, "max_position_embeddings": 64, "projection_size": 768},
    "start": {"scale": 118.3125, "bias": 0.0},
}
Scores = list[NDArray[np.floating]]  # of each image (8 crops, 5 captions)


def main() -> None:
    """Measure and print."""
    file = take_json()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    torch.set_num_threads(os.cpu_count() or 1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}, "
          f"{torch.get_num_threads()} threads, {images} images, {rounds} rounds")  # fmt: skip
    asked = [ask(number) for number in range(images)]
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_checkpoint(Path(folder), *make_model(ARCHITECTURE, [f"{c} {k}" for c in COLOURS for k in KINDS]), {})
        scorer = build_scorer(ScorerConfig(weights=folder))
        zero_shot = transformers.pipeline("zero-shot-image-classification", model=folder, batch_size=4)
    raise SystemExit(0 if report(*measure(asked, scorer, zero_shot, rounds), file) else 1)


def ask(number: int) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """One image's crops and captions."""
    rng = np.random.default_rng(number)
    crops = [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(20, 81, (CROPS, 2))]
    kinds = rng.permutation(KINDS)[:CAPTIONS]
    return crops, [f"{COLOURS[int(rng.integers(len(COLOURS)))]} {kind}" for kind in kinds]


def ours(asked: list[Any], scorer: Any) -> Scores:
    """Each distinct caption once, each crop once."""
    distinct = sorted({caption for _, captions in asked for caption in captions})
    texts = dict(zip(distinct, scorer.embed_texts(distinct), strict=True))
    return [scorer.scores(scorer.embed_images(crops), np.stack([texts[c] for c in captions]))
            for crops, captions in asked]  # fmt: skip


def per_caption(asked: list[Any], zero_shot: Any) -> Scores:
    """As published: all crops of an image with one caption at a time."""
    found = []
    for crops, captions in asked:
        images = [Image.fromarray(crop) for crop in crops]
        columns = [zero_shot(images, candidate_labels=[caption], hypothesis_template="{}") for caption in captions]
        found.append(np.asarray([[row[0]["score"] for row in column] for column in columns]).T)
    return found


def measure(asked: list[Any], scorer: Any, zero_shot: Any, rounds: int) -> tuple[dict[str, list[float]], float]:
    """(seconds of each round of both ways, largest difference of a score)."""
    ways = {"ours": lambda: ours(asked, scorer), "per caption": lambda: per_caption(asked, zero_shot)}
    ours(asked[:1], scorer)
    per_caption([(asked[0][0][:1], asked[0][1][:1])], zero_shot)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    error = 0.0
    for number in range(rounds):
        scores = {}
        for name in list(ways) if number % 2 else reversed(list(ways)):
            began = time.perf_counter()
            scores[name] = ways[name]()
            seconds[name].append(time.perf_counter() - began)
        pairs = zip(scores["ours"], scores["per caption"], strict=True)
        error = max(error, *(float(np.abs(a - b).max()) for a, b in pairs))
    return seconds, error


def report(seconds: dict[str, list[float]], error: float, file: Path | None) -> bool:
    """Print medians, their ratio and the error; whether both goals are met."""
    for name, spent in seconds.items():
        print(f"{name}: median {statistics.median(spent):.2f} s of {[round(s, 2) for s in spent]}")
    ratio = statistics.median(seconds["per caption"]) / statistics.median(seconds["ours"])
    print(f"transformers' per-caption pipeline over ours: {ratio:.2f} (wanted >= {GOAL})")
    print(f"largest difference of a score: {error:.2e} (wanted <= {MOST_ERROR})")
    medians = {name.replace(" ", "_") + "_s": statistics.median(spent) for name, spent in seconds.items()}
    record(file, "scoring", {**medians, "ratio": ratio, "largest_error": error})
    return ratio >= GOAL and error <= MOST_ERROR


if __name__ == "__main__":
    main()
