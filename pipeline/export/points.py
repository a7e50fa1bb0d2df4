"""The settings whose crops an export scores: its own, and every combination that its sweep lists ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import product

from core.cuts import CutConfig, FusionMethod, candidates_of, weight_lists
from core.errors import InputError, check_limits, check_shares
from core.stages import View
from core.values import Candidates
from pipeline.export.settings import ExportConfig


@dataclass(frozen=True)
class SweepPoint:
    """One way to an image's candidates."""

    views: str
    cut: CutConfig

    def candidates(self, views: Sequence[View]) -> Candidates:
        """The candidates of the views that fit the pattern; InputError when none does."""
        chosen = [view for view in views if fnmatch(view.name, self.views)]
        if not chosen:
            raise InputError(f"sweep.views: {self.views!r} fits none of {', '.join(v.name for v in views)}")
        return candidates_of(chosen, self.cut)


def points(config: ExportConfig) -> list[SweepPoint]:
    """The export's own point first, then the others; an empty list keeps the export's own value."""
    own = CutConfig(config.confidence, config.nms_iou, config.max_det, config.fusion)
    asked = config.sweep
    check_shares(asked, ("confidence", "nms_iou", "wbf_iou"), "sweep.")
    check_limits(asked.max_det, "sweep.max_det")
    limits: Sequence[int | None] = asked.max_det or [own.max_det]
    methods = asked.fusion or [own.fusion.method]
    ious = asked.wbf_iou or [own.fusion.wbf_iou]
    weights = weight_lists(asked.weights, "sweep.weights") or [list(own.fusion.weights)]
    fusions = [
        replace(own.fusion, method=m, wbf_iou=i, weights=w)
        for m, i, w in product(methods, ious, weights)
        if m is FusionMethod.wbf or (i, w) == (ious[0], weights[0])
    ]
    cuts = [
        CutConfig(c, i, m, f)
        for f in fusions
        for c, i, m in product(asked.confidence or [own.confidence], asked.nms_iou or [own.nms_iou], limits)
    ]
    found = [SweepPoint(views, cut) for views, cut in product(asked.views or ["*"], cuts)]
    return [SweepPoint("*", own), *(p for p in found if p != SweepPoint("*", own))]
