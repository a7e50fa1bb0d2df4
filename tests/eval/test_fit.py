"""Weights that the data were drawn by are found again, from plain arrays and from a store."""

import json

import numpy as np
import pytest

from core.answering import scores_of
from core.files import read_json
from core.pixels import pixel_box
from core.posterior import PosteriorWeights, posterior_merit
from core.stages import View
from core.store import CandidateStore
from core.values import Candidates
from eval.fit import main as fit
from eval.fit.logit import fit_weights, gather
from eval.sweep import main as sweep

WEIGHTS = (0.8, 0.3, 1.6)
CAPTIONS = ("red jet", "blue jet", "grey drone", "white helicopter", "green missile", "black drone")
CALIBRATION = {"scale": 12.0, "bias": -4.0, "sigmoid": True, "known": list(CAPTIONS)}


def drawn(rng, merit):
    """A candidate, by the conditional logit's probabilities: the highest merit with Gumbel noise added."""
    return int((merit + rng.gumbel(size=merit.shape)).argmax())


def test_drawn_choices_give_their_weights_back():
    rng = np.random.default_rng(0)
    captions = []
    for number in range(3000):
        features = -rng.exponential(1.0, (int(rng.integers(2, 9)), 3))
        is_right = np.zeros(len(features), bool)
        is_right[drawn(rng, features @ WEIGHTS)] = True
        captions.append((f"im_{number}", features, is_right))
    choices = gather(captions)
    np.testing.assert_allclose(fit_weights(choices, (1.0, 1.0, 1.0)), WEIGHTS, atol=0.1)
    by_hand = sum(np.log(np.exp(f @ WEIGHTS)[r].sum() / np.exp(f @ WEIGHTS).sum()) for _, f, r in captions)
    from eval.fit.logit import _loss

    loss, gradient = _loss(np.asarray(WEIGHTS), choices, np.asarray(WEIGHTS))
    assert loss == pytest.approx(-by_hand, rel=1e-12)
    step = 1e-5 * np.eye(3)
    slopes = [(_loss(WEIGHTS + s, choices, np.asarray(WEIGHTS))[0]
               - _loss(WEIGHTS - s, choices, np.asarray(WEIGHTS))[0]) / 2e-5 for s in step]  # fmt: skip
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-3)


def test_captions_that_tell_nothing_are_left_out_and_some_can_be_taken():
    features = np.arange(12.0).reshape(4, 3)
    right = np.array([False, True, False, False])
    choices = gather([("a", features, right), ("b", features, ~right & False), ("c", features[:2], right[:2] | True),
                      ("d", features[1:], right[1:])])  # fmt: skip
    assert choices.images == ("a", "d")
    assert choices.starts_Q.tolist() == [0, 4]
    part = choices.take(np.array([False, True]))
    assert (part.features_TF == features[1:]).all()
    assert (part.starts_Q.tolist(), part.images) == ([0], ("d",))


def made_up(folder, num_images=350, seed=0):
    """A store whose truth is drawn by WEIGHTS: each caption's target is one of the disjoint boxes of its image."""
    rng = np.random.default_rng(seed)
    unit = lambda v: (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)  # noqa: E731
    texts = dict(zip(CAPTIONS, unit(rng.normal(size=(len(CAPTIONS), 6))), strict=True))
    store, lines, size = CandidateStore(folder / "candidates"), [], (320, 60)
    digests = {f"im_{number}.jpg": f"{number:032x}" for number in range(num_images)}
    for name, digest in digests.items():
        captions = [CAPTIONS[c] for c in rng.permutation(len(CAPTIONS))[: rng.integers(2, 4)]]
        boxes = np.asarray([[40 * n + 2, 5, 40 * n + 36, 50] for n in range(7)], np.float32)
        confidence = rng.uniform(0.05, 0.95, 7).astype(np.float32)
        crops = unit(rng.normal(size=(7, 6)))
        merit = posterior_merit(scores_of(CALIBRATION, crops, captions, texts).logs_NM2, confidence,
                                PosteriorWeights(*WEIGHTS))  # fmt: skip
        targets = [boxes[drawn(rng, merit[:, m])].tolist() for m in range(len(captions))]
        lines.append({"image": name, "annotations": [
            {"caption": c, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for c, (x1, y1, x2, y2) in zip(captions, targets, strict=True)]})  # fmt: skip
        store.write_views("detectorkey", digest, [View("yolo/plain", Candidates(boxes, confidence))])
        pixels = np.asarray([pixel_box(b, *size) for b in boxes], np.int32)
        store.add_embeddings("none-scorerkey", digest, pixels, crops)
    store.describe("proposals", "detectorkey", {"detector": "made up"})
    store.describe("embeddings", "none-scorerkey", {"scorer_key": "scorerkey", "calibration": CALIBRATION})
    store.add_texts("scorerkey", list(texts), np.stack(list(texts.values())))
    store.write_set(digests, dict.fromkeys(digests, size))
    (folder / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return store.folder, folder / "truth.jsonl"


def test_the_command_finds_the_weights_of_a_made_up_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store, truth = made_up(tmp_path)
    fit([f"candidates={store}", f"truth={truth}", "run_dir=fitted", "posterior.known=3", "posterior.confidence=0.1",
         "tracking.mode=disabled"])  # fmt: skip
    metrics, words = read_json(tmp_path / "fitted/metrics.json"), (tmp_path / "fitted/settings.txt").read_text().split()
    found = [metrics[name] for name in ("known", "own", "confidence")]
    np.testing.assert_allclose(found, WEIGHTS, atol=0.3)
    assert metrics["accuracy_fitted"] > metrics["accuracy_given"] + 0.05
    assert abs(metrics["accuracy_fitted"] - metrics["accuracy_apart"]) < 0.03
    assert "choosing.combine=posterior" in capsys.readouterr().out
    told = zip(("known", "own", "confidence"), found, strict=True)
    assert words == ["choosing.combine=posterior", *(f"choosing.posterior.{name}={weight}" for name, weight in told)]
    posterior = [w.removeprefix("choosing.") for w in words[1:]]
    sweep([f"candidates={store}", f"truth={truth}", "run_dir=swept", "confidence=[0.02]", "combine=[posterior]",
           *posterior, "tracking.mode=disabled"])  # fmt: skip
    (row,) = read_json(tmp_path / "swept/sweep.json")
    assert row["accuracy"] == metrics["accuracy_fitted"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["folds=1"], "folds: 1 is not within 2 and the number of images, 3"),
        (["folds=4"], "folds: 4 is not within 2"),
        (["posterior.known=-1"], "posterior.known: -1.0 is not a weight"),
        (["refusal=0.3"], "refusal: only an assignment can be refused"),
        (["candidates=[a,b]"], "truth: 1 files for 2 folders of candidates"),
        (["confidence=2"], "confidence: 2.0 is not within 0..1"),
        (["candidates=nowhere"], "nowhere: no such folder"),
        (["scorers=other"], "scorers: 'other' begins 0 keys of the store"),
    ],
)
def test_nonsense_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store, truth = made_up(tmp_path, num_images=3)
    with pytest.raises(SystemExit, match="2"):
        fit([f"candidates={store}", f"truth={truth}", "folds=2", "run_dir=x", "tracking.mode=disabled", *words])
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
