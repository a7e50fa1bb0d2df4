"""Made-up runs for reports: exports answered by the plain way, judged by the real commands, with images."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from browser import Browser

from core.answering import Seen, answer, embeddings_of
from core.choosing import ChoosingConfig
from core.cuts import CutConfig, candidates_of
from core.images import write_image
from core.pixels import pixel_boxes
from core.records import Detection, write_detections, write_predictions
from data.captions import read_annotations
from eval.coco import main as judge_boxes
from eval.grounding import main as judge_answers
from eval.sweep import main as sweep

SETTINGS = "confidence: {c.confidence}\nnms_iou: {c.nms_iou}\nmax_det: {c.max_det}\nfusion:\n  method: nms\n"
WORDS = ("red jet", "blue jet", "grey drone", "white helicopter", "green missile")


def record(folder, command, config, metrics, history=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)
    about = {"id": "x", "command": command, "state": "done", "started": "2026-01-01T00:00:00", "wall_s": 3.2}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    if history is not None:
        (folder / "history.jsonl").write_text(history)


def draw_images(annotated, folder, size):
    draw = np.random.default_rng(0)
    for entry in annotated:
        write_image(folder / entry.image, draw.integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


def mix(truth):
    """Give some first captions several targets, and some images a caption for nothing."""
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    for number, line in enumerate(lines):
        entries = line["annotations"]
        if number % 2 and len(entries) > 1:
            entries[0] = {"caption": entries[0]["caption"], "boxes": [e["bbox"] for e in entries[:3]]}
        free = [word for word in WORDS if word not in {e["caption"] for e in entries}]
        if number % 3 == 0 and free:
            entries.append({"caption": free[0], "boxes": []})
    truth.write_text("".join(json.dumps(line) + "\n" for line in lines))


def export(made_up, store, truth, folder, images, cut, choosing=None, more=""):
    """Write an export's folder as its command would, answered from the store, and judge it into `grounding/`."""
    choosing, annotated = choosing or ChoosingConfig(), read_annotations(truth)
    digests, texts = store.find_digests([t.image for t in annotated]), store.read_texts("scorerkey")
    calibration = store.known("embeddings")["none-scorerkey"]["calibration"]
    predictions = []
    for entry in annotated:
        found = candidates_of(store.read_views("detectorkey", digests[entry.image]), cut)
        pixels = pixel_boxes(found.boxes_xyxy, *made_up.size)
        embeddings = embeddings_of(pixels, *store.read_embeddings("none-scorerkey", digests[entry.image]))
        captions = [a.caption for a in entry.annotations]
        scores = Seen(found, embeddings).scores(captions, texts, calibration)
        predictions += answer(found, scores, len(captions), choosing).predictions(entry.image, captions)
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.jsonl", predictions)
    chosen = {name: getattr(choosing, name) for name in ("confidence_weight", "absent_below", "above", "refusal")}
    chosen |= {name: getattr(choosing, name).value for name in ("method", "combine", "select")}
    config = f"annotations: {truth}\nimages: {images}\ncandidates: {store.folder}\n{SETTINGS.format(c=cut)}{more}"
    config += f"choosing: {json.dumps(chosen)}\n"
    keys = {"detector_key": "detectorkey", "embeddings_key": "none-scorerkey"}
    record(folder, "pipeline.export", config, {"accuracy": 0.5, "num_captions": 9, **keys})
    judge_answers([f"truth={truth}", f"predictions={folder}/predictions.jsonl", f"run_dir={folder}/grounding"])
    return folder


@pytest.fixture
def chain(made_up, tmp_path):
    """A chain's folders: an export, its detector and scorer judged, a sweep, and a scorer's training."""
    root = tmp_path / "chain"
    store, truth = made_up.store(root / "export", num_images=14)
    annotated = read_annotations(truth)
    draw_images(annotated, tmp_path / "images", made_up.size)
    folder = export(made_up, store, truth, root / "export", tmp_path / "images", CutConfig(0.4, 0.5, 20))
    found = []
    for entry in annotated:
        view = store.read_views("detectorkey", store.find_digests([entry.image])[entry.image])[0].candidates
        for box, score in zip(view.boxes_xyxy.tolist(), view.confidence, strict=True):
            found.append(Detection(entry.image, (box[0], box[1], box[2] - box[0], box[3] - box[1]), float(score)))
    write_detections(folder / "detections.json", found, {t.image: t.line for t in annotated})
    (folder / "grounding").rename(root / "grounding")
    history = "".join(json.dumps({"step": n, "loss": 3 / n}) + "\n" for n in range(1, 9))
    record(root / "scorer", "siglip.train", "lr: 0.1\n", {"loss": 0.4}, history + '{"step": 9, "lo')
    judge_boxes([f"truth={truth}", f"detections={folder}/detections.json", f"run_dir={root}/coco"])
    sweep([f"candidates={store.folder}", f"truth={truth}", "confidence=[0.1,0.4]", "nms_iou=[0.3,0.5]",
           f"run_dir={root}/sweep"])  # fmt: skip
    return root


@pytest.fixture(scope="session")
def runs():
    """How runs are made up: `record`, `export`, `mix` and `draw_images`."""
    return SimpleNamespace(record=record, export=export, mix=mix, draw_images=draw_images)


class ReportPage(Browser):
    """A report in the browser."""

    def visit(self, path, hash=""):
        """Load a report anew; hash: the part of its address that says what it shows."""
        self.call("Runtime.enable")
        self.call("Page.navigate", url="about:blank")
        self.open(f"file://{path}{hash}", "document.documentElement.dataset.ready")

    def go(self, hash):
        """Follow a link of the page."""
        self.ask(f"location.hash = {json.dumps(hash)}; new Promise(requestAnimationFrame)")

    def put(self, name, value):
        """Move a setting, as a hand would: the number for what a slider cannot tell exactly."""
        ids = {True: "_number", False: ""}[isinstance(value, float)]
        self.ask(f"""(() => {{
            const field = document.querySelector("#settings").elements[{json.dumps(name + ids)}];
            if (field.type === "checkbox") {{ if (field.checked !== {json.dumps(value)}) field.click(); return; }}
            field.value = {json.dumps(str(value))};
            field.dispatchEvent(new Event("change"));
        }})()""")

    def figures(self):
        """The figures of the setting that is looked at, unrounded, by name."""
        return self.ask("""Object.fromEntries([...document.querySelectorAll("#figures tr")].map((row) =>
            [row.dataset.figure, [...row.querySelectorAll("data")].map((d) => Number(d.value)).at(-1)]))""")

    def cards(self):
        """The captions' numbers of the cards that are there."""
        return self.ask("[...document.querySelectorAll('.card')].map((c) => Number(c.dataset.caption))")

    def count(self):
        """How many captions are selected."""
        return int(self.ask("document.querySelector('#count').textContent").split()[0])

    def lines(self):
        """The selection as the page copies it."""
        self.ask("document.querySelector('#copy').click()")
        return [json.loads(line) for line in self.ask("document.querySelector('#lines').value").split("\n")[:-1]]

    def press(self, key):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def complaints(self):
        """What the page threw or was refused."""
        return [e for e in self.events if e["method"] in {"Runtime.exceptionThrown", "Log.entryAdded"}]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser for reports."""
    with ReportPage(tmp_path_factory.mktemp("browser")) as opened:
        opened.call("Log.enable")
        opened.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        yield opened
