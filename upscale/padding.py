"""Pre-padding rules: how many pixels a crop is reflected to the right and below before it is enlarged.

Real-ESRGAN reflects right and bottom only, which needs both sides larger than the pad; the rules differ in what small
crops get. Source: RealESRGANer.pre_process in xinntao/Real-ESRGAN v0.3.0, and the published system's conditions.
"""

from enum import Enum


class Pad(Enum):
    """Which crops are padded by how much; `pad=1` and `pad=10` on the command line are `one` and `ten`."""

    none = "none"  # no padding
    one = 1  # 1 wherever both sides are larger than 1
    ten = 10  # 10 wherever both sides are larger than 10, else 0
    published = "published"  # both sides > 10: 10; else both > 1: 1; else the crop is left as it is
    older = "older"  # both sides > 10: 10; else the crop is left as it is


def pad_of(rule: Pad, width: int, height: int) -> int | None:
    """Pixels of pre-padding for a crop, or None when the rule leaves the crop untouched (not enlarged at all).

    With `none`, `one` and `ten` every crop is enlarged, and one too small for the reflection goes in unpadded.
    """
    smaller = min(width, height)
    if rule is Pad.none:
        return 0
    if rule is Pad.one:
        return 1 if smaller > 1 else 0
    if smaller > 10:
        return 10
    if rule is Pad.ten:
        return 0
    if rule is Pad.published and smaller > 1:
        return 1
    return None
