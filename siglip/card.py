"""The model card of a checkpoint folder, filled from the run."""

from typing import Any

import yaml

_USE = """```python
from transformers import pipeline

scorer = pipeline("zero-shot-image-classification", model=FOLDER)
scorer(image, candidate_labels=["a caption", "another"], hypothesis_template={template!r})
```"""


def model_card(name: str, base: str | None, template: str, run: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Markdown with the hub's front matter.

    base: hub name or folder the training began from. run: what the card tells of how it was trained. metrics: numbers.
    """
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "zero-shot-image-classification"}
    if base is not None:
        front["base_model"] = base
    lines = [
        "---", yaml.safe_dump(front, sort_keys=True).strip(), "---", "", f"# {name}", "",
        "A SigLIP scorer of crops against captions, "
        + (f"fine-tuned from `{base}`." if base else "trained from scratch."),
        "", "## Use", "", _USE.format(template=template), "",
        f"Captions go in lower-cased, in the template `{template}`; crops were enlarged by `{run.get('policy')}`.",
        "", "## Training", "", *_table(run), "", "## Results", "", *(_table(metrics) or ["No validation set."]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _table(values: dict[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {_cell(value)} |" for name, value in values.items()]
    return ["| what | value |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value).replace("|", "\\|")
