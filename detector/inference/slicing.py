"""Slices of an image, by sahi's own geometry."""

from core.errors import InputError
from detector.settings import SliceConfig, SliceMode

Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels


def check_slices(config: SliceConfig) -> None:
    """Raise InputError for slice settings that make no sense."""
    if config.mode is SliceMode.size:
        if config.size is None or len(config.size) != 2 or min(config.size) < 1:
            raise InputError(f"detector.slices.size: {config.size} must be [width, height] for mode=size")
        if not 0 <= config.overlap < 1:
            raise InputError(f"detector.slices.overlap: {config.overlap} is not within 0..1")
    if config.mode is SliceMode.none and not config.full:
        raise InputError("detector.slices.full: false leaves nothing to look at while slices.mode is none")


def slice_windows(config: SliceConfig, width: int, height: int) -> list[Window]:
    """The slices of a width x height image: none, those sahi chooses by itself, or those of the size asked for."""
    if config.mode is SliceMode.none:
        return []
    from sahi.slicing import get_slice_bboxes

    if config.mode is SliceMode.auto:
        boxes = get_slice_bboxes(image_height=height, image_width=width, auto_slice_resolution=True)
    else:
        assert config.size is not None
        boxes = get_slice_bboxes(
            image_height=height, image_width=width, slice_width=config.size[0], slice_height=config.size[1],
            auto_slice_resolution=False, overlap_width_ratio=config.overlap, overlap_height_ratio=config.overlap,
        )  # fmt: skip
    return [(int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in boxes]
