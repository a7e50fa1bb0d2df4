"""Everything but Ultralytics' own checkpoints and trainer works where its package is not installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCKER = "import sys\nsys.modules['ultralytics'] = None\n"  # read by every Python process that finds it first

WORK = """
import sys
from pathlib import Path

root, folder = Path(sys.argv[1]), sys.argv[2]
scenes = root / "scenes"
images, annotations = f"images={scenes}/images", f"annotations={scenes}/annotations.jsonl"

from detector.predict import main as predict
from eval.coco import main as coco
predict([images, annotations, f"detector={folder}", "run_dir=found"])
coco([f"truth={scenes}/annotations.jsonl", "detections=found/detections.json", "run_dir=judged"])

from pipeline.export import main as export
export([annotations, images, f"detector={folder}", f"scorer={root}/scorer", "upscaler=none", "confidence=0.3",
        "scorer.any_policy=true", "tracking.mode=disabled", "run_dir=exported"])

from pipeline.locate import main as locate
locate([f"image={next((scenes / 'images').iterdir())}", "caption=red drone", "pipeline=exported", "run_dir=located"])

from data.yolo import main as yolo
from detector.train import main as train
yolo([annotations, images, "run_dir=tree"])
train(["data=tree", "detector.train.model=d_fine_tiny.yaml", "stages=[{imgsz: 64, epochs: 1}]", "recipe=v3",
       "detector.train.args={workers: 0, plots: false}", "device=cpu", "tracking.mode=disabled", "run_dir=trained"])

from detector.export import main as to_onnx
to_onnx(["weights=trained", "run_dir=traced"])
predict([images, "detector=traced/trained.onnx", "run_dir=by_onnx"])

import base64, json, signal, socket, subprocess, time, urllib.request
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
words = ["-m", "pipeline.server", "pipeline=exported", f"port={port}", "host=127.0.0.1", "run_dir=served"]
server = subprocess.Popen([sys.executable, *words])
image = base64.b64encode(next((scenes / "images").iterdir()).read_bytes()).decode()
body = json.dumps({"instances": [{"caption": "red drone", "b64": image}]}).encode()
for _ in range(600):
    try:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/identify", body, {"Content-Type": "application/json"})
        Path("answer.json").write_bytes(urllib.request.urlopen(asked, timeout=60).read())
        break
    except OSError:
        assert server.poll() is None
        time.sleep(0.1)
server.send_signal(signal.SIGTERM)
server.wait(60)

assert sys.modules["ultralytics"] is None
assert not [name for name in sys.modules if name.startswith("ultralytics.")]
"""


def test_all_but_ultralytics_own_runs_without_its_package(system: Path, yolov6_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCKER)
    paths = os.pathsep.join([str(tmp_path / "blocked"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, *map(str, words)]
        return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=400)

    done = run("-c", WORK, system, yolov6_folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(Path("found/metrics.json").read_text())["num_detections"] > 0
    assert 0 <= json.loads(Path("judged/metrics.json").read_text())["AP50"] <= 1
    assert json.loads(Path("exported/metrics.json").read_text())["num_captions"] > 0
    assert json.loads(Path("located/metrics.json").read_text())["num_candidates"] > 0
    assert json.loads(Path("traced/metrics.json").read_text())["max_confidence_error"] < 1e-3
    assert json.loads(Path("by_onnx/metrics.json").read_text())["num_detections"] > 0
    assert len(json.loads(Path("answer.json").read_text())["predictions"]) == 1
    refused = run(
        "-m", "detector.predict", f"images={system}/scenes/images", "detector.weights=yolov8n", "run_dir=refused"
    )
    assert refused.returncode == 2
    assert "the package ultralytics (AGPL-3.0) is not installed: pip install" in refused.stderr
