"""A training that found nothing says so, and what Ultralytics was given is what our reader read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.decoding import DecodingSettings, Depth
from core.errors import InputError
from detector.settings import DetectorConfig, StageConfig, TrainingConfig
from detector.train import run as train_run
from detector.train.advice import advice
from detector.train.settings import TrainConfig
from detector.train.tree import read_tree


def test_a_training_that_found_nothing_says_what_to_try(make_tree: Callable) -> None:
    tree = read_tree(str(make_tree()))
    told = advice({"AP50": 0.0, "recall": 0.0}, tree, 64, 4)
    assert told is not None
    assert told.startswith("0 of 8 targets found: try a larger imgsz (the median target is ")
    assert told.endswith(" px long at 64), or more epochs than 4, or more images")
    assert "imgsz" not in str(advice({"AP50": 0.0, "recall": 0.0}, tree, 640, 4))
    assert advice({"AP50": 0.4, "recall": 0.5}, tree, 64, 4) is None
    assert advice({}, tree, 64, 4) is None


def test_the_trainer_holds_our_images_and_boxes_and_the_command_returns_its_advice(
    make_tree: Callable, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale label cache, a motion photo, a polygon beside a box: what Ultralytics' own scan would take otherwise."""
    from core.runs import RunFolder
    from core.tracking import TrackingConfig, TrackingMode
    from detector.train import dataset

    root = make_tree(train=4, val=2)
    first, second = sorted((root / "labels/train").glob("*.txt"))[:2]
    motion = root / "images/train/motion.jpg"
    from core.images import read_image, write_image

    write_image(motion, read_image(root / "images/train/train_00.png"))
    motion.write_bytes(motion.read_bytes() + b"ftypmp42" * 1000)
    before = motion.read_bytes()
    first.write_text(first.read_text() + "0 0.1 0.1 0.3 0.1 0.2 0.3\n")
    second.write_text("0 0.25 0.5 0.2 0.2\n")
    (root / "labels/train/motion.txt").write_text("0 0.5 0.5 1.004 0.5\n")
    made = []
    init = dataset.LabelledSet.__init__
    monkeypatch.setattr(
        dataset.LabelledSet, "__init__", lambda self, *args, **kw: (init(self, *args, **kw), made.append(self))[0]
    )
    folder = RunFolder(tmp_path / "run", "detector.train")
    folder.open("{}")
    args = {"batch": 4, "nbs": 4, "plots": False, "amp": False, "warmup_epochs": 0}
    metrics = train_run(
        TrainConfig(
            run_dir=str(folder.path), data=str(root), device="cpu", stages=[StageConfig(imgsz=64, epochs=1)],
            detector=DetectorConfig(train=TrainingConfig(model=str(tiny_model), args=args)),
            tracking=TrackingConfig(mode=TrackingMode.disabled),
        ),
        folder,
    )  # fmt: skip
    assert str(metrics["advice"]).startswith("0 of 4 targets found: try ")
    training = next(one for one in made if isinstance(one, dataset.TrainingSet))
    held = {Path(label["im_file"]).name: label["bboxes"].tolist() for label in training.labels}
    assert len(held) == 5
    assert held[f"{second.stem}.png"] == [pytest.approx([0.25, 0.5, 0.2, 0.2])]
    assert held[f"{first.stem}.png"][-1] == pytest.approx([0.2, 0.2, 0.2, 0.2])
    assert held["motion.jpg"] == [pytest.approx([0.5, 0.5, 1.0, 0.5])]
    assert motion.read_bytes() == before  # Ultralytics' scan writes such a file anew
    assert not list(root.rglob("*.cache"))
    assert any(type(one) is dataset.LabelledSet for one in made)  # the validation part as well


def test_a_difference_to_what_ultralytics_holds_is_one_line(make_tree: Callable) -> None:
    from ultralytics.cfg import get_cfg

    from detector.train.dataset import LabelledSet

    class Losing(LabelledSet):
        def update_labels(self, include_class: object) -> None:
            self.labels[1]["bboxes"] = self.labels[1]["bboxes"][:1]

    root = make_tree(train=4)
    given = {"img_path": str(root / "images/train"), "imgsz": 64, "hyp": get_cfg(), "data": {"names": {0: "t"}},
             "augment": False, "single_cls": True, "task": "detect"}  # fmt: skip
    assert len(LabelledSet(**given).labels) == 4
    with pytest.raises(InputError, match=r"train_01.png: Ultralytics holds other boxes than the labels, in 1 of 4"):
        Losing(**given)


def test_training_images_are_decoded_as_everywhere(make_tree: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from core.decoding import use_decoding
    from detector.train.dataset import imread

    thermal = (7000 + np.arange(6144).reshape(64, 96) // 10).astype(np.uint16)
    path = make_tree() / "thermal.png"
    Image.fromarray(thermal).save(path)
    assert len(np.unique(imread(str(path)))) == 3
    monkeypatch.setenv("GROUNDER_DEPTH", "high_byte")
    use_decoding(DecodingSettings(depth=Depth.stretch))
    assert len(np.unique(imread(str(path)))) == 256
