"""The report's page of 1,000 drawn scenes and 5,700 captions in headless Chromium: its size, its opening, its sliders.

    python benchmarks/report.py [num_images] [boxes] [scenes=DIR]        # default 1000 15

Scenes are drawn (or taken from a run folder of `data.scenes num_images=1000 absent=0.04`), a detector and a scorer
made up (`boxes` candidates an image after NMS), and `eval.report` writes the page. Prints the page's size against
25 MB, the time from asking for it until its cards stand against 1 s, and what a moved setting costs (every answer and
all figures; then its cards too) against 50 ms: medians of 5 openings and of 40 settings. The interval of the accuracy,
by its closed form, stands beside the resampled one, against 0.3 points.
"""

import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import ROOT, record, take_json
from core.pixels import pixel_boxes
from core.stages import View
from core.store import CandidateStore
from core.values import AnnotatedImage, Candidates
from data.captions import read_annotations

SIZE = (1520, 870)
WIDTH = 64  # of an embedding
LIMITS = {"size_mb": 25.0, "open_s": 1.0, "answer_ms": 50.0, "shown_ms": 50.0, "interval_points": 0.3}
WHAT = {"size_mb": "MB of one file", "open_s": "s to open", "answer_ms": "ms for the figures of a moved setting",
        "shown_ms": "ms until its cards stand"}  # fmt: skip
CONFIG = """annotations: {truth}
images: {images}
candidates: {store}
confidence: 0.25
nms_iou: 0.5
max_det: {boxes}
fusion:
  method: nms
sweep:
  confidence: [0.05]
  nms_iou: [0.3, 0.7]
"""


def make_run(folder: Path, num_images: int, boxes: int, scenes: Path | None) -> Path:
    """Draw the scenes, unless they are there, and write an export of them; returns its folder."""
    from data.scenes import main as draw_scenes
    from eval.grounding import main as judge

    if scenes is None:
        scenes = folder / "scenes"
        draw_scenes([f"num_images={num_images}", "absent=0.04", f"run_dir={scenes}"])
    truth, run = scenes / "annotations.jsonl", folder / "run"
    annotated = read_annotations(truth)
    write_store(run / "candidates", annotated, boxes)
    words = {"truth": truth, "images": scenes / "images", "store": run / "candidates", "boxes": boxes}
    (run / "config.yaml").write_text(CONFIG.format(**words))
    about = {"id": "x", "command": "pipeline.export", "state": "done", "started": "2026-01-01T00:00:00", "wall_s": 1.0}
    (run / "run.json").write_text(json.dumps(about))
    keys = {"detector_key": "detector", "embeddings_key": "none-scorer"}
    (run / "metrics.json").write_text(json.dumps(keys))
    answer_all(run, annotated, boxes)
    judge([f"truth={truth}", f"predictions={run}/predictions.jsonl", f"run_dir={run}/grounding"])
    return run


def write_store(folder: Path, annotated: list[AnnotatedImage], boxes: int) -> None:
    """Boxes near the targets and strays, three of each so that NMS has its work, and a crop's vector for each."""
    draw, store = np.random.default_rng(0), CandidateStore(folder)
    captions = sorted({a.caption for entry in annotated for a in entry.annotations})
    vectors = _unit(draw.normal(size=(len(captions), WIDTH)))
    place = {caption: n for n, caption in enumerate(captions)}
    digests = {entry.image: f"{number:032x}" for number, entry in enumerate(annotated)}
    for entry in annotated:
        targets = np.asarray(entry.targets, np.float64).reshape(-1, 4)
        strays = np.concatenate([draw.uniform(0, [1400, 780], (boxes - len(targets), 2)),
                                 draw.uniform(20, 90, (boxes - len(targets), 2))], axis=1)  # fmt: skip
        shown = [next(a.caption for a in entry.annotations if t in a.boxes_ltwh) for t in entry.targets]
        meant = np.concatenate([vectors[[place[c] for c in shown]], _unit(draw.normal(size=(len(strays), WIDTH)))])
        ltwh = np.repeat(np.concatenate([targets, strays]), 3, axis=0)
        ltwh += draw.normal(0, 2.5, ltwh.shape)
        xyxy = np.concatenate([ltwh[:, :2], ltwh[:, :2] + np.maximum(ltwh[:, 2:], 3)], axis=1).astype(np.float32)
        sure = np.concatenate([draw.beta(5, 2, 3 * len(targets)), draw.beta(2, 3, 3 * len(strays))])
        digest = digests[entry.image]
        store.write_views("detector", digest, [View("yolo/plain", Candidates(xyxy, sure.astype(np.float32)))])
        pixels, first = np.unique(pixel_boxes(xyxy, *SIZE), axis=0, return_index=True)
        seen = _unit(np.repeat(meant, 3, axis=0)[first] + draw.normal(0, 0.12, (len(first), WIDTH)))
        store.add_embeddings("none-scorer", digest, pixels.astype(np.int32), seen)
    store.describe("proposals", "detector", {})
    calibration = {"scale": 20.0, "bias": -8.0, "sigmoid": True}
    store.describe("embeddings", "none-scorer", {"scorer_key": "scorer", "calibration": calibration})
    store.add_texts("scorer", captions, vectors)
    store.write_set(digests, dict.fromkeys(digests, SIZE))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def answer_all(run: Path, annotated: list[AnnotatedImage], boxes: int) -> None:
    """The answers of the plain setting, by the sweep's own way."""
    from core.answering import answer
    from core.choosing import ChoosingConfig
    from core.cuts import CutConfig
    from core.records import write_predictions
    from eval.sweep.replay import Replay

    replay, cut, predictions = Replay(CandidateStore(run / "candidates"), annotated), CutConfig(0.25, 0.5, boxes), []
    for entry, image, crops in zip(annotated, replay.images("detector"), replay.scores("none-scorer"), strict=True):
        found = image.candidates(cut)
        told = answer(found, crops.of(found.boxes_xyxy), len(image.captions), ChoosingConfig())
        predictions += told.predictions(entry.image, image.captions)
    write_predictions(run / "predictions.jsonl", predictions)


def measure(page: Path, profile: Path) -> dict[str, Any]:
    """Open the page five times and move its settings forty times."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import Browser

    opened, moved, shown = [], [], []
    with Browser(profile) as browser:
        browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        for _ in range(5):
            browser.open("about:blank")
            began = time.perf_counter()
            browser.open(f"file://{page}", "document.documentElement.dataset.ready && document.querySelector('.card')")
            opened.append(time.perf_counter() - began)
        captions = int(browser.ask("document.querySelector('#count').textContent").split()[0])
        for number in range(40):
            name, value = ("confidence", 0.1 + number / 60) if number % 2 else ("weight", number / 50)
            browser.ask(f"""(() => {{ const slider = document.querySelector("#settings").elements["{name}"];
                slider.value = {value}; slider.dispatchEvent(new Event("input")); }})()""")
            time.sleep(0.3)
            moved.append(float(browser.ask("document.querySelector('#figures').parentElement.dataset.ms")))
            shown.append(float(browser.ask("document.documentElement.dataset.shownMs")))
        browser.ask("location.hash = '#/'; new Promise((r) => setTimeout(r, 200))")
        told = browser.ask("document.querySelector('[data-figure=accuracy] td:last-child').textContent")
    figures: dict[str, Any] = {"captions": captions, "size_mb": page.stat().st_size / 1e6}
    return figures | {
        "open_s": statistics.median(opened),
        "answer_ms": statistics.median(moved),
        "worst_ms": max(moved),
        "shown_ms": statistics.median(shown),
        "interval": [float(v) for v in re.findall(r"[\d.]+", told)],
    }


def main() -> None:
    """Make the run, write its report, open it, move its settings."""
    file = take_json()
    given = [word for word in sys.argv if word.startswith("scenes=")]
    sys.argv = [word for word in sys.argv if word not in given]
    num_images, boxes = (int(v) for v in (sys.argv[1:] + ["1000", "15"][len(sys.argv) - 1 :]))
    from eval.report import main as write_report

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = Path(given[-1].removeprefix("scenes=")).resolve() if given else None
        run = make_run(folder, num_images, boxes, scenes)
        began = time.perf_counter()
        write_report([f"run={run}", f"run_dir={folder}/report", "png=false"])
        took = time.perf_counter() - began
        figures = measure(folder / "report/report.html", folder / "profile")
        resampled = json.loads((run / "grounding/metrics.json").read_text())["ci95"]
    print(
        f"{num_images} images, {figures['captions']:.0f} captions, {boxes} candidates an image; written in {took:.0f} s"
    )
    for name, what in WHAT.items():
        print(f"{figures[name]:.2f} {what}, {figures[name] / LIMITS[name]:.2f} of the limit of {LIMITS[name]:g}")
    apart = max(abs(a - 100 * b) for a, b in zip(figures.pop("interval"), resampled, strict=True))
    print(f"{apart:.2f} points between the closed interval and the resampled one, limit {LIMITS['interval_points']}")
    figures["interval_points"] = apart
    record(file, "report", {"images": num_images, "boxes": boxes, "written_s": took, **figures})


if __name__ == "__main__":
    main()
