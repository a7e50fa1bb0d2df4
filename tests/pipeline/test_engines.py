"""engine=onnx and engine=openvino beside torch: the same boxes and scores, from graphs that are made once."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.boxes import iou_matrix
from core.images import read_image
from detector.settings import DetectorConfig
from pipeline import engines
from pipeline.build import build_pipeline
from pipeline.settings import Engine, PipelineConfig
from siglip.settings import Precision, ScorerConfig


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A cache folder of this module."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield Path(os.environ["XDG_CACHE_HOME"]) / "grounder" / "graphs"
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def settings(system, engine):
    return PipelineConfig(
        detector=DetectorConfig(weights=str(system / "detector.pt")), upscaler=None, engine=engine,
        scorer=ScorerConfig(weights=str(system / "scorer"), any_policy=True), confidence=0.3,
    )  # fmt: skip


def asked(pipeline, images):
    """Each image's boxes before NMS and confidences, and the crops' scores against two captions."""
    boxes = [view.candidates for views in pipeline.propose(images) for view in views]
    crops = [image[10:40, 20:60] for image in images]
    return boxes, pipeline.scorer.scores(pipeline.embed_crops(crops), pipeline.embed_texts(["red drone", "grey jet"]))


def test_onnx_gives_torch_s_boxes_and_scores(system, graphs, capfd):
    compare(Engine.onnx, system, graphs)
    assert "stays with torch" not in capfd.readouterr().out


def test_openvino_gives_torch_s_boxes_and_scores(system, graphs):
    """In a process of its own: a process that had run many other tests ended without a word after this one."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("not run: openvino absent")
    asked_apart = [sys.executable, __file__, str(system), str(graphs)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(asked_apart, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stays with torch" not in done.stdout


def compare(engine, system, graphs):
    images = [read_image(path) for path in sorted((system / "scenes/images").iterdir())]
    torch_s = build_pipeline(settings(system, Engine.torch))
    ours = build_pipeline(settings(system, engine))
    (boxes, scores), (wanted, wanted_scores) = asked(ours, images), asked(torch_s, images)
    near = np.concatenate([
        iou_matrix(one.boxes_xyxy, other.boxes_xyxy).max(1) for one, other in zip(wanted, boxes, strict=True)
    ])  # fmt: skip
    assert len(near) > 100
    assert (near >= 0.99).mean() >= 0.99
    for one, other in zip(wanted, boxes, strict=True):
        np.testing.assert_allclose(np.sort(one.confidence)[-50:], np.sort(other.confidence)[-50:], atol=0.01)
    np.testing.assert_allclose(scores, wanted_scores, atol=0.01)
    # a store never mixes what two engines said
    assert ours.detector.key != torch_s.detector.key
    assert ours.scorer.key != torch_s.scorer.key
    made = {path: path.stat().st_mtime_ns for path in graphs.rglob("*.onnx")}
    assert len(made) == 3
    again = build_pipeline(settings(system, engine))
    assert {path: path.stat().st_mtime_ns for path in graphs.rglob("*.onnx")} == made
    assert (again.detector.key, again.scorer.key) == (ours.detector.key, ours.scorer.key)
    assert json.loads(next(graphs.glob(f"detector-*.{engine.name}.json")).read_text())["share"] >= 0.99


def test_a_damaged_graph_is_made_anew(system, graphs):
    config = settings(system, Engine.onnx)
    config.scorer = None
    key = build_pipeline(config).detector.key
    (graph,) = graphs.glob("detector-*/*.onnx")
    graph.write_bytes(graph.read_bytes()[:-100])
    assert build_pipeline(config).detector.key == key


def test_a_stage_that_does_not_agree_stays_with_torch_and_says_so(system, graphs, monkeypatch, capfd):
    monkeypatch.setattr(engines, "SAME_SHARE", 1.01)
    monkeypatch.setattr(engines, "SAME_EMBEDDING", -1.0)
    ours, torch_s = (build_pipeline(settings(system, engine)) for engine in (Engine.onnx, Engine.torch))
    told = capfd.readouterr().out
    assert "detector: " in told
    assert "detector.pt stays with torch, not engine=onnx: 100.0 % of its boxes agree" in told
    assert "scorer stays with torch, not engine=onnx: embeddings lie up to" in told
    assert (ours.detector.key, ours.scorer.key) == (torch_s.detector.key, torch_s.scorer.key)


def test_an_export_says_its_engine_and_answers_alike(export, exported, graphs):
    run = export("by_onnx", "engine=onnx")
    for ours, theirs in zip(
        *((f / "predictions.jsonl").read_text().splitlines() for f in (run, exported)), strict=True
    ):
        for one, other in zip(json.loads(ours)["annotations"], json.loads(theirs)["annotations"], strict=True):
            np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.05)
            assert abs(one["score"] - other["score"]) < 1e-3
    assert "engine: onnx\n" in (run / "config.yaml").read_text()


def test_the_lock_has_openvino_without_the_package_that_calls_home():
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text()
    assert "\nopenvino==" in lock
    assert "openvino-telemetry" not in lock


def test_refusals(system, graphs):
    config = settings(system, Engine.onnx)
    config.scorer.precision = Precision.bfloat16
    with pytest.raises(Exception, match="engine: onnx computes in float32, scorer.precision is bfloat16"):
        build_pipeline(config)
    config = settings(system, Engine.openvino)
    config.device = "cuda"
    with pytest.raises(Exception, match="engine: openvino is for a CPU; on cuda torch computes"):
        build_pipeline(config)


if __name__ == "__main__":
    compare(Engine.openvino, *map(Path, sys.argv[1:]))
