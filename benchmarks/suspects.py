"""Spoil a set's labels of which an export exists, and see how many of them `eval.suspects` puts first.

    python benchmarks/suspects.py EXPORT [share] [seed]        # default share 0.05, seed 0

EXPORT: run folder of a pipeline.export over clean labels. Of all captions a share is swapped with another of its
image, a share of the targets gets a box shifted to IoU 0.4, and a share is dropped with its caption; no label is
spoiled twice. No model runs: the export's candidates are read as they are, and its answers to what is left.
The first suspects are twice as many as were spoiled; a suspect counts for a spoiled label of its own kind:
`other target` for a swapped caption, `loose box` for a shifted box, `no label` for a dropped target.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recording import record, take_json
from eval.answers.outcomes import iou_ltwh

SIGNS = {"swapped": {"other target", "contradicted"}, "shifted": {"loose box"}, "dropped": {"no label"}}
SHIFTED_IOU = 0.4
Line = dict[str, Any]
Spoiled = list[tuple[str, str, list[float]]]  # how, image, box as it stands in the spoiled file (dropped: as it was)


def shifted(box: list[float], draw: np.random.Generator) -> list[float]:
    """The box moved along a random direction until it overlaps its old place by 0.4."""
    angle = draw.uniform(0, 2 * np.pi)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        moved = (box[0] + middle * box[2] * np.cos(angle), box[1] + middle * box[3] * np.sin(angle), box[2], box[3])
        low, high = (middle, high) if iou_ltwh((box[0], box[1], box[2], box[3]), moved) > SHIFTED_IOU else (low, middle)
    return [float(v) for v in moved]


def spoil(lines: list[Line], share: float, seed: int) -> Spoiled:
    """Spoil labels in place and tell which; a swap spoils two captions."""
    draw = np.random.default_rng(seed)
    places = [(n, m) for n, line in enumerate(lines) for m in range(len(line["annotations"]))]
    places = [places[k] for k in draw.permutation(len(places))]
    wanted, told, used, dropped = round(share * len(places)), list[tuple[str, str, list[float]]](), set(), []
    for n, m in places:
        entries = lines[n]["annotations"]
        swapped = sum(how == "swapped" for how, *_ in told)
        other = next((k for k in range(len(entries)) if k != m and (n, k) not in used), None)
        if (n, m) in used:
            continue
        if swapped < wanted and other is not None:
            entries[m]["caption"], entries[other]["caption"] = entries[other]["caption"], entries[m]["caption"]
            told += [("swapped", lines[n]["image"], entries[k]["bbox"]) for k in (m, other)]
            used |= {(n, m), (n, other)}
        elif sum(how == "shifted" for how, *_ in told) < wanted:
            entries[m]["bbox"] = shifted(entries[m]["bbox"], draw)
            told.append(("shifted", lines[n]["image"], entries[m]["bbox"]))
            used.add((n, m))
        elif len(dropped) < wanted:
            told.append(("dropped", lines[n]["image"], entries[m]["bbox"]))
            used.add((n, m))
            dropped.append((n, m))
    for n, m in sorted(dropped, reverse=True):
        del lines[n]["annotations"][m]
    return told


def spoiled_run(export: Path, folder: Path, share: float, seed: int) -> Spoiled:
    """A run folder like the export, over spoiled labels that lie in it as `truth.jsonl`."""
    from omegaconf import OmegaConf

    settings = OmegaConf.load(export / "config.yaml")
    lines = [json.loads(line) for line in Path(settings.annotations).read_text().splitlines()]
    told = spoil(lines, share, seed)
    folder.mkdir(parents=True)
    (folder / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    kept = {line["image"]: {entry["caption"] for entry in line["annotations"]} for line in lines}
    answers = [json.loads(line) for line in (export / "predictions.jsonl").read_text().splitlines()]
    for line in answers:
        line["annotations"] = [e for e in line["annotations"] if e["caption"] in kept[line["image"]]]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers))
    settings.candidates = str(settings.candidates or (export / "candidates").resolve())
    settings.annotations = str(folder / "truth.jsonl")
    OmegaConf.save(settings, folder / "config.yaml")
    for name in ("run.json", "metrics.json"):
        shutil.copy(export / name, folder / name)
    return told


def is_found(label: tuple[str, str, list[float]], row: Line) -> bool:
    """Whether a suspect is of this label, and for the reason that it was spoiled."""
    how, image, box = label
    if row["image"] != image or row["kind"] not in SIGNS[how]:
        return False
    left, top, width, height = box
    return iou_ltwh((left, top, width, height), tuple(row["box_ltwh"])) > (0.5 if how == "dropped" else 0.99)


def judge(told: Spoiled, rows: list[Line]) -> dict[str, float]:
    """Precision and recall among the first suspects, twice as many as were spoiled, of each kind and of all."""
    first = rows[: 2 * len(told)]
    figures: dict[str, float] = {"num_spoiled": len(told), "num_first": len(first)}
    for how, kinds in {"": set.union(*SIGNS.values()), **SIGNS}.items():
        labels = [label for label in told if how in {"", label[0]}]
        hits = sum(any(is_found(label, row) for row in first) for label in labels)
        suspected = len(first) if not how else sum(row["kind"] in kinds for row in first)
        name = how or "all"
        of = {"spoiled": len(labels), "found": hits, "suspected": suspected}
        of |= {"recall": hits / max(1, len(labels)), "precision": hits / max(1, suspected)}
        figures |= {f"{name}_{part}": value for part, value in of.items()}
    return figures


def main() -> None:
    """Print the figures, and keep them where `json=FILE` says."""
    from eval.suspects import main as find

    kept = take_json()
    export, share, seed = Path(sys.argv[1]), float((sys.argv[2:] or ["0.05"])[0]), int((sys.argv[3:] or ["0"])[0])
    with tempfile.TemporaryDirectory() as name:
        told = spoiled_run(export, Path(name) / "run", share, seed)
        most = 2 * len(told)
        find([f"runs=[{name}/run]", f"most={most}", f"run_dir={name}/suspects", "tracking.mode=disabled"])
        figures = judge(told, json.loads((Path(name) / "suspects/suspects.json").read_text()))
    for how in ("all", *SIGNS):
        of = {part: figures[f"{how}_{part}"] for part in ("found", "spoiled", "suspected", "recall", "precision")}
        counts = f"{of['found']:3.0f} of {of['spoiled']:3.0f} spoiled labels among {of['suspected']:3.0f} suspects"
        print(f"{how:8} {counts}: recall {of['recall']:.2f}, precision {of['precision']:.2f}")
    record(kept, "suspects", figures)


if __name__ == "__main__":
    main()
