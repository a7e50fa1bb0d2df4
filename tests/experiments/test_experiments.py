"""The published log as rows and presets: one to one, composed, distinct, and with the log's own figures."""

import csv
import importlib
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2]
PRESETS = ROOT / "configs" / "experiment"
FIGURES = ("val_accuracy", "own_test_accuracy", "test_accuracy", "speed_score", "AP", "AP50", "recall", "precision")
SCHEMAS = {"pipeline.export": "ExportConfig", "siglip.train": "TrainConfig", "detector.train": "TrainConfig",
           "detector.predict": "PredictConfig"}  # fmt: skip
VALIDATION_CAPTIONS = 5694


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def rows():
    with open(ROOT / "docs" / "experiments.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def with_preset():
    return [row for row in rows() if row["preset"]]


@cache
def header_words(row_id):
    """The command that the preset's own header gives, as words."""
    row = next(r for r in rows() if r["id"] == row_id)
    line = (PRESETS / row["task"] / f"{row_id}.yaml").read_text().splitlines()[1]
    words = shlex.split(line.lstrip("# "))
    assert words[:2] == ["python", "-m"]
    return words[2:]


@cache
def composed(row_id):
    """The row's configuration, by its header's command."""
    from grounder.compose import compose_config, register

    command, *words = header_words(row_id)
    schema = getattr(importlib.import_module(command), SCHEMAS[command])
    return compose_config(register(command, schema), words)


def test_rows_and_presets_match_one_to_one():
    named = [row["preset"] for row in with_preset()]
    assert len(named) == len(set(named))
    files = {f"experiment/{p.parent.name}={p.stem}" for p in PRESETS.rglob("*.yaml")}
    assert set(named) == files
    for row in rows():
        assert bool(row["preset"]) != bool(row["why_none"]), row["id"]
        assert row["preset"] in {"", f"experiment/{row['task']}={row['id']}"}
    assert len(rows()) == len({row["id"] for row in rows()})


def test_presets_are_what_the_table_gives():
    presets = script("experiment_presets")
    for row in presets.read_rows():
        if row["preset"]:
            assert presets.path_of(row).read_text() == presets.preset_of(row, presets.read_rows()), row["id"]


@pytest.mark.parametrize("task", ["grounding", "siglip", "detector"])
def test_every_preset_composes_by_the_command_in_its_header(task):
    for row in with_preset():
        if row["task"] == task:
            assert row["preset"] in header_words(row["id"])
            assert not OmegaConf.missing_keys(composed(row["id"]))


def test_no_two_presets_are_equal():
    seen = {}
    for row in with_preset():
        config = OmegaConf.to_container(composed(row["id"]))
        del config["published"], config["run_dir"]
        key = header_words(row["id"])[0] + repr(config)
        assert key not in seen, (row["id"], seen[key])
        seen[key] = row["id"]


def members_of(config):
    return list(config.detector.members) or [config.detector]


def test_a_grounding_presets_axes_are_its_rows():
    for row in with_preset():
        if row["task"] != "grounding":
            continue
        config = composed(row["id"])
        assert [config.confidence, config.nms_iou] == [float(row["confidence"]), float(row["nms_iou"])]
        assert config.max_det == int(row["max_det"])
        members = members_of(config)
        assert [Path(m.weights).stem for m in members] == row["detector"].split("+")
        for member in members:
            sides = [member.imgsz] if isinstance(member.imgsz, int) else list(member.imgsz)
            assert "x".join(map(str, sides)) == row["imgsz"]
            assert list(member.views) == (["tta"] if row["tta"] == "yes" else ["plain"])
        assert config.detector.slices.mode.name == row["slices"]
        assert config.fusion.method.name == (row["fusion"] or "nms")
        if row["wbf_iou"]:
            assert config.fusion.wbf_iou == float(row["wbf_iou"])
        assert list(config.fusion.weights) == [float(w) for w in row["fusion_weights"].split()]
        if row["upscaler"] == "none":
            assert config.upscaler.method.name == "none"
        else:
            assert config.upscaler.pad.name == row["pad"]
            name = Path(config.upscaler.weights).stem.lower().replace("-", "_")
            assert name == row["upscaler"]
        weights = config.scorer.weights
        assert weights == (f"weights/scorers/{row['scorer_run']}" if row["scorer_run"] != "zero-shot" else weights)
        assert weights
        assert config.scorer.template == "This is a photo of {}."


def test_every_scorer_and_detector_of_a_grounding_row_has_its_training_row():
    trained = {row["id"] for row in rows() if row["task"] == "siglip"}
    detectors = {row["id"].removeprefix("train_") for row in rows() if row["id"].startswith("train_")}
    for row in rows():
        if row["task"] == "grounding":
            assert row["scorer_run"] in trained | {"zero-shot"}
            assert set(row["detector"].split("+")) <= detectors
        if row["task"] == "siglip" and row["continues"]:
            assert row["continues"] in trained
            if row["preset"]:
                assert composed(row["id"]).scorer.weights == f"weights/scorers/{row['continues']}"


def test_training_presets_say_what_their_rows_say():
    for row in with_preset():
        if row["task"] == "siglip":
            config = composed(row["id"])
            assert (config.epochs, config.batch.size, config.recipe.name) == (
                int(row["epochs"]), int(row["batch"]), row["recipe"])  # fmt: skip
            assert (config.lr, config.weight_decay) == (float(row["lr"]), float(row["weight_decay"]))
        elif row["id"].startswith("train"):
            config = composed(row["id"])
            assert [s.imgsz for s in config.stages] == [int(v) for v in row["imgsz"].split()]
            assert [s.epochs for s in config.stages] == [int(v) for v in row["epochs"].split()]
            assert config.recipe.name == row["recipe"]
            assert config.detector.train.blind == row["detector"].endswith("blind")


def test_published_figures_in_presets_are_the_rows():
    for row in with_preset():
        told = composed(row["id"]).published
        if row["task"] == "grounding":
            expected = row["test_accuracy"] or row["val_accuracy"]
            assert (told.metric, told.value) == ("accuracy", float(expected))
            corrected = "" if row["test_accuracy"] else row["val_corrected"]
            assert told.corrected == (float(corrected) if corrected else None)
        elif row["task"] == "siglip":
            users = [r for r in rows() if r["scorer_run"] == row["id"] and r["task"] == "grounding"]
            tested = [float(r["test_accuracy"]) for r in users if r["test_accuracy"]]
            assert told.value == (max(tested) if tested else float(users[0]["val_accuracy"]))
        elif row[told.metric if told.metric in row else "recall"]:
            assert told.value == float(row[told.metric if told.metric in row else "recall"])


def test_the_six_corrected_validation_numbers_are_whole_captions():
    corrected = [row for row in rows() if row["val_corrected"]]
    assert len(corrected) == 6
    for row in corrected:
        hits = float(row["val_corrected"]) * VALIDATION_CAPTIONS
        assert abs(hits - round(hits)) < 1e-9
        wrong = float(row["val_accuracy"]) * VALIDATION_CAPTIONS
        assert abs(wrong - round(wrong)) > 1e-6  # no count of captions gives the published value


def test_the_other_validation_numbers_are_whole_captions():
    for row in rows():
        if row["val_accuracy"] and not row["val_corrected"]:
            hits = float(row["val_accuracy"]) * VALIDATION_CAPTIONS
            assert abs(hits - round(hits)) < 1e-9, row["id"]


def test_a_glob_lists_every_run():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    composed(with_preset()[0]["id"])  # leaves Hydra initialised
    from hydra import initialize_config_module

    GlobalHydra.instance().clear()
    with initialize_config_module("configs", version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        jobs = BasicSweeper.split_arguments(parser.parse_overrides(["experiment/grounding=glob(*)"]), None)[0]
    listed = {word for (word,) in jobs}
    assert listed == {row["preset"] for row in with_preset() if row["task"] == "grounding"}
    assert len(jobs) > 100


def test_the_pairs_that_eval_correlates_are_this_tables():
    """eval/published_pairs.csv from the rows: validation and test of one system, however many rows hold them."""
    made = {}
    for row in rows():
        if row["pair"]:
            pair = made.setdefault(row["pair"], {"val_published": "", "val": "", "test": "", "own_test_v2": ""})
            pair["val_published"] = row["val_accuracy"] or pair["val_published"]
            pair["val"] = row["val_corrected"] or row["val_accuracy"] or pair["val"]
            pair["test"] = row["test_accuracy"] or pair["test"]
            pair["own_test_v2"] = (row["own_test_accuracy"] if row["own_test_set"] == "V2" else "") or pair[
                "own_test_v2"
            ]
    with open(ROOT / "eval" / "published_pairs.csv", newline="") as stream:
        theirs = {row["place"]: {k: row[k] for k in ("val_published", "val", "test", "own_test_v2")}
                  for row in csv.DictReader(stream)}  # fmt: skip
    as_numbers = [{p: {k: float(v) if v else None for k, v in f.items()} for p, f in t.items()} for t in (made, theirs)]
    assert as_numbers[0] == as_numbers[1]


@pytest.fixture(scope="module")
def log(reference_dir):
    return (reference_dir / "muli-stage-approach.md").read_text().splitlines()


def test_every_figure_stands_where_its_row_says(log):
    for row in rows():
        text = "\n".join(log[int(n) - 1] for n in row["place"].split())
        for name in FIGURES:
            if row[name] and row["task"] != "siglip":
                assert re.search(rf"(?<![\d.]){re.escape(row[name])}(?!\d)", text), (row["id"], name)
        if row["confidence"] and row["task"] == "grounding" and "not stated" not in row["note"]:
            title = next(i for i in range(int(row["place"].split()[-1]), 0, -1) if log[i - 1].startswith("####"))
            block = "\n".join(log[title - 1 : int(row["place"].split()[-1])])
            assert re.search(rf"conf ?=? ?{re.escape(row['confidence'])}\b", block), row["id"]


def test_no_figure_of_the_log_is_left_out(log):
    placed = {int(n) for row in rows() for n in row["place"].split()}
    start = next(n for n, line in enumerate(log, 1) if line.startswith("### Evaluation"))
    figure = re.compile(
        r"^- (Accuracy|Speed Score|Score): |val set.*\d\.\d|^(?!- Total).*: 0\.\d{6,}$|own test V\d: |^\| 0\.\d"
    )
    left = [n for n, line in enumerate(log, 1) if n > start and figure.search(line) and n not in placed]
    assert left == []
    assert sum(line.startswith("- Accuracy:") for line in log) == sum(bool(row["test_accuracy"]) for row in rows())


DETECTOR_WORDS = {
    "yolov9c": "YOLOv9c ",
    "yolov9e_best": r"YOLOv9e 0\.995 0\.801 iou",
    "yolov9e_last": r"0\.801 run last\.pt",
}
SCORER_WORDS = {"siglip_large_256": "siglip-large-patch16-256", "siglip_large_384": "siglip-large-patch16-384",
                "siglip_so400m_384": "siglip-so400m", "siglip_so400m_navit": "siglip-so400m-14-384-flash-attn2-navit",
                "clip_vit_l_14": "clip-vit-large-patch14$", "clip_vit_l_14_336": "clip-vit-large-patch14-336",
                "clip_vit_h_14": "CLIP-ViT-H-14", "eva02_clip_l_14": "EVA02-CLIP-L-14$",
                "eva02_clip_l_14_336": "EVA02-CLIP-L-14-336"}  # fmt: skip
UPSCALER_WORDS = {"none": "", "realesr_general_x4v3": r"x4v3|upscal|SAHI|WBF|conf\.?0\.5:|YOLOv6",
                  "realesrgan_x2plus": "x2", "realesrgan_x4plus": r"ESRGANx4(?!v3)"}  # fmt: skip


def test_the_titles_name_what_the_rows_name(log):
    """Detector, overlap, scorer, enlarging and test-time views of every run against the words of its block."""
    for row in rows():
        if row["task"] != "grounding":
            continue
        last = int(row["place"].split()[-1])
        start = next(n for n in range(last, 0, -1) if log[n - 1].startswith("####"))
        title, block = log[start - 1], "\n".join(log[start - 1 : last])
        above = next(line for line in reversed(log[: last - 1]) if line.strip() and not line.startswith("- "))
        for name in row["detector"].split("+"):
            epoch = re.search(r"ep(\d+)", name)
            words = DETECTOR_WORDS.get(name) or rf"(?:epoch ?|and |Epoch ){epoch[1]}\b"
            assert re.search(words, block), row["id"]
            assert ("blind" in name) <= ("blind" in title), row["id"]
        if f"iou={row['nms_iou']}" not in title:
            assert f"iou={row['nms_iou']} " in above, row["id"]
        words = SCORER_WORDS.get(row["scorer"]) or row["scorer"].removesuffix("_fullcc").replace("_", "-")
        assert re.search(words, title) or "titled siglip-large" in row["note"], row["id"]
        told = f"{title}\n{above}\n{log[last - 1]}"
        assert re.search(UPSCALER_WORDS[row["upscaler"]], told) or "enlarging not stated" in row["note"], row["id"]
        assert row["upscaler"] != "none" or not re.search("with upscal|ESRGAN", told), row["id"]
        if row["slices"] == "auto":
            assert re.search(r"(?<!no )\bSAHI", above), row["id"]
        if row["tta"] == "yes" and "not stated" not in row["note"] and " aug" in block:
            assert "no aug" not in above, row["id"]
        assert ("no aug" in above) <= (row["tta"] == "no"), row["id"]
        told = re.search(r"\baug\b|TTA", block) or re.search("views not (stated|told)", row["note"])
        assert row["tta"] == "no" or told, row["id"]
