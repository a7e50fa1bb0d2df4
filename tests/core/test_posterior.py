"""The posterior's logarithms against their formulas, and refusal by trying every pairing."""

from itertools import product

import numpy as np
import pytest

from core.answering import Seen, answer, scores_of
from core.choosing import ChoosingConfig, ChoosingMethod, Combining, Select, check_choosing, choose, select
from core.errors import InputError
from core.posterior import PosteriorWeights, assign_or_refuse, caption_logs, posterior_merit
from core.values import Candidates

KNOWN = ["red jet", "blue drone", "grey missile", "white helicopter"]


def log_softmax(logits, axis=1):
    import torch

    return torch.log_softmax(torch.from_numpy(np.asarray(logits, np.float64)), dim=axis).numpy()


def test_the_logarithms_are_those_of_softmax_and_sigmoid():
    rng = np.random.default_rng(0)
    logits, known_logits = rng.normal(size=(5, 2)) * 9, rng.normal(size=(5, 4)) * 9
    known_logits[:, 1:3] = logits
    logs = caption_logs(logits, KNOWN[1:3], True, KNOWN, known_logits)
    with_none = np.concatenate([known_logits, np.zeros((5, 1))], axis=1)
    np.testing.assert_allclose(logs[..., 0], log_softmax(with_none)[:, 1:3], rtol=1e-12)
    np.testing.assert_allclose(logs[..., 1], log_softmax(logits), rtol=1e-12, atol=1e-12)
    sigmoid = caption_logs(logits, KNOWN[1:3], True)
    np.testing.assert_allclose(np.exp(sigmoid[..., 0]), 1 / (1 + np.exp(-logits)), rtol=1e-12)
    raw = caption_logs(logits, KNOWN[1:3], False)
    assert (raw[..., 0] == logits).all()
    assert (raw[..., 1] == sigmoid[..., 1]).all()


def test_a_caption_outside_the_vocabulary_joins_it_and_one_that_stands_twice_is_one():
    rng = np.random.default_rng(1)
    outside, known_logits = rng.normal(size=(5, 1)) * 9, rng.normal(size=(5, 4)) * 9
    logs = caption_logs(outside, ["green balloon"], True, KNOWN, known_logits)
    joined = np.concatenate([outside, known_logits, np.zeros((5, 1))], axis=1)
    np.testing.assert_allclose(logs[:, 0, 0], log_softmax(joined)[:, 0], rtol=1e-12)
    assert np.abs(logs[..., 1]).max() < 1e-12  # alone it is certain
    logits = rng.normal(size=(5, 2))
    twice = caption_logs(logits[:, [0, 1, 0]], ["red jet", "blue drone", "red jet"], True)
    np.testing.assert_array_equal(twice, caption_logs(logits, KNOWN[:2], True)[:, [0, 1, 0]])


def test_logits_of_any_size_stay_numbers():
    logits = np.array([[-1e4, 1e4], [0.0, -1e4]], np.float32)
    for logs in (caption_logs(logits, KNOWN[:2], True), caption_logs(logits, KNOWN[:2], True, KNOWN[:2], logits)):
        assert np.isfinite(logs).all()
        assert (logs <= 0).all()


def test_merit_is_the_weighted_sum_and_does_not_hang_on_the_candidates_beside():
    rng = np.random.default_rng(2)
    logs, confidence = -rng.random((40, 3, 2)) * 5, rng.random(40)
    weights = PosteriorWeights(0.3, 0.9, 1.1)
    merit = posterior_merit(logs, confidence, weights)
    np.testing.assert_allclose(np.exp(merit), np.exp(logs[..., 0]) ** 0.3 * np.exp(logs[..., 1]) ** 0.9
                               * confidence[:, None] ** 1.1, rtol=1e-12)  # fmt: skip
    assert (posterior_merit(logs[7:9], confidence[7:9], weights) == merit[7:9]).all()
    confidence[:] = 1.25  # as weighted boxes fusion may give it
    assert (posterior_merit(logs, confidence, weights) == posterior_merit(logs, np.ones(40), weights)).all()
    assert np.isfinite(posterior_merit(logs, np.zeros(40), weights)).all()


def refusing_by_trial(merit, refusal):
    """The highest sum over every way of giving captions different candidates or their refusal."""
    num, captions = merit.shape
    best_sum, best = -np.inf, None
    for given in product(range(num + 1), repeat=captions):
        taken = [n for n in given if n < num]
        if len(set(taken)) < len(taken):
            continue
        worth = sum(merit[n, m] if n < num else merit[:, m].max() - refusal for m, n in enumerate(given))
        if worth > best_sum + 1e-12:
            best_sum, best = worth, [n if n < num else int(merit[:, m].argmax()) for m, n in enumerate(given)]
    return best


@pytest.mark.parametrize("refusal", [0.0, 0.3, 1.0, 50.0])
def test_refusal_is_the_best_of_all_pairings_and_refusals(refusal):
    rng = np.random.default_rng(3)
    seen_shared = 0
    for num, captions in product([1, 2, 4], [1, 2, 3]):
        for _ in range(10):
            merit = rng.normal(size=(num, captions))
            chosen = assign_or_refuse(merit, refusal)
            assert chosen.tolist() == refusing_by_trial(merit, refusal)
            seen_shared += len(set(chosen.tolist())) < captions
    assert seen_shared > 0
    assert assign_or_refuse(merit, 0.0).tolist() == merit.argmax(axis=0).tolist()


def made_scores(sigmoid=True, known=None):
    rng = np.random.default_rng(4)
    unit = lambda v: (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)  # noqa: E731
    crops, texts = unit(rng.normal(size=(6, 8))), dict(zip(KNOWN, unit(rng.normal(size=(4, 8))), strict=True))
    calibration = {"scale": 20.0, "bias": -3.0, "sigmoid": sigmoid} | ({} if known is None else {"known": known})
    return crops, texts, calibration


def test_the_answering_path_chooses_by_the_posterior():
    crops, texts, calibration = made_scores(known=KNOWN)
    rng = np.random.default_rng(5)
    boxes = np.sort(rng.random((6, 4)) * 50, axis=1).astype(np.float32)
    candidates = Candidates(boxes, np.linspace(0.9, 0.1, 6).astype(np.float32))
    captions = KNOWN[:3]
    scores = Seen(candidates, crops).scores(captions, texts, calibration)
    logits = {c: (crops @ texts[c] * 20.0 - 3.0).astype(np.float64) for c in KNOWN}
    everything = np.exp(np.stack([logits[c] for c in KNOWN]))
    own = np.exp(np.stack([logits[c] for c in captions]))
    expected = [
        np.argmax(0.4 * np.log(np.exp(logits[c]) / (1 + everything.sum(axis=0))) + 1.5 * np.log(candidates.confidence)
                  + 0.7 * np.log(np.exp(logits[c]) / own.sum(axis=0))) for c in captions
    ]  # fmt: skip
    config = ChoosingConfig(combine=Combining.posterior)
    assert answer(candidates, scores, 3, config).chosen_M.tolist() == expected
    sigmoid = scores_of(made_scores()[2], crops, captions, texts)
    assert np.allclose(sigmoid.logs_NM2[..., 0], np.log(sigmoid.matrix_NM))
    above = ChoosingConfig(combine=Combining.posterior, select=Select.above, above=1e-4)
    chosen = select(scores.matrix_NM, candidates.confidence, 3, above, True, scores.logs_NM2)
    assert (chosen.answered_NM == (np.exp(chosen.merit_NM) >= 1e-4)).all()
    with pytest.raises(InputError, match="hold no embedding of 'white helicopter'"):
        scores_of(calibration, crops, captions, {c: texts[c] for c in captions})
    with pytest.raises(InputError, match="posterior wants a scorer's logits"):
        choose(scores.matrix_NM, candidates.confidence, 3, config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ChoosingConfig(posterior=PosteriorWeights(known=-1)), "choosing.posterior.known: -1 is not a weight"),
        (ChoosingConfig(posterior=PosteriorWeights(own=float("nan"))), "choosing.posterior.own: nan is not a weight"),
        (ChoosingConfig(posterior=PosteriorWeights(0, 0, 0)), "choosing.posterior: all three weights are 0"),
        (ChoosingConfig(ChoosingMethod.assignment, refusal=-0.1), "choosing.refusal: -0.1 is not a difference"),
        (ChoosingConfig(refusal=0.3), "choosing.refusal: only an assignment can be refused"),
    ],
)
def test_nonsense_is_refused(config, message):
    with pytest.raises(InputError, match=message):
        check_choosing(config)
