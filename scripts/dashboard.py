"""The Weights & Biases dashboard as code: training, evaluation and sweeps, in one workspace.

    python scripts/dashboard.py                                   # print the specification, send nothing
    python scripts/dashboard.py entity=TEAM project=grounder send=true

Sending needs a key (`wandb login`) and makes a new saved view of the project.
"""

import json
import sys
from typing import Any

from words import read_words, refuse  # beside this script

from eval.figures import (
    ACCURACIES,
    BOXES,
    DETECTOR_LOSSES,
    DETECTOR_VALIDATION,
    MEMORY,
    SCORER_LOSS,
    SCORER_STEPS,
    SWEEP_TABLES,
    TABLES,
)

FIELDS = {"entity": "", "project": "grounder", "send": "false"}
SCORER = (*SCORER_LOSS, *SCORER_STEPS, "detected_accuracy", "ranking_accuracy")
DETECTOR = (*DETECTOR_VALIDATION, *DETECTOR_LOSSES)
CHOICES = (
    "lr",
    "weight_decay",
    "epochs",
    "recipe.name",
    "loss.negatives",
    "loss.same_caption",
    "confidence",
    "nms_iou",
)


def workspace(entity: str, project: str) -> Any:
    """The workspace, not yet sent."""
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name="Training: scorer", panels=_lines(SCORER, "Step"), is_open=True),
        ws.Section(name="Training: detector", panels=_lines(DETECTOR, "epoch"), is_open=True),
        ws.Section(name="Evaluation", panels=_evaluation(), is_open=True),
        ws.Section(name="Sweeps", panels=_sweeps(), is_open=True),
    ]
    return ws.Workspace(entity=entity, project=project, name="Grounder", sections=sections)


def _lines(metrics: tuple[str, ...], x: str) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [wr.LinePlot(title=name, x=x, y=[name]) for name in metrics]


def _evaluation() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.BarPlot(title="Captions answered right", metrics=list(ACCURACIES)),
        wr.BarPlot(title="Boxes", metrics=list(BOXES)),
        wr.ScatterPlot(title="Accuracy against memory", x=wr.SummaryMetric(MEMORY),
                       y=wr.SummaryMetric("export/accuracy")),
        wr.MediaBrowser(title="Report and charts", media_keys=["report/page"], num_columns=1),
        *(wr.WeavePanelSummaryTable(table_name=name) for name in TABLES),
    ]  # fmt: skip


def _sweeps() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(name)) for name in CHOICES]
    judged = [wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(name)) for name in ACCURACIES[:2]]
    return [
        wr.ParallelCoordinatesPlot(title="Settings and accuracy", columns=[*columns, *judged]),
        wr.ParameterImportancePlot(with_respect_to="export/accuracy"),
        wr.ParameterImportancePlot(with_respect_to="detected_accuracy"),
        *(wr.WeavePanelSummaryTable(table_name=name) for name in SWEEP_TABLES),
    ]


def main(argv: list[str] | None = None) -> None:
    """Print the specification, or send it."""
    words = FIELDS | read_words("dashboard", __doc__, tuple(FIELDS), sys.argv[1:] if argv is None else argv)
    if words["send"] not in {"true", "false"}:
        refuse("dashboard", f"send: {words['send']!r} is neither true nor false")
    if words["send"] == "true" and not words["entity"]:
        refuse("dashboard", "entity: must name a W&B team or user to send to")
    made = workspace(words["entity"], words["project"])
    if words["send"] == "true":
        made.save()
        print(made.url)
    else:
        print(json.dumps(made._to_model().model_dump(mode="json", by_alias=True), indent=1))


if __name__ == "__main__":
    main()
