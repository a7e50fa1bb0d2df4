"""COCO average precision: pycocotools as the reference, hotcoco as the fast path, and a form that sweeps can afford."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from eval.boxes.table import BoxTable

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
MATCH_IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"all": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}  # square pixels
MAX_DETS = (1, 10, 100)


class Engine(Enum):
    """Which implementation computes the twelve numbers; they are equal to 1e-12."""

    hotcoco = "hotcoco"
    pycocotools = "pycocotools"


def twelve_numbers(
    truth: BoxTable,
    found: BoxTable,
    engine: Engine = Engine.hotcoco,
    max_dets: Sequence[int] = MAX_DETS,
    crowd: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """pycocotools' twelve numbers by the names of `NAMES`, each 0..1, or -1 where the truth has no box of that size.

    max_dets: three ascending limits of boxes per image, of which one must be 100: the first line of pycocotools is
    computed at 100 whatever the list says, and is -1 without it (InputError here). crowd: (N,) true boxes that are
    crowd regions. Without any found box pycocotools fails; then every number is 0 where there is something to find.
    """
    if len(max_dets) != 3 or sorted(max_dets) != list(max_dets) or 100 not in max_dets or max_dets[0] < 1:
        raise InputError(f"max_dets: {list(max_dets)} must be three ascending counts, one of them 100: pycocotools "
                         "reports AP -1 for other lists")  # fmt: skip
    is_crowd = np.zeros(len(truth), bool) if crowd is None else np.asarray(crowd, bool)
    if not len(found):
        return _nothing_found(truth, is_crowd)
    compute = _by_hotcoco if engine is Engine.hotcoco else _by_pycocotools
    return dict(zip(NAMES, map(float, compute(truth, found, list(max_dets), is_crowd)), strict=True))


def _nothing_found(truth: BoxTable, crowd: NDArray[np.bool_]) -> dict[str, float]:
    area = truth.box_ltwh[~crowd, 2] * truth.box_ltwh[~crowd, 3]
    numbers = {}
    for name in NAMES:
        low, high = AREAS.get(name[-1], AREAS["all"])
        numbers[name] = 0.0 if ((area >= low) & (area <= high)).any() else -1.0
    return numbers


def hotcoco_pair(truth: BoxTable, found: BoxTable, crowd: NDArray[np.bool_]) -> tuple[Any, Any]:
    """The two as hotcoco's data sets; image ids are 1-based places, the category is 1."""
    import hotcoco

    images = [{"id": i + 1} for i in range(truth.num_images)]
    true_set = hotcoco.COCO.from_arrays(
        images=images,
        categories=[{"id": 1, "name": "target"}],
        image_ids=truth.image + 1,
        category_ids=np.ones(len(truth), np.int64),
        boxes=truth.box_ltwh,
        iscrowd=crowd,
    )
    return true_set, true_set.load_res(_rows(found))


def _rows(found: BoxTable) -> NDArray[np.float64]:
    one = np.ones((len(found), 1))
    return np.concatenate([(found.image + 1)[:, None], found.box_ltwh, found.score[:, None], one], axis=1)


def _by_hotcoco(truth: BoxTable, found: BoxTable, max_dets: list[int], crowd: NDArray[np.bool_]) -> Sequence[float]:
    import hotcoco

    def judge(limits: list[int]) -> list[float]:
        pair = hotcoco.COCOeval(true_set, found_set, "bbox")
        pair.params.max_dets = limits
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its remark that the limits are not the usual ones
            pair.run()
        return list(pair.stats)

    true_set, found_set = hotcoco_pair(truth, found, crowd)
    numbers = judge(max_dets)
    if max_dets[-1] != 100:  # hotcoco computes the first line at the last limit, pycocotools at 100 always
        numbers[0] = judge([1, 10, 100])[0]
    return numbers


def pycocotools_pair(truth: BoxTable, found: BoxTable, crowd: NDArray[np.bool_]) -> tuple[Any, Any]:
    """The two as pycocotools' data sets, as `hotcoco_pair`."""
    from pycocotools.coco import COCO

    areas = truth.box_ltwh[:, 2] * truth.box_ltwh[:, 3]
    true_set = COCO()
    true_set.dataset = {
        "images": [{"id": i + 1} for i in range(truth.num_images)],
        "categories": [{"id": 1, "name": "target"}],
        "annotations": [
            {"id": n + 1, "image_id": int(i) + 1, "category_id": 1, "bbox": b, "area": a, "iscrowd": int(c)}
            for n, (i, b, a, c) in enumerate(
                zip(truth.image, truth.box_ltwh.tolist(), areas.tolist(), crowd, strict=True)
            )
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        true_set.createIndex()
        return true_set, true_set.loadRes(_rows(found))


def _by_pycocotools(truth: BoxTable, found: BoxTable, max_dets: list[int], crowd: NDArray[np.bool_]) -> Sequence[float]:
    from pycocotools.cocoeval import COCOeval

    true_set, found_set = pycocotools_pair(truth, found, crowd)
    judge = COCOeval(true_set, found_set, "bbox")
    judge.params.maxDets = max_dets
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


def precision_at_recalls(
    score: NDArray[np.float64], matched_NT: NDArray[np.bool_], num_truth: int
) -> NDArray[np.float64]:
    """(T, 101) precision at the 101 recalls for each match threshold, as pycocotools' accumulate.

    score: (N,) of boxes in the order image after image; matched_NT: from `match_by_confidence`.
    """
    order = np.argsort(-score, kind="stable")
    return sorted_precision(matched_NT[order], num_truth)


def sorted_precision(matched_NT: NDArray[np.bool_], num_truth: int) -> NDArray[np.float64]:
    """`precision_at_recalls` of boxes that are in order of descending score already."""
    num, thresholds = matched_NT.shape
    result = np.zeros((thresholds, len(RECALLS)))
    if not num or not num_truth:
        return result
    true = np.cumsum(matched_NT, axis=0, dtype=np.float64).T
    precision = true / (np.arange(1, num + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / num_truth
    for row in range(thresholds):
        places = np.searchsorted(recall[row], RECALLS, side="left")
        reached = places < num
        result[row, reached] = envelope[row, places[reached]]
    return result
