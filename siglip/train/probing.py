"""A look at a real batch before the first step: its images against their recipe, its floats against their range."""

from pathlib import Path
from typing import Any

import numpy as np

from core.images import contact_sheet, write_image
from core.stages import Image
from data.augment.probe import FEWEST, RecipeNotLiveError, probe_batch
from siglip.pixels import normalise, preprocessing_of
from siglip.train.images import Images, Step

_SHOWN = 16  # crops on a sheet
_MOST = 96  # crops that are compared
_FARTHEST = 10.0  # black or white as floats: 1 for SigLIP, 2.6 for CLIP, 509 where the division by 255 is forgotten


def probe(images: Images, epoch: int, step: Step, made: list[Image], image_processor: Any) -> dict[str, float]:
    """The figures of `data.augment.probe` for the first crops of an epoch; RecipeNotLiveError when they are off.

    made: what the loader gave for this process's share of `step`; more crops of the epoch are taken if they are few.
    """
    places, real = list(step.share)[:_MOST], made[:_MOST]
    if len(places) < FEWEST:
        more = [int(i) for i in images.epoch_order(epoch) if i not in set(places)][: FEWEST - len(places)]
        places, real = [*places, *more], [*real, *images[epoch, tuple(more)]]
    figures = probe_batch([images.warped(epoch, int(i)) for i in places], real, images.rest)
    kept = preprocessing_of(image_processor)
    floats = normalise(real[:1], image_processor)[0].numpy()
    scale = 255 * kept["rescale_factor"]
    for channel, (mean, std) in enumerate(zip(kept["mean"], kept["std"], strict=True)):
        low, high = (0 - mean) / std, (scale - mean) / std
        if max(-low, high) > _FARTHEST:
            raise RecipeNotLiveError(f"channel {channel} of the floats reaches {max(-low, high):.3g} in white or black")
        values = floats[channel]
        if not np.isfinite(values).all() or values.min() < low - 1e-3 or values.max() > high + 1e-3:
            raise RecipeNotLiveError(f"channel {channel} of the floats leaves {low:.3g}..{high:.3g}")
    return figures


def sheet(images: list[Image], path: Path) -> Image:
    """Write the first augmented crops side by side, and return the sheet."""
    made = contact_sheet(images[:_SHOWN])
    write_image(path, made)
    return made
