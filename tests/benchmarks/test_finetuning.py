"""benchmarks/finetuning.py from its first step to its table, with a small scorer, a small detector and few scenes."""

import json
import runpy
import sys
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]


def save_scorer(folder, captions):
    from siglip.model import make_model, save_checkpoint

    tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    architecture = {"vision": {**tower, "image_size": 16, "patch_size": 8},
                    "text": {**tower, "projection_size": 16, "max_position_embeddings": 64}}  # fmt: skip
    torch.manual_seed(0)
    model, processor = make_model(architecture, captions)
    save_checkpoint(folder, model, processor, {"template": "{}", "policy": "none"})


def save_detector(folder):
    from detector.models.yolov6 import YoloV6Model
    from detector.yolov6.graph import Graph
    from detector.yolov6.network import YoloV6

    torch.manual_seed(0)
    network = YoloV6(Graph(num_classes=1, width=0.0625, depth=0.1))
    for part in (network.detect.cls_preds, network.detect.reg_preds):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, 0, 0.5)
    YoloV6Model(network.eval(), 160).write(folder)


def test_three_ways_are_trained_asked_and_compared(tmp_path, monkeypatch, capsys):
    from data.crops import main as crop
    from data.scenes import main as draw

    draw(["num_images=3", "size=[160,96]", "target_size=[40,28]", "workers=1", "run_dir=scenes"])
    crop(["annotations=scenes/annotations.jsonl", "images=scenes/images", "run_dir=crops"])
    lines = Path("scenes/annotations.jsonl").read_text().splitlines()
    save_scorer(tmp_path / "scorer", sorted({a["caption"] for line in lines for a in json.loads(line)["annotations"]}))
    save_detector(tmp_path / "six")
    words = ["crops=crops", "annotations=scenes/annotations.jsonl", "images=scenes/images", "detector=six",
             "run_dir=compared", "export=confidence=0.0011 tracking.mode=disabled",
             "train=scorer=scorer batch.size=8 batch.micro=4 epochs=1 probe=false tracking.mode=disabled"]  # fmt: skip
    benchmark = runpy.run_path(str(ROOT / "benchmarks/finetuning.py"), run_name="finetuning")
    monkeypatch.setattr(sys, "argv", ["finetuning.py", *words])
    benchmark["main"]()
    assert capsys.readouterr().out.count("$ siglip.train") == 3
    found = json.loads(Path("compared/results.json").read_text())
    assert [Path(row["run"]).name for row in found["runs"]] == [
        f"judged_{training}_{choosing}" for training in ("published", "upright", "vocabulary")
        for choosing in ("published", "new")
    ]  # fmt: skip
    assert len(found["differences"]) == 5
    written = [Path("compared", f"scorer_{way}", "last/objective.json").exists() for way in ("upright", "vocabulary")]
    assert written == [False, True]
    done = yaml.safe_load(Path("compared/scorer_vocabulary/config.yaml").read_text())
    assert (done["recipe"]["name"], done["loss"]["negatives"]) == ("augv2_upright", "batch")
    benchmark["main"]()
    assert "$" not in capsys.readouterr().out  # nothing is done twice
