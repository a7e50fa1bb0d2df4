"""Several and none through the models: an export, the server and locate answer the same, by id and with lists."""

import base64
import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from core.choosing import ChoosingConfig, Select
from core.records import read_predictions
from data.captions import read_annotations
from pipeline.locate import main as locate
from pipeline.server.answering import Answering
from pipeline.server.service import Service, make_app


@pytest.fixture
def mixed(system, tmp_path):
    """The scenes' annotations with several, none and ids mixed in, and a caption twice under two ids."""
    lines = [json.loads(line) for line in (system / "scenes/annotations.jsonl").read_text().splitlines()]
    first, second = (line["annotations"] for line in lines[:2])
    boxes = [entry["bbox"] for entry in first[:2]]
    lines[0]["annotations"] = [
        {"caption": first[0]["caption"], "boxes": boxes},
        {"caption": "orange drone", "boxes": []},
    ]
    second[0] |= {"id": "a"}
    second.append({"caption": second[0]["caption"], "bbox": second[1]["bbox"], "id": "b"})
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_an_export_answers_several_and_none_and_its_metrics_judge_them(export, mixed):
    run = export("several", f"annotations={mixed}", "choosing.select=above", "choosing.above=0")
    truth, entries = read_annotations(mixed), read_predictions(run / "predictions.jsonl")
    assert [[(p.caption, p.id) for p in e.predictions] for e in entries] == [
        [(a.caption, a.id) for a in image.annotations] for image in truth
    ]
    found = [p.found for e in entries for p in e.predictions]
    assert max(map(len, found)) > 1
    for boxes in found:  # the scorer's probabilities are the merit here
        assert [f.score for f in boxes] == sorted((f.score for f in boxes), reverse=True)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["num_captions_several"], metrics["num_captions_none"]) == (1, 1)
    assert metrics["none_accuracy"] == 0
    silent = export("silent", f"annotations={mixed}", f"candidates={run}/candidates", "choosing.absent_below=2")
    metrics = json.loads((silent / "metrics.json").read_text())
    assert (metrics["none_accuracy"], metrics["target_accuracy"], metrics["accuracy"]) == (1, 0, 0)


def test_locate_prints_and_writes_every_box_of_the_answer(export, system, tmp_path, capfd):
    run = export("all", "choosing.select=above", "choosing.above=0")
    capfd.readouterr()
    image = system / "scenes/images/image_0.jpg"
    locate([str(image), "grey drone", f"pipeline={run}", "runners_up=0", f"run_dir={tmp_path}/found"])
    told = json.loads((tmp_path / "found/located.json").read_text())
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("grey drone: [")]
    assert len(lines) == len(told["boxes"]) == len(told["candidates"]) > 1
    assert "bbox" not in told


def test_the_server_answers_a_list_of_boxes_an_instance(pipeline, system, monkeypatch):
    image = base64.b64encode((system / "scenes/images/image_0.jpg").read_bytes()).decode()
    body = json.dumps({"instances": [{"caption": c, "b64": image} for c in ("grey drone", "red missile")]})
    answers = {}
    for above in (0.0, 2.0):
        monkeypatch.setattr(pipeline.config, "choosing", ChoosingConfig(select=Select.above, above=above))
        with TestClient(make_app(Service(Answering(pipeline).answer, fallback_box=None))) as client:
            answers[above] = client.post("/identify", content=body).json()["predictions"]
    assert answers[2.0] == [[], []]
    from core.images import read_image

    monkeypatch.setattr(pipeline.config, "choosing", ChoosingConfig(select=Select.above, above=0.0))
    alone = pipeline.locate(read_image(system / "scenes/images/image_0.jpg"), ["grey drone", "red missile"])
    for told, prediction in zip(answers[0.0], alone.predictions("", ["grey drone", "red missile"]), strict=True):
        np.testing.assert_allclose(told, [f.box_ltwh for f in prediction.found], atol=1e-3)
    monkeypatch.setattr(pipeline.config, "choosing", ChoosingConfig(absent_below=2.0))
    with TestClient(make_app(Service(Answering(pipeline).answer, fallback_box=None))) as client:
        assert client.post("/identify", content=body).json() == {"predictions": [[], []]}
