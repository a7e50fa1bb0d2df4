"""siglip.evaluate: true crops, detected crops, and both agreeing where the detector is perfect."""

import json

import numpy as np
import pytest

from core.errors import InputError
from core.images import write_image
from core.stages import View
from core.store import CandidateStore, image_digest
from core.values import Candidates
from data.crops import main as cut_crops
from eval.figures import HEADLINES, SCORER_VALIDATION
from eval.live.page import ANSWERS
from siglip.evaluate import main
from siglip.ranking import Opened

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}


@pytest.fixture
def scenes(tmp_path):
    """`a.jsonl`, `images/`: five noisy images with four coloured boxes each."""
    rng, lines = np.random.default_rng(0), []
    for number in range(5):
        image = rng.integers(0, 256, (80, 120, 3)).astype(np.uint8)
        entry = {"image": f"image_{number}.png", "annotations": []}
        for place, (word, colour) in enumerate(COLOURS.items()):
            left, top, width, height = 4 + 28 * place, 10, *map(int, rng.integers(12, 24, 2))
            image[top : top + height, left : left + width] = colour
            entry["annotations"].append({"caption": f"{word} drone", "bbox": [left, top, width, height]})
        write_image(tmp_path / "images" / entry["image"], image)
        lines.append(json.dumps(entry))
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    cut_crops(["annotations=a.jsonl", "images=images", "run_dir=crops"])
    return [json.loads(line) for line in lines]


def store_candidates(folder, scenes, move=0, lose=0, settings=True):
    """A run folder as pipeline.export leaves it, of a detector that found the true boxes but for the last `lose`."""
    from core.images import read_image

    store, digests = CandidateStore(folder / "candidates"), {}
    for entry in scenes:
        digest = digests[entry["image"]] = image_digest(read_image(f"images/{entry['image']}"))
        kept = entry["annotations"][: len(entry["annotations"]) - lose]
        boxes = np.asarray([[x + move, y, x + move + w, y + h] for x, y, w, h in (a["bbox"] for a in kept)], np.float32)
        store.write_views(
            "d0", digest, [View("plain", Candidates(boxes.reshape(-1, 4), np.ones(len(boxes), np.float32)))]
        )
    store.describe("proposals", "d0", {"detector": "perfect"})
    store.write_set(digests, {name: (120, 80) for name in digests})
    if settings:
        (folder / "config.yaml").write_text("annotations: a.jsonl\nimages: images\nconfidence: 0.5\nmax_det: 20\n")
    return folder


def evaluate(*words):
    main([*map(str, words), "run_dir=run"])
    with open("run/metrics.json") as stream:
        return json.load(stream)


def test_a_perfect_detector_ranks_as_the_true_crops_do(checkpoint, scenes, tmp_path):
    run = store_candidates(tmp_path / "export", scenes)
    told = evaluate("crops=crops", f"scorer={checkpoint}", f"candidates={run}")
    assert told["detected_ceiling"] == 1.0
    assert told["num_candidates"] == told["num_crops"] == 20
    assert told["detected_ranking_accuracy"] == told["detected_accuracy"] == told["ranking_accuracy"]
    assert told["chance"] == 0.25
    again = evaluate(f"scorer={checkpoint}", f"candidates={run / 'candidates'}", "detectors=d")
    assert again == {name: value for name, value in told.items() if name in again}


def test_lost_boxes_lower_the_ceiling_and_moved_ones_hit_nothing(checkpoint, scenes, tmp_path):
    told = evaluate(f"scorer={checkpoint}", f"candidates={store_candidates(tmp_path / 'some', scenes, lose=1)}")
    assert told["detected_ceiling"] == 0.75
    assert told["detected_accuracy"] == pytest.approx(0.75 * told["detected_ranking_accuracy"])
    told = evaluate(f"scorer={checkpoint}", f"candidates={store_candidates(tmp_path / 'off', scenes, move=14)}")
    assert told["detected_ceiling"] == told["detected_accuracy"] == 0.0


def test_training_validates_on_detected_crops(make_crops, scenes, architecture_words, tmp_path):
    from siglip.train import main as train

    run = store_candidates(tmp_path / "export", scenes)
    words = ["best_metric=detected_accuracy", "batch.size=8", "epochs=2", "lr=1e-2", "patience=2", *architecture_words]
    train([f"crops={make_crops('set')}", f"candidates={run}", *words, "tracking.mode=disabled", "run_dir=trained"])
    metrics = json.loads((tmp_path / "trained/metrics.json").read_text())
    assert metrics["best_detected_ceiling"] == 1.0
    assert "detected_accuracy" in {*HEADLINES["siglip.train"]} & {*SCORER_VALIDATION} & metrics.keys()
    assert metrics["best_detected_accuracy"] >= metrics["detected_accuracy"]
    shown = json.loads((tmp_path / "trained/live_images.json").read_text())[ANSWERS]
    assert {type(one["is_right"]) for one in shown} == {bool}  # the page has detected crops with answers
    best = evaluate(f"scorer={tmp_path / 'trained/best'}", f"candidates={run}")
    assert best["detected_accuracy"] == metrics["best_detected_accuracy"]


def test_detected_crops_that_were_enlarged(make_crops, checkpoint, scenes, architecture_words, tmp_path):
    """Each enlarged crop stands for its own candidate, in training and after it; others are refused."""
    from siglip.candidates import main as cut
    from siglip.train import main as train
    from upscale.crops import main as enlarge

    run = store_candidates(tmp_path / "export", scenes)
    cut([f"candidates={run}", "run_dir=cut"])
    enlarge(["crops=cut", "upscaler=nearest", "run_dir=cut_x4"])
    enlarge([f"crops={make_crops('set')}", "upscaler=nearest", "run_dir=set_x4"])
    same = f"scorer={checkpoint}", f"candidates={run}"
    told = evaluate(*same)
    assert evaluate(*same, "candidate_crops=cut") == told
    enlarged = f"candidates={run}", "candidate_crops=cut_x4"
    words = ["best_metric=detected_accuracy", "batch.size=8", "epochs=1", "lr=1e-2", *architecture_words]
    train(["crops=set_x4", *enlarged, *words, "tracking.mode=disabled", "run_dir=trained"])
    metrics = json.loads((tmp_path / "trained/metrics.json").read_text())
    best = evaluate("scorer=trained/best", *enlarged)
    assert best["detected_accuracy"] == metrics["best_detected_accuracy"]
    assert best["num_candidates"] == told["num_candidates"]
    with pytest.raises(SystemExit):
        evaluate("scorer=trained/best", f"candidates={run}")  # as cut, but it was trained on enlarged ones
    moved = store_candidates(tmp_path / "moved", scenes, move=1)
    with pytest.raises(SystemExit):
        evaluate("scorer=trained/best", f"candidates={moved}", "candidate_crops=cut_x4")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "crops: give a crop set, candidates"),
        (["candidates=nowhere"], "is no candidates folder"),
        (["candidates=bare/candidates"], "annotations: must be given"),
        (["candidates=bare/candidates", "annotations=a.jsonl"], "images: must be given"),
        (["candidates=export", "detectors=x"], "detectors: 'x' begins 0 keys of the store, which holds d0"),
        (
            ["crops=crops", "scorer={enlarged}"],
            "crops: crops are enlarged by 'none', but the scorer was trained on 'x4'",
        ),
        (["candidates=export", "scorer={enlarged}"], "candidates: crops are enlarged by 'none'"),
    ],
)
def test_misuse_is_one_line(words, told, checkpoint, scenes, tmp_path, capfd):
    store_candidates(tmp_path / "export", scenes)
    store_candidates(tmp_path / "bare", scenes, settings=False)
    if "scorer={enlarged}" in words:
        settings = json.loads((checkpoint / "grounder.json").read_text())
        (checkpoint / "grounder.json").write_text(json.dumps({**settings, "policy": "x4"}))
    with pytest.raises(SystemExit) as stop:
        evaluate(f"scorer={checkpoint}", *[w for w in words if not w.startswith("scorer")])
    assert stop.value.code == 2
    error = capfd.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_opened_crops_come_by_number_and_by_slice():
    opened = Opened(4, lambda i: np.full((1, 1, 3), i, np.uint8))
    assert [int(crop[0, 0, 0]) for crop in opened[1:9]] == [1, 2, 3]
    assert int(opened[2][0, 0, 0]) == 2
    assert len(list(iter(opened[:]))) == len(opened) == 4


def test_the_same_image_without_captions_is_left_out(scenes, tmp_path, checkpoint):
    run = store_candidates(tmp_path / "export", scenes)
    lines = [json.dumps(entry) for entry in scenes] + [json.dumps({"image": "more.png", "annotations": []})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    assert evaluate(f"scorer={checkpoint}", f"candidates={run}")["num_candidates"] == 20


def test_two_detectors_in_one_folder_must_be_told_apart(scenes, tmp_path):
    from siglip.detected import read_detected

    run = store_candidates(tmp_path / "export", scenes)
    CandidateStore(run / "candidates").describe("proposals", "e1", {})
    with pytest.raises(InputError, match="begins 2 keys"):
        read_detected(str(run))
