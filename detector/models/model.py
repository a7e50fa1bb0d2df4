"""What inference, export and training need of a detector of ours. B images, N boxes, T targets."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

Targets = Sequence[tuple[Tensor, Tensor]]  # per image (T, 4) boxes in input pixels and (T,) class numbers


class Model(nn.Module):
    """A detector: a network with the size it was trained at."""

    stride: int  # sides of the input are multiples of it
    imgsz: int | tuple[int, int]  # a long side, or (height, width)
    num_classes: int

    def detect(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) RGB in 0..1 -> (B, N, 4) boxes in input pixels and (B, N) confidences, before any suppression.

        A box's confidence is that of its likeliest class.
        """
        raise NotImplementedError

    def losses(self, images_BCHW: Tensor, targets: Targets, epoch: int) -> dict[str, Tensor]:
        """The loss to descend under `loss` and its parts; epoch: 0-based, of the whole training."""
        raise NotImplementedError

    def forward(self, images_BCHW: Tensor, targets: Targets | None = None, epoch: int = 0) -> object:
        """`losses` with targets, else `detect`: one entry, so that wrappers for several processes see every call."""
        return self.detect(images_BCHW) if targets is None else self.losses(images_BCHW, targets, epoch)

    def prepare_export(self, shape_hw: tuple[int, int]) -> None:
        """Make the network one that can be exported at this input shape; nothing by default."""

    def write(self, folder: Path) -> None:
        """Write config.json and model.safetensors into a folder."""
        raise NotImplementedError
