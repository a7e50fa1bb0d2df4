"""What to try when a training found nothing: said in one line, because AP 0.0 and status 0 say nothing."""

from collections.abc import Mapping

import numpy as np

from data.labels import target_boxes
from detector.train.tree import Tree

NOTHING = 0.001  # AP50 below it: chance hits at most
FEW = 100  # training images
SMALL_PX = 16  # the long side of a target, as the network sees it, below which detectors see little


def advice(metrics: Mapping[str, object], tree: Tree, imgsz: int, epochs: int) -> str | None:
    """The line for a training whose best epoch finds no target of the validation images; None for any other."""
    judged = {name: float(str(metrics[name])) for name in ("AP50", "recall") if name in metrics}
    if not judged or (judged.get("recall", 0.0) > 0 and judged.get("AP50", 1.0) >= NOTHING):
        return None
    sides = [max(w * tree.sizes[p][0], h * tree.sizes[p][1]) * imgsz / max(tree.sizes[p])
             for part in tree.images for p, labels in zip(tree.images[part], tree.labels[part], strict=True)
             for _, _, w, h in target_boxes(labels).tolist()]  # fmt: skip
    targets = sum(len(target_boxes(labels)) for labels in tree.labels["val"])
    if not targets:
        return "nothing could be found: the validation images have no targets"
    seen = float(np.median(sides))
    larger = f"a larger imgsz (the median target is {seen:.0f} px long at {imgsz})" if seen < SMALL_PX else ""
    few = len(tree.images["train"]) < FEW
    tries = [larger, f"more epochs than {epochs}", "more images" if few else "weights that are trained already"]
    return f"0 of {targets} targets found: try {', or '.join(t for t in tries if t)}"
