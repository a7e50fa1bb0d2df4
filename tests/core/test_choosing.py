from itertools import permutations

import numpy as np
import pytest

from core.choosing import (
    NOBODY,
    ChoosingConfig,
    ChoosingMethod,
    Combining,
    Fallback,
    Select,
    choose,
    merit,
    score_matrix,
    select,
)
from core.errors import InputError

CONFIDENCE = np.array([0.9, 0.5, 0.3])
SCORES = np.array([[0.2, 0.9], [0.8, 0.95], [0.1, 0.3]])


def test_each_caption_takes_its_best_score():
    assert choose(SCORES, CONFIDENCE, 2, ChoosingConfig()).tolist() == [1, 1]


def test_confidence_can_weigh_in():
    assert choose(SCORES, CONFIDENCE, 2, ChoosingConfig(confidence_weight=1.0)).tolist() == [0, 0]
    assert choose(SCORES, CONFIDENCE, 2, ChoosingConfig(confidence_weight=0.5)).tolist() == [1, 0]


def test_an_assignment_is_the_best_of_all_pairings():
    rng = np.random.default_rng(0)
    config = ChoosingConfig(method=ChoosingMethod.assignment)
    for _ in range(50):
        scores = rng.random((5, 3))
        chosen = choose(scores, np.full(5, 0.5), 3, config)
        best = max(permutations(range(5), 3), key=lambda p: sum(scores[n, m] for m, n in enumerate(p)))
        assert chosen.tolist() == list(best)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_a_product_is_of_the_probabilities_themselves(weight):
    rng = np.random.default_rng(1)
    config = ChoosingConfig(confidence_weight=weight, combine=Combining.product)
    jointly = ChoosingConfig(ChoosingMethod.assignment, weight, combine=Combining.product)
    for _ in range(50):
        scores, confidence = rng.random((5, 3)), rng.random(5)
        merit = scores ** (1 - weight) * confidence[:, None] ** weight
        assert choose(scores, confidence, 3, config).tolist() == merit.argmax(axis=0).tolist()
        paired = choose(scores, confidence, 3, jointly)
        best = max(permutations(range(5), 3), key=lambda p: np.prod(merit[p, range(3)]))
        assert np.prod(merit[paired, range(3)]) == pytest.approx(np.prod(merit[best, range(3)]), rel=1e-12)


def test_a_product_takes_raw_logits_as_a_softmax_over_the_candidates():
    rng = np.random.default_rng(2)
    config = ChoosingConfig(confidence_weight=0.5, combine=Combining.product)
    for _ in range(50):
        logits, confidence = rng.normal(size=(5, 3)) * 8 - 20, rng.random(5)
        merit = np.exp(logits) / np.exp(logits).sum(axis=0) * confidence[:, None]
        assert choose(logits, confidence, 3, config, sigmoid=False).tolist() == merit.argmax(axis=0).tolist()


def test_a_product_with_nothing_likely_still_answers():
    config = ChoosingConfig(ChoosingMethod.assignment, 0.5, combine=Combining.product)
    assert sorted(choose(np.zeros((2, 2)), np.zeros(2), 2, config).tolist()) == [0, 1]


def test_with_fewer_candidates_than_captions_none_goes_unanswered():
    scores = np.array([[0.9, 0.8, 0.1]])
    chosen = choose(scores, np.array([0.5]), 3, ChoosingConfig(method=ChoosingMethod.assignment))
    assert chosen.tolist() == [0, 0, 0]


def test_a_low_best_score_means_not_in_this_image():
    assert choose(SCORES, CONFIDENCE, 2, ChoosingConfig(absent_below=0.9)).tolist() == [NOBODY, 1]


@pytest.mark.parametrize(("fallback", "expected"), [(Fallback.confident, 0), (Fallback.none, NOBODY)])
def test_without_a_scorer_the_fallback_answers(fallback, expected):
    assert choose(None, CONFIDENCE, 2, ChoosingConfig(fallback=fallback)).tolist() == [expected] * 2


def test_no_candidates_no_answers():
    assert choose(np.zeros((0, 2)), np.zeros(0), 2, ChoosingConfig()).tolist() == [NOBODY, NOBODY]


def test_scores_are_sigmoid_or_logits():
    image, text = np.array([[1.0, 0.0]], np.float32), np.array([[0.6, 0.8], [-1.0, 0.0]], np.float32)
    logits = score_matrix({"scale": 10.0, "bias": -2.0, "sigmoid": False}, image, text)
    np.testing.assert_allclose(logits, [[4.0, -12.0]], rtol=1e-6)
    probabilities = score_matrix({"scale": 10.0, "bias": -2.0, "sigmoid": True}, image, text)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp([[-4.0, 12.0]])), rtol=1e-6)


def test_hopeless_scores_still_differ():
    """In float32 both would be zero, and the first candidate would win whatever its score."""
    image, text = np.array([[-0.99], [-0.98]], np.float32), np.array([[1.0]], np.float32)
    scores = score_matrix({"scale": 118.3, "bias": -12.7, "sigmoid": True}, image, text)
    assert choose(scores, np.array([0.9, 0.1]), 1, ChoosingConfig()).tolist() == [1]


def places(config, scores=SCORES, confidence=CONFIDENCE, **more):
    chosen = select(scores, confidence, 2, config, **more)
    return [chosen.places(caption) for caption in range(2)]


def test_all_above_a_merit_answer_the_best_first():
    assert places(ChoosingConfig(select=Select.above, above=0.2)) == [[1, 0], [1, 0, 2]]
    assert places(ChoosingConfig(select=Select.above, above=0.9)) == [[], [1, 0]]
    assert places(ChoosingConfig(select=Select.above, above=2.0)) == [[], []]
    assert places(ChoosingConfig()) == [[1], [1]]
    assert select(SCORES, CONFIDENCE, 2, ChoosingConfig(select=Select.above, above=0.9)).chosen_M.tolist() == [
        NOBODY,
        1,
    ]


def test_the_merit_is_what_the_choice_is_by():
    """Half confidence: the sums of the first caption are 0.55, 0.65, 0.2, the products 0.424, 0.632, 0.173."""
    both = {"select": Select.above, "confidence_weight": 0.5}
    assert places(ChoosingConfig(**both, above=0.55))[0] == [1, 0]
    assert places(ChoosingConfig(**both, above=0.56))[0] == [1]
    product = {**both, "combine": Combining.product}
    assert places(ChoosingConfig(**product, above=0.42))[0] == [1, 0]
    assert places(ChoosingConfig(**product, above=0.43))[0] == [1]
    logits = np.log(SCORES)  # of a softmax's family the threshold is on the logarithm
    assert places(ChoosingConfig(**product, above=float(np.log(0.42))), logits, sigmoid=False)[0] == [1, 0]


def test_absent_below_empties_the_answer_of_several():
    config = ChoosingConfig(select=Select.above, above=0.1, absent_below=0.85)
    assert places(config) == [[], [1, 0, 2]]


def test_several_without_a_scorer_go_by_confidence():
    assert places(ChoosingConfig(select=Select.above, above=0.4), None) == [[0, 1], [0, 1]]
    assert places(ChoosingConfig(select=Select.above, above=0.4, fallback=Fallback.none), None) == [[], []]
    nothing = select(None, np.zeros(0), 2, ChoosingConfig(select=Select.above))
    assert (nothing.places(0), nothing.several) == ([], True)


def test_an_assignment_of_several_is_refused():
    config = ChoosingConfig(method=ChoosingMethod.assignment, select=Select.above)
    with pytest.raises(InputError, match=r"choosing.method: an assignment gives each caption one box"):
        select(SCORES, CONFIDENCE, 2, config)


def test_a_fused_confidence_above_one_counts_as_a_certain_one():
    """Weighted box fusion with unequal weights gives 1.4 by the reference's own rule: no probability."""
    scores, config = np.array([[0.6], [0.7]]), ChoosingConfig(combine=Combining.product, confidence_weight=0.5)
    over, most = np.array([1.4, 1.0]), np.array([1.0, 1.0])
    assert np.array_equal(merit(scores, over, config, True), merit(scores, most, config, True))
    assert choose(scores, over, 1, config).tolist() == [1]
    assert np.exp(merit(scores, over, config, True)).max() <= 1
