"""The training set as Ultralytics reads it, with rectangular training and a recipe that is known to be live."""

from typing import Any

from detector import environment as environment  # before any import of ultralytics

from ultralytics.data.augment import Albumentations, Compose  # isort: skip
from ultralytics.data.dataset import YOLODataset  # isort: skip

from detector.plan import StagePlan
from detector.rectangular import make_rectangular, rectangle_of


class TrainingSet(YOLODataset):
    """Ultralytics' data set, whose train transforms may have a (height, width) of their own."""

    def __init__(self, *args: Any, plan: StagePlan, stride: int, **kwargs: Any) -> None:
        self.plan = plan
        super().__init__(*args, stride=stride, **kwargs)

    def build_transforms(self, hyp: Any) -> Compose:
        """Ultralytics' transforms, made rectangular; also called again when mosaic is closed."""
        transforms = super().build_transforms(hyp)
        shape = self.rectangle()
        if shape is not None:
            make_rectangular(transforms, self, shape)
        return transforms

    def rectangle(self) -> tuple[int, int] | None:
        """(height, width) of the training pictures, None for a square of `imgsz`."""
        if not self.plan.rectangle:
            return None
        return rectangle_of([tuple(label["shape"]) for label in self.labels], self.imgsz, self.stride)

    def forget_buffer(self) -> None:
        """Empty the buffer that mosaic draws from, so that an epoch depends on nothing that went before it."""
        if self.cache != "ram":
            for i in self.buffer:
                self.ims[i], self.im_hw0[i], self.im_hw[i] = None, None, None
        self.buffer.clear()


def require_live_recipe(transforms: Compose, expected: list[dict[str, Any]] | None) -> None:
    """Raise RuntimeError unless the train transforms hold exactly the recipe that was asked for.

    Ultralytics trains without any augmentation, with one log line, when building the list raises anything.
    expected: the `augmentations` argument as `A.to_dict` stores it; None leaves Ultralytics' own list alone.
    """
    import albumentations

    if expected is None:
        return
    stage = next((t for t in transforms.transforms if isinstance(t, Albumentations)), None)
    if stage is None or stage.transform is None:
        raise RuntimeError("the augmentation recipe is not live: Ultralytics could not build it")
    live = [albumentations.to_dict(t) for t in stage.transform.transforms]
    if live != list(expected):
        raise RuntimeError(f"the augmentation recipe is not live: asked for {expected}, found {live}")
