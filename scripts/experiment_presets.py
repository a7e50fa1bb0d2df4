"""Write configs/experiment/ from docs/experiments.csv, one preset a row that has one.

    python scripts/experiment_presets.py

The table is the one source of the published log's figures; the suite fails when the presets differ from what it gives.
"""

import csv
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "experiments.csv"
PRESETS = ROOT / "configs" / "experiment"
TEMPLATE = "This is a photo of {}."  # what the published inference put around every caption
WIDTH = 118

Row = dict[str, str]

COMMANDS = {
    "grounding": "pipeline.export experiment/grounding={id} annotations=FILE images=DIR device=cuda",
    "siglip": "siglip.train experiment/siglip={id} run_dir=runs/{id}",
    "own_test": "detector.predict experiment/detector={id} images=DIR annotations=FILE",
    "train": "detector.train experiment/detector={id} data=YOLO_TREE run_dir=runs/{name}",
}

# Scorers without a preset of their own in configs/scorer: where their authors publish them.
HUB = {
    "clip_vit_l_14": "openai/clip-vit-large-patch14",
    "clip_vit_l_14_336": "openai/clip-vit-large-patch14-336",
    "clip_vit_h_14": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "eva02_clip_l_14": "timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",
    "eva02_clip_l_14_336": "timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k",
    "metaclip_b16_400m": "facebook/metaclip-b16-400m",
    "metaclip_b16_fullcc": "facebook/metaclip-b16-fullcc2.5b",
    "metaclip_b32_400m": "facebook/metaclip-b32-400m",
    "metaclip_b32_fullcc": "facebook/metaclip-b32-fullcc2.5b",
    "metaclip_l14_400m": "facebook/metaclip-l14-400m",
    "metaclip_l14_fullcc": "facebook/metaclip-l14-fullcc2.5b",
    "metaclip_h14_fullcc": "facebook/metaclip-h14-fullcc2.5b",
}


def read_rows() -> list[Row]:
    """The table's rows."""
    with open(TABLE, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def command_of(row: Row) -> str:
    """The command that runs a row's preset."""
    kind = row["id"].partition("_")[0] if row["task"] == "detector" else row["task"]
    kind = "own_test" if kind == "own" else kind
    return "python -m " + COMMANDS[kind].format(id=row["id"], name=row["id"].removeprefix("train_"))


def published_of(row: Row, rows: list[Row]) -> dict[str, Any]:
    """The figure a preset carries: the test's before validation's, the corrected one beside a wrong one."""
    place = f"log lines {', '.join(row['place'].split())}"
    if row["task"] == "siglip":
        judged = [r for r in rows if r["scorer_run"] == row["id"] and r["task"] == "grounding" and r["test_accuracy"]]
        if not judged:
            judged = [r for r in rows if r["scorer_run"] == row["id"] and r["task"] == "grounding"]
            return published_of(judged[0], rows) | {"split": f"validation, as part of {judged[0]['id']}"}
        best = max(judged, key=lambda r: float(r["test_accuracy"]))
        return published_of(best, rows) | {"split": f"the hidden test, as part of {best['id']}"}
    if row["task"] == "detector":
        metric = "AP50" if row["id"].startswith("own_test") and row["AP50"] else "AP"
        if row["id"].startswith("own_test") and not row["AP50"]:
            published = {"metric": "map50_over_truth", "value": float(row["recall"]),
                    "corrected": float(row["recall_corrected"])}  # fmt: skip
        else:
            published = {"metric": metric, "value": float(row[metric])} if row[metric] else {}
        split = "own test" if row["id"].startswith("own_test") else "validation"
        return {**published, "split": split, "place": place} if published else {}
    if row["test_accuracy"]:
        return {"value": float(row["test_accuracy"]), "split": "the hidden test", "place": place}
    published = {"value": float(row["val_accuracy"]), "split": "validation", "place": place}
    return published | ({"corrected": float(row["val_corrected"])} if row["val_corrected"] else {})


def figures_of(row: Row) -> str:
    """Every figure of a row in words."""
    names = {"test_accuracy": "accuracy {} on the hidden test", "speed_score": "speed score {}",
             "val_accuracy": "accuracy {} on validation", "val_corrected": "rightly {}",
             "own_test_accuracy": f"accuracy {{}} on own test {row['own_test_set']}", "AP50": "AP50 {}", "AP": "AP {}",
             "recall": "recall over truth {}", "recall_corrected": "rightly {}",
             "precision": "precision {}"}  # fmt: skip
    return ", ".join(text.format(row[name]) for name, text in names.items() if row[name])


def detector_values(row: Row) -> dict[str, Any]:
    """The `detector` settings of a row that runs checkpoints."""
    imgsz: Any = [int(side) for side in row["imgsz"].split("x")] if "x" in row["imgsz"] else int(row["imgsz"])
    views = {"views": ["tta"]} if row["tta"] == "yes" else {}
    names = row["detector"].split("+")
    members = [{"weights": f"weights/detectors/{name}.pt", "imgsz": imgsz} | views for name in names]
    if len(members) > 1:
        return {"members": members}
    slices = {"slices": {"mode": "auto", "imgsz": 896}} if row["slices"] == "auto" else {}
    return members[0] | slices


def cut_values(row: Row) -> dict[str, Any]:
    """The cuts of a row."""
    cut: dict[str, Any] = {"confidence": float(row["confidence"]), "nms_iou": float(row["nms_iou"])}
    cut["max_det"] = int(row["max_det"])
    if row["fusion"]:
        cut["fusion"] = {"method": row["fusion"]}
    if row["wbf_iou"]:
        cut["fusion"]["wbf_iou"] = float(row["wbf_iou"])
    if row["fusion_weights"]:
        cut["fusion"]["weights"] = [float(w) for w in row["fusion_weights"].split()]
    return cut


def grounding_values(row: Row) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Defaults and values of one row of `pipeline.export`."""
    defaults, values = [], {**cut_values(row), "detector": detector_values(row)}
    if row["upscaler"] != "none":
        defaults.append({"override /upscaler": row["upscaler"]})
        values["upscaler"] = {"pad": row["pad"], "swap_channels": True}
    scorer: dict[str, Any] = {"template": TEMPLATE}
    if row["scorer_run"] != "zero-shot":
        scorer["weights"] = f"weights/scorers/{row['scorer_run']}"
        scorer["any_policy"] = True  # its crops were enlarged by another rule, or not at all
    elif row["scorer"] in HUB:
        scorer["weights"] = HUB[row["scorer"]]
        if row["scorer"].startswith("eva02"):
            scorer["family"] = "open_clip"
    else:
        defaults.append({"override /scorer": row["scorer"]})
    if row["id"].endswith("_half"):
        scorer["precision"] = "float16"
    return defaults, values | {"scorer": scorer}


def siglip_values(row: Row) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Defaults and values of one row of `siglip.train`."""
    defaults = [{"override /scorer": row["scorer"]}, {"override /recipe": row["recipe"]}]
    values: dict[str, Any] = {"crops": f"datasets/{row['crops']}", "epochs": int(row["epochs"]),
                              "lr": float(row["lr"]), "weight_decay": float(row["weight_decay"]),
                              "batch": {"size": int(row["batch"]), "micro": 12},  # a device's share in the log
                              "loss": {"same_caption": "negative", "negatives": "micro"}}  # fmt: skip
    if row["frozen"]:
        values["freeze"] = {row["frozen"]: True}
    if row["continues"]:
        values["scorer"] = {"weights": f"weights/scorers/{row['continues']}"}
    return defaults, values


def training_values(row: Row) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Defaults and values of one row of `detector.train`."""
    model = row["detector"].partition("_")[0]
    blind = row["detector"].endswith("blind")
    defaults = [{"override /detector": f"{model}_blind" if blind else model}, {"override /recipe": row["recipe"]}]
    sizes, epochs = [[int(v) for v in row[name].split()] for name in ("imgsz", "epochs")]
    schedule = {1600: 80, 1536: 200}.get(sizes[-1])
    stages: list[dict[str, Any]] = [{"imgsz": s, "epochs": e} for s, e in zip(sizes, epochs, strict=True)]
    for number, stage in enumerate(stages):
        if schedule:
            stage["schedule_epochs"] = schedule
        if number:
            stage |= {"state": "kept", "args": {"mosaic": 0.0, "batch": 1}}
    return defaults, {"stages": stages}


def preset_of(row: Row, rows: list[Row]) -> str:
    """The text of a row's preset."""
    if row["task"] == "grounding":
        defaults, values = grounding_values(row)
    elif row["task"] == "siglip":
        defaults, values = siglip_values(row)
    elif row["id"].startswith("train"):
        defaults, values = training_values(row)
    else:
        defaults, values = [], {"detector": detector_values(row), "cut": cut_values(row)}
    if published := published_of(row, rows):
        values["published"] = published
    head = ["@package _global_", command_of(row)]
    figures = figures_of(row) or f"{published.get('value')} on {published.get('split')}" if published else ""
    lines = ", ".join(row["place"].split())
    head.append(f"Published: {figures + '; ' if figures else ''}lines {lines} of the log (docs/experiments.csv).")
    if row["note"]:
        head.append(f"{row['note'][0].upper()}{row['note'][1:]}.")
    body: dict[str, Any] = ({"defaults": defaults} if defaults else {}) | values
    text = yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=WIDTH)
    return "".join(f"# {line}\n" for line in head) + text


def path_of(row: Row) -> Path:
    """Where a row's preset lies."""
    return PRESETS / row["task"] / f"{row['id']}.yaml"


def main() -> None:
    """Write every preset and remove those without a row."""
    rows = read_rows()
    wanted = {path_of(row): preset_of(row, rows) for row in rows if row["preset"]}
    for path in PRESETS.rglob("*.yaml"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(wanted)} presets of {len(rows)} rows in {PRESETS}")


if __name__ == "__main__":
    main()
