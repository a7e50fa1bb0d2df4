"""The settings whose crops an export scores: its own, and every combination that its sweep lists ask for."""

from itertools import product

from core.cuts import CutConfig, Point, combinations
from pipeline.export.settings import ExportConfig


def points(config: ExportConfig) -> list[Point]:
    """The export's own point first, then the others; an empty list keeps the export's own value."""
    own = Point("*", CutConfig(config.confidence, config.nms_iou, config.max_det, config.fusion, config.vote_iou))
    cuts = combinations(config.sweep, own.cut, "sweep.")
    found = [Point(views, cut) for views, cut in product(config.sweep.views or ["*"], cuts)]
    return [own, *(point for point in found if point != own)]
