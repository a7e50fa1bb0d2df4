"""What a training leaves: folders that Hugging Face opens, cards of what was done, mismatches refused, the hub."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from PIL import Image

from siglip import evaluate, train
from siglip.build import build_scorer
from siglip.settings import ScorerConfig
from siglip.train.publish.card import SETTINGS

WORDS = ["batch.size=12", "lr=1e-3", "epochs=2", "recipe=none", "probe=false", "tracking.mode=disabled"]


@pytest.fixture
def trained(make_crops, checkpoint, tmp_path):
    """The folder of a run with a validation, in a template of its own."""
    settings = json.loads((checkpoint / "grounder.json").read_text())
    (checkpoint / "grounder.json").write_text(
        json.dumps(settings | {"template": "see {}.", "base": "google/some-siglip"})
    )
    crops, held_out = make_crops(), make_crops("held_out", images=4, seed=1)
    train.main([f"crops={crops}", f"val_crops={held_out}", f"scorer={checkpoint}", *WORDS, f"run_dir={tmp_path}/run"])
    return tmp_path / "run"


def card_of(folder):
    """(front matter, rows of the tables) of a model card."""
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return yaml.safe_load(front), {name: value for name, value in rows if name != "what"}, text


def setting(config, name):
    for part in name.split("."):
        config = config[part]
    return config


def test_last_and_best_are_complete(trained):
    """The zero-shot pipeline opens both and says what our scorer says; the cards tell what the run's records hold."""
    from transformers import pipeline

    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (int(h), int(w), 3), np.uint8) for h, w in rng.integers(5, 40, (4, 2))]
    captions = ["red drone", "green drone", "blue drone"]
    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    epochs = {entry["epoch"]: entry for entry in history if "epoch" in entry}
    metrics, record = (json.loads((trained / f"{n}.json").read_text()) for n in ("metrics", "run"))
    config = yaml.safe_load((trained / "config.yaml").read_text())
    figures = {"last": metrics, "best": epochs[metrics["best_epoch"]]}
    for name in ("last", "best"):
        folder = trained / name
        scorer = build_scorer(ScorerConfig(weights=str(folder)))
        scores = scorer.scores(scorer.embed_images(crops), scorer.embed_texts(captions))
        zero_shot = pipeline("zero-shot-image-classification", model=str(folder))
        for n, crop in enumerate(crops):
            told = zero_shot(Image.fromarray(crop), captions, hypothesis_template="see {}.")
            by_caption = {entry["label"]: entry["score"] for entry in told}
            np.testing.assert_allclose(scores[n], [by_caption[c] for c in captions], rtol=1e-4, atol=1e-9)
        front, rows, text = card_of(folder)
        assert front["pipeline_tag"] == "zero-shot-image-classification"
        assert front["base_model"] == "google/some-siglip"  # where the checkpoint descends from, not its folder
        assert "hypothesis_template='see {}.'" in text
        assert all(str(told) in text for told in (record["id"], record["commit"], record["versions"]["torch"]))
        numbers = {k: v for k, v in figures[name].items() if isinstance(v, int | float) and k != "step"}
        assert set(rows) == set(SETTINGS) | set(numbers)
        for row, value in rows.items():
            expected = numbers[row] if row in numbers else setting(config, row)
            if isinstance(expected, float):
                assert float(value) == pytest.approx(expected, rel=1e-4), row
            else:
                assert value == ("none" if expected is None else str(expected)), row


def test_what_the_folder_descends_from_is_passed_on(trained):
    settings = json.loads((trained / "last/grounder.json").read_text())
    assert settings["base"] == "google/some-siglip"
    assert settings["template"] == "see {}."
    assert settings["policy"] == "none"


CHANGES = {
    "size": lambda p: p.update(size={"height": 24, "width": 24}),
    "resample": lambda p: p.update(resample=2),
    "rescale_factor": lambda p: p.update(rescale_factor=1 / 256),
    "mean": lambda p: p.update(image_mean=[0.5, 0.5, 0.4]),
    "std": lambda p: p.update(image_std=[0.5, 0.25, 0.5]),
    "steps": lambda p: p.update(do_normalize=False),
}


def test_every_mismatch_with_the_training_is_refused(trained, tmp_path, refused):
    """In siglip.evaluate and siglip.train: the template, and each field of the preprocessing."""
    last, crops = trained / "last", tmp_path / "crops"
    commands = [
        (evaluate.main, [f"crops={crops}", "run_dir=judged"]),
        (train.main, [f"crops={crops}", *WORDS, "run_dir=again"]),
    ]
    for main, words in commands:
        told = refused(main, [*words, f"scorer={last}", "scorer.template='{}'"])
        assert f"scorer.template: '{{}}', but {last} was trained with 'see {{}}.'" in told

    path = last / "processor_config.json"
    (last / "manifest.json").unlink()  # which would tell of any change, meant or not
    kept = path.read_text()
    stored = json.loads((last / "grounder.json").read_text())["preprocessing"]
    assert set(stored) == set(CHANGES)
    for name, change in CHANGES.items():
        values = json.loads(kept)
        change(values["image_processor"])
        path.write_text(json.dumps(values))
        for main, words in commands if name == "mean" else commands[:1]:
            assert f"{last}: its image processor has {name} " in refused(main, [*words, f"scorer={last}"])
    path.write_text(kept)
    evaluate.main([f"crops={crops}", f"scorer={last}", "run_dir=judged"])


def test_a_shorter_text_tower_is_read_at_its_own_length_and_its_card_names_no_pipeline(
    make_crops, architecture_words, tmp_path
):
    words = [w.replace("max_position_embeddings:64", "max_position_embeddings:16") for w in architecture_words]
    train.main([f"crops={make_crops('short')}", *words, *WORDS, "run_dir=short_run"])
    scorer = build_scorer(ScorerConfig(weights="short_run"))
    assert scorer.towers.text_inputs(["red drone"], "{}")["input_ids"].shape == (1, 16)
    card = (tmp_path / "short_run/last/README.md").read_text()
    assert "build_scorer(ScorerConfig(weights=FOLDER))" in card
    assert "pipeline" not in card


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hugging Face hub that an upload needs; what it was given lies in `files`."""

    files: ClassVar[dict[str, bytes]] = {}
    objects: ClassVar[dict[str, bytes]] = {}
    created: ClassVar[list[dict]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        where = self.path.partition("?")[0]
        if where == "/api/repos/create":
            self.created.append(json.loads(body))
            self.answer({"url": f"http://{self.headers['Host']}/somebody/scorer", "id": "somebody/scorer"})
        elif where == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif where == "/api/models/somebody/scorer/preupload/main":
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                 "shouldIgnore": False} for f in json.loads(body)["files"]
            ]  # fmt: skip
            self.answer({"files": modes})
        elif where == "/somebody/scorer.git/info/lfs/objects/batch":
            place = f"http://{self.headers['Host']}/put"
            given = json.loads(body)["objects"]
            self.answer({"objects": [
                {**o, "actions": {"upload": {"href": f"{place}/{o['oid']}"}}} for o in given
            ], "transfer": "basic"})  # fmt: skip
        elif where == "/api/models/somebody/scorer/commit/main":
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.files[value["path"]] = self.objects[value["oid"]]
            self.answer(
                {
                    "commitOid": "0" * 40,
                    "commitUrl": f"http://{self.headers['Host']}/somebody/scorer/commit/0",
                    "success": True,
                }
            )
        else:
            self.send_error(404)

    def do_PUT(self):
        self.objects[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({})

    def do_GET(self):
        self.answer({"id": "somebody/scorer", "siblings": []})

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    """A hub of this machine's own, at which huggingface_hub's client is pointed."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage speaks a protocol of its own
    for name in ("files", "objects", "created"):
        monkeypatch.setattr(Hub, name, type(getattr(Hub, name))())
    yield server
    server.shutdown()


def test_push_to_hub_by_setting(hub, make_crops, checkpoint, tmp_path, capsys):
    words = [f"crops={make_crops()}", f"scorer={checkpoint}", *WORDS, "push_to_hub=scorer"]
    train.main([*words, f"run_dir={tmp_path}/run"])
    assert "is at http://127.0.0.1" in capsys.readouterr().out
    assert [c["name"] for c in Hub.created] == ["scorer"]
    kept = {p.name: p.read_bytes() for p in Path(tmp_path / "run/last").iterdir()}
    assert Hub.files == kept
    hub.shutdown()
    hub.server_close()  # or its socket would still take a call that nobody answers
    train.main([*words, "push_to_hub=owner/other", f"run_dir={tmp_path}/more"])  # nobody answers: the run ends well
    assert "owner/other was not pushed" in capsys.readouterr().err
    assert (tmp_path / "more/metrics.json").is_file()
