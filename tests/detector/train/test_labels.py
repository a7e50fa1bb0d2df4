"""Our reader of labels beside Ultralytics' own, on what both take."""

from pathlib import Path

import numpy as np
import pytest

from core.images import write_image
from data.labels import read_labels, target_boxes


@pytest.mark.parametrize("kind", ["boxes", "polygons", "oriented", "doubled", "empty"])
def test_labels_are_those_of_ultralytics_own_scan(kind: str, tmp_path: Path) -> None:
    from ultralytics.data.utils import verify_image_label

    rng = np.random.default_rng(3)
    image, label = tmp_path / "images/a.png", tmp_path / "labels/a.txt"
    write_image(image, np.zeros((64, 96, 3), np.uint8))
    label.parent.mkdir()
    for _ in range(20):
        rows = []
        for _ in range(rng.integers(1, 5)):
            points = {"polygons": 5, "oriented": 4}.get(kind)
            corner, size = rng.random(2) * 0.5, rng.random(2) * 0.4 + 0.05
            numbers = rng.random(2 * points) if points else np.concatenate([corner + size / 2, size])
            rows.append(" ".join(["0", *map(repr, numbers.tolist())]))
        rows = {"doubled": [*rows, rows[0]], "empty": []}.get(kind, rows)
        label.write_text("\ufeff" + "\r\n".join(rows) + "\n")
        _, theirs, shape, *_ = verify_image_label((str(image), str(label), "", False, 1, 0, 0, True))
        ours = target_boxes(read_labels(image))
        assert shape == (64, 96)
        order = [np.lexsort(boxes.T) for boxes in (ours, theirs[:, 1:])]
        np.testing.assert_allclose(ours[order[0]], theirs[:, 1:][order[1]], atol=1e-6)
