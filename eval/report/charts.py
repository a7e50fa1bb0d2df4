"""The charts of a report, from what run folders hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.files import read_json
from eval.answers.measures import CURVES
from eval.charts.kinds import Bars, Chart, HeatMap, Line, LineChart
from eval.report.links import link, setting_link
from eval.runs import FoundRun

HEAT = {"accuracy": "Grounding accuracy", "f1": "F1 of the boxes", "AP50_cut": "AP50 above the confidence"}
POINTS = 40  # of a curve, those that can be followed
SHARE = (0.0, 1.02)  # the range of an axis of shares, with room for the line at 1


def curve_charts(coco: FoundRun, offers: Mapping[str, Any] | None = None) -> list[Chart]:
    """Precision against recall, and precision, recall and F1 against confidence, of an eval.coco run.

    offers: what the page holds of the run's boxes; then a point leads to what the detector loses at its confidence.
    """
    path = coco.path / "curves.json"
    if not path.is_file():
        return []
    curves = read_json(path)
    if not curves["confidence"]:
        return []
    best = max(range(len(curves["f1"])), key=lambda n: curves["f1"][n])
    f1, confidence = curves["f1"][best], curves["confidence"][best]
    recall, precision = curves["recall"], curves["precision"]
    links = _followed(curves["confidence"], offers)
    return [
        LineChart("precision-recall", "Precision against recall", "recall", "precision",
                  [Line("precision", recall, precision, links)], [(recall[best], precision[best], f"best F1 {f1:.3f}")],
                  SHARE),
        LineChart("confidence", "What a confidence cut does", "confidence", "share",
                  [Line(name, curves["confidence"], curves[name], links) for name in ("precision", "recall", "f1")],
                  [(confidence, f1, f"F1 {f1:.3f} at {confidence:.2f}")], SHARE),
    ]  # fmt: skip


def _followed(confidences: Sequence[float], offers: Mapping[str, Any] | None) -> list[str | None]:
    """The addresses of some of a curve's points, evenly over its confidences."""
    asked = [setting_link({"confidence": c}, offers, stage="detector") for c in confidences]
    step, kept, last = (max(confidences) - min(confidences)) / POINTS, [], float("inf")
    for confidence, address in zip(confidences, asked, strict=True):
        is_next = address is not None and abs(confidence - last) >= step
        kept.append(address if is_next else None)
        last = confidence if is_next else last
    return kept


def sweep_charts(
    rows: Sequence[Mapping[str, Any]], by: str = "accuracy", offers: Mapping[str, Any] | None = None
) -> list[Chart]:
    """Heat maps of confidence x NMS IoU, each cell the best over the sweep's other settings.

    by: the figure that the sweep was judged by, which has a map too unless less of it is better. offers: what the page
    holds of the run; then a cell leads to the wrong answers at its setting.
    """
    confidences = sorted({row["confidence"] for row in rows})
    ious = sorted({row["nms_iou"] for row in rows})
    if len(rows) < 2:
        return []
    others = len(rows) > len(confidences) * len(ious)
    charts: list[Chart] = []
    own = {} if by in CURVES else {by: by.replace("_", " ").capitalize()}
    for figure, title in {**own, **HEAT}.items():
        if any(row.get(figure) is None for row in rows):
            continue
        cells: dict[tuple[float, float], Mapping[str, Any]] = {}
        for row in rows:
            at = row["confidence"], row["nms_iou"]
            if at not in cells or row[figure] > cells[at][figure]:
                cells[at] = row
        best = [[cells.get((c, i)) for i in ious] for c in confidences]
        values = [[None if row is None else row[figure] for row in line] for line in best]
        links = [[None if row is None else setting_link(row, offers, answer="wrong") for row in line] for line in best]
        note = "Each cell is the best over the other settings." if others else ""
        key, names = f"sweep-{figure.replace('_', '-')}", ([f"{i:g}" for i in ious], [f"{c:g}" for c in confidences])
        charts.append(HeatMap(key, title, "NMS IoU", "confidence", *names, values, note, links))
    return charts


def breakdown_charts(breakdowns: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Chart]:
    """Accuracy as bars, with the detector's ceiling behind, per kind, colour, size and nearness of look-alikes."""
    charts: list[Chart] = []
    for by, rows in breakdowns.items():
        if by == "caption" or len(rows) < 2:
            continue
        top = rows[:14]
        rest = f" The {len(rows) - 14} rarest are in report.json." if len(rows) > 14 else ""
        charts.append(
            Bars(f"by-{by}", f"By {by}", [str(r[by]) for r in top], [r["accuracy"] for r in top],
                 [r["ceiling"] for r in top], [r["captions"] for r in top],
                 "Solid: right answers. Pale: what a perfect scorer would reach." + rest,
                 [link(**{by.replace("-", "_"): r[by]}) for r in top])
        )  # fmt: skip
    return charts
