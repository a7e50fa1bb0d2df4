"""One store, one sweep over every axis that models, cuts and choosing have: each point as if run alone."""

import json
from itertools import product

from core.records import read_predictions
from eval.sweep import main as sweep

SLICES = "detector.slices={mode: size, size: [96, 96], imgsz: 96}"
SIZES = (96, 160)
VIEWS = {"*/plain": ["detector.views=[plain]"], "*/[pt]*": ["detector.views=[plain,tta]"],
         "*": ["detector.views=[plain,tta]", SLICES]}  # fmt: skip
ENLARGED = {"none": ["upscaler=none", "scorer.any_policy=true"], "standin": []}


def answers_as_truth(run, path):
    """An annotation file with the answers of one setting as true boxes, so that others hit some and miss some."""
    lines = [
        {"image": e.image, "annotations": [{"caption": p.caption, "bbox": list(p.box_ltwh)} for p in e.predictions]}
        for e in read_predictions(run / "predictions.jsonl")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_points_over_every_axis_equal_exports_alone(export, tmp_path):
    truth = answers_as_truth(export("made", "detector.imgsz=160"), tmp_path / "truth.jsonl")
    shared = [f"annotations={truth}", f"candidates={tmp_path}/store"]
    keys = {}
    for imgsz, (name, enlarging) in product(SIZES, ENLARGED.items()):
        run = export(
            f"{name}{imgsz}", *shared, *enlarging, *VIEWS["*"], f"detector.imgsz={imgsz}",
            "sweep.views=['*/plain','*/[pt]*','*']", "sweep.fusion=[wbf]", "sweep.confidence=[0.1,0.3]",
            "sweep.max_det=[20]")  # fmt: skip
        metrics = json.loads((run / "metrics.json").read_text())
        keys[imgsz, name] = metrics["detector_key"], metrics["embeddings_key"]
    assert len({k for k, _ in keys.values()}) == len({k for _, k in keys.values()}) == 2
    sweep([f"candidates={tmp_path}/store", f"truth={truth}", "confidence=[0.1,0.3]", "fusion=[wbf]", "run_dir=swept",
           "views=['*/plain','*/[pt]*','*']", "method=[best,assignment]", "confidence_weight=[0,0.5]",
           "combine=[sum,product]"])  # fmt: skip
    rows = json.loads((tmp_path / "swept/sweep.json").read_text())
    assert len(rows) == 2 * 2 * 3 * 2 * 2 * 2 * 2
    assert {row["imgsz"] for row in rows} == {"96", "160"}
    assert len({row["upscaler"] for row in rows}) == 2
    assert len({row["num_hits"] for row in rows}) > 3
    alone = [
        (160, "standin", "*/plain", 0.3, "best", 0, "sum"), (96, "standin", "*/[pt]*", 0.1, "best", 0.5, "product"),
        (160, "none", "*", 0.3, "assignment", 0, "product"), (96, "none", "*/plain", 0.1, "assignment", 0.5, "sum"),
    ]  # fmt: skip
    for number, (imgsz, name, views, confidence, method, weight, combine) in enumerate(alone):
        run = export(
            f"alone{number}", f"annotations={truth}", *ENLARGED[name], f"detector.imgsz={imgsz}",
            *VIEWS[views], f"confidence={confidence}", "max_det=20", "fusion.method=wbf", f"choosing.method={method}",
            f"choosing.confidence_weight={weight}", f"choosing.combine={combine}")  # fmt: skip
        detector, scorer = keys[imgsz, name]
        wanted = {"detector": detector, "scorer": scorer, "views": views, "confidence": confidence, "method": method,
                  "confidence_weight": weight, "combine": combine}  # fmt: skip
        (row,) = [row for row in rows if wanted.items() <= row.items()]
        assert row["accuracy"] == json.loads((run / "metrics.json").read_text())["accuracy"]


def test_points_over_checkpoints_fusion_weights_pads_and_scorers_equal_exports_alone(export, system, tmp_path):
    members = f"[{{weights: {system}/detector.pt}}, {{weights: {system}/other_detector.pt}}]"
    both = ["detector.weights=null", f"detector.members={members}"]
    truth = answers_as_truth(export("made", *both, "fusion.method=wbf", "confidence=0.1"), tmp_path / "truth.jsonl")
    scorers = {"first": [], "other": [f"scorer={system}/other_scorer"]}
    pads = {pad: [f"upscaler.pad={pad}", "scorer.any_policy=true"] for pad in ("none", "ten")}
    shared = [f"annotations={truth}", f"candidates={tmp_path}/store", "max_det=20"]
    lists = ["confidence=[0.1,0.3]", "fusion=[wbf]", "wbf_iou=[0.4,0.7]", "weights=[[1,1],[1,0.2]]"]
    asked, keys = [f"sweep.{words}" for words in lists], {}
    for (scorer, chosen), (pad, padding) in product(scorers.items(), pads.items()):
        run = export(f"{scorer}_{pad}", *shared, *both, *chosen, *padding, *asked)
        metrics = json.loads((run / "metrics.json").read_text())
        keys[scorer, pad] = metrics["embeddings_key"]
    ensemble = metrics["detector_key"]
    sweep([f"candidates={tmp_path}/store", f"truth={truth}", f"detectors=['{ensemble}']", "max_det=[20]", *lists,
           "run_dir=swept"])  # fmt: skip
    rows = json.loads((tmp_path / "swept/sweep.json").read_text())
    assert len(rows) == 2 * 2 * 2 * 2 * 2
    assert len({row["num_hits"] for row in rows}) > 3
    alone = [("first", "none", 0.1, 0.4, [1, 0.2]), ("other", "ten", 0.3, 0.7, [1, 1]),
             ("other", "none", 0.1, 0.7, [1, 0.2])]  # fmt: skip
    for number, (scorer, pad, confidence, iou, weights) in enumerate(alone):
        run = export(
            f"alone{number}", shared[0], "max_det=20", *both, *scorers[scorer], *pads[pad], "fusion.method=wbf",
            f"confidence={confidence}", f"fusion.wbf_iou={iou}", f"fusion.weights={weights}")  # fmt: skip
        wanted = {"scorer": keys[scorer, pad], "confidence": confidence, "wbf_iou": iou,
                  "weights": " ".join(str(float(w)) for w in weights)}  # fmt: skip
        (row,) = [row for row in rows if wanted.items() <= row.items()]
        assert row["accuracy"] == json.loads((run / "metrics.json").read_text())["accuracy"]
