"""AP50 of images drawn again: pycocotools' own of each once, and that of a set in which they stand so often."""

import numpy as np
import pytest

from eval.boxes.average_precision import precision_at_recalls, pycocotools_pair
from eval.boxes.drawn import DrawnAP50
from eval.boxes.matching import match_by_confidence
from eval.boxes.table import make_table


def random_set(draw, num_images=5):
    """(image, box, score) of found boxes and (image, box) of true ones, some alike; no two scores are equal."""
    image, boxes = draw.integers(0, num_images, 20), draw.integers(10, 90, (20, 4)).astype(float)
    source = draw.integers(0, 20, 40)
    found = boxes[source] + draw.integers(-6, 7, (40, 4))
    return (image[source], found, draw.permutation(40) / 40 + 0.01), (image, boxes)


@pytest.mark.parametrize("seed", range(8))
def test_a_draw_is_the_set_in_which_images_stand_so_often(seed):
    draw = np.random.default_rng(seed)
    (where, boxes, score), (image, true) = random_set(draw)
    truth, found = make_table(image, true, np.ones(20), 5), make_table(where, boxes, score, 5)
    drawn = DrawnAP50(found, truth)
    for counts in [*draw.multinomial(5, np.ones(5) / 5, 6), np.ones(5, int)]:
        copies = [number for number, count in enumerate(counts) for _ in range(count)]

        def again(of, values, copies=copies):
            kept = [np.flatnonzero(of == number) for number in copies]
            places = np.repeat(np.arange(len(copies)), [len(rows) for rows in kept])
            return places, *(value[np.concatenate(kept)] for value in values)

        boxes_again, truth_again = again(where, (boxes, score)), again(image, (true,))
        many = make_table(*boxes_again, len(copies))
        wanted = make_table(*truth_again, np.ones(len(truth_again[0])), len(copies))
        by_score = many.by_image_and_score()
        matched = match_by_confidence(by_score, wanted, [0.5])
        expected = precision_at_recalls(by_score.score, matched, len(wanted)).mean()
        assert drawn(counts[None].astype(float))[0] == pytest.approx(expected, abs=1e-12)


def test_every_image_once_is_pycocotools_own():
    (where, boxes, score), (image, true) = random_set(np.random.default_rng(9))
    truth, found = make_table(image, true, np.ones(20), 5), make_table(where, boxes, score, 5)
    from pycocotools.cocoeval import COCOeval

    ours = DrawnAP50(found, truth)
    evaluation = COCOeval(*pycocotools_pair(truth, found, np.zeros(20, bool)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert ours.whole == pytest.approx(evaluation.stats[1], abs=1e-9)
    assert ours(np.zeros((1, 5)))[0] == 0
