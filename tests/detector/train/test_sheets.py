"""What is drawn on validation images: targets, boxes that are right, and others, counted as they are drawn."""

import numpy as np

from core.values import Candidates
from detector.train.sheets import CONFIDENCE, RIGHT, TARGET, WRONG, answered


def test_boxes_have_the_colour_of_what_they_are() -> None:
    targets = np.asarray([[10, 10, 30, 30], [60, 60, 80, 80]], np.float32)
    boxes = np.asarray([[12, 10, 32, 30], [40, 10, 50, 20], [0, 70, 8, 78]], np.float32)
    found = Candidates(boxes, np.asarray([0.9, CONFIDENCE, CONFIDENCE - 0.01], np.float32))
    image = np.zeros((100, 100, 3), np.uint8)
    shown = answered(image, targets, found, "a.png: ")
    assert shown.text == "a.png: 1 of 2 targets found, 1 other boxes at confidence 0.25"
    assert not image.any()  # the validation goes on with it
    assert tuple(shown.image[20, 32]) == RIGHT
    assert tuple(shown.image[15, 40]) == WRONG
    assert tuple(shown.image[70, 60]) == TARGET
    assert not shown.image[74, 0].any()  # below the confidence
    nothing = answered(image, np.zeros((0, 4)), Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)))
    assert nothing.text.startswith("0 of 0 targets found, 0 other boxes")
    assert not nothing.image.any()
