"""One store, one sweep over every axis that models, cuts and choosing have: each point as if run alone."""

import json
import shutil
from itertools import product

import numpy as np
import pytest
import torch

from core.images import encode_image, read_image
from core.records import read_predictions
from core.store import CandidateStore
from eval.sweep import main as sweep
from pipeline.opening import open_pipeline
from pipeline.server.answering import Answering
from pipeline.server.limits import Instance
from siglip.model import make_model, save_checkpoint
from siglip.objective import Form, write_objective

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
    assert len({row["num_hits"] for row in rows}) > 2
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


def knowing(scorer, folder, captions):
    """A copy of a scorer that was trained, so it says, by the vocabulary loss on these captions."""
    shutil.copytree(scorer, folder)
    write_objective(folder, Form.vocabulary, captions)
    return folder


def small(folder, like, captions):
    """A small scorer of our own, untrained, with the policy of another one, that knows these captions."""
    tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model, processor = make_model({
        "model_type": "grounder_small", "start": {"scale": 20, "bias": -1}, "text": {**tower, "projection_size": 16},
        "vision": {**tower, "image_size": 16, "stem_channels": [4, 8], "stem_residuals": 1},
    }, captions)  # fmt: skip
    policy = json.loads((like / "grounder.json").read_text())["policy"]
    save_checkpoint(folder, model, processor, {"template": "{}", "policy": policy})
    write_objective(folder, Form.vocabulary, captions)
    return folder


def test_posterior_points_with_votes_equal_exports_server_and_locate(export, system, tmp_path):
    liked = ["confidence=0.1", "choosing.combine=product", "choosing.confidence_weight=0.1"]
    truth = answers_as_truth(export("made", *liked), tmp_path / "truth.jsonl")
    captions = sorted({p.caption for e in read_predictions(truth) for p in e.predictions})
    known = [*captions[1:], "red kite", "no such thing"]  # one caption is outside the vocabulary
    scorers = {"sigmoid": f"{system}/scorer", "vocabulary": str(knowing(system / "scorer", tmp_path / "known", known))}
    scorers["small"] = str(small(tmp_path / "small", system / "scorer", known))
    keys = {}
    for name, path in scorers.items():
        shared = [f"annotations={truth}", f"candidates={tmp_path}/store", f"scorer={path}"]
        made = export(name, *shared, "sweep.vote_iou=[null,0.5]", "sweep.confidence=[0.1]", "max_det=20")
        keys[name] = json.loads((made / "metrics.json").read_text())["embeddings_key"]
    about = CandidateStore(tmp_path / "store").known("embeddings")
    assert about[keys["vocabulary"]]["calibration"]["known"] == known
    assert "known" not in about[keys["sigmoid"]]["calibration"]
    weights = {"known": 0.9, "own": 0.6, "confidence": 0.02}
    words = [f"posterior.{name}={weight}" for name, weight in weights.items()]
    sweep([f"candidates={tmp_path}/store", f"truth={truth}", "confidence=[0.1]", "vote_iou=[null,0.5]", *words,
           "method=[best,assignment]", "refusal=[null,0.01]", "combine=[posterior,sum]", "run_dir=swept"])  # fmt: skip
    rows = json.loads((tmp_path / "swept/sweep.json").read_text())
    assert len(rows) == 3 * 2 * 3 * 2
    assert len({row["accuracy"] for row in rows}) > 4
    choosing = [f"choosing.{word}" for word in words]
    cases = [
        ("sigmoid", "best", None, 0.5),
        ("vocabulary", "assignment", 0.01, 0.5),
        ("small", "best", None, None),
    ]
    for number, (name, method, refusal, vote_iou) in enumerate(cases):
        more = [] if refusal is None else [f"choosing.refusal={refusal}"]
        more += [] if vote_iou is None else [f"vote_iou={vote_iou}"]
        run = export(f"alone{number}", f"annotations={truth}", f"scorer={scorers[name]}", "confidence=0.1",
                     "max_det=20", *choosing, "choosing.combine=posterior",
                     f"choosing.method={method}", *more)  # fmt: skip
        wanted = {"scorer": keys[name], "method": method, "refusal": refusal, "vote_iou": vote_iou,
                  "combine": "posterior"}  # fmt: skip
        (row,) = [row for row in rows if wanted.items() <= row.items()]
        metrics = json.loads((run / "metrics.json").read_text())
        assert (row["accuracy"], row["num_hits"]) == (metrics["accuracy"], metrics["num_hits"])
        check_other_ways(run, system / "scenes/images")


def check_other_ways(run, images):
    """The server and `locate` answer as the export's file does."""
    pipeline = open_pipeline(str(run))
    for entry in read_predictions(run / "predictions.jsonl"):
        captions = [p.caption for p in entry.predictions]
        data = (images / entry.image).read_bytes()
        asked = [Instance(caption, data, "digest", n) for n, caption in enumerate(captions)]
        (served,) = Answering(pipeline).answer([asked])
        located = pipeline.locate(read_image(images / entry.image), captions).predictions(entry.image, captions)
        for prediction, box, other in zip(entry.predictions, served, located, strict=True):
            assert prediction.box_ltwh == box == other.box_ltwh
            assert prediction.score == pytest.approx(other.score, rel=1e-6)


def test_mirrored_crops_and_denoising_are_the_same_everywhere(export, system, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "noisy").mkdir()
    for path in sorted((system / "scenes/images").iterdir()):
        image = read_image(path)
        noisy = np.clip(image + rng.normal(0, 40, image.shape), 0, 255).astype(np.uint8)
        (tmp_path / "noisy" / path.name).write_bytes(encode_image(noisy, ".png"))
    words = [f"images={tmp_path}/noisy", f"candidates={tmp_path}/store", "confidence=0.1"]
    plain = export("plain", *words)
    run = export("both", *words, "scorer.views=[plain,flip_lr]", "detector.denoise=auto")
    keys = [json.loads((r / "metrics.json").read_text()) for r in (plain, run)]
    assert all(keys[0][name] != keys[1][name] for name in ("detector_key", "embeddings_key"))
    store = CandidateStore(tmp_path / "store")
    assert store.known("embeddings")[keys[1]["embeddings_key"]]["views"] == [["plain", "flip_lr"]]
    assert store.known("proposals")[keys[1]["detector_key"]]["detector"]["denoise"] == "auto"
    check_other_ways(run, tmp_path / "noisy")
