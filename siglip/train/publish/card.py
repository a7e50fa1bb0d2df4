"""The model card of a checkpoint folder, filled from the run: its settings by their names, its record, its figures."""

from dataclasses import asdict
from typing import Any

import yaml

from core.settings import plain
from siglip.train.settings import TrainConfig

SETTINGS = (
    "scorer.weights", "crops", "val_crops", "recipe.name", "batch.size", "loss.form", "loss.negatives",
    "loss.same_caption", "loss.none", "loss.words", "freeze.image", "freeze.text", "freeze.layers", "lora.rank",
    "epochs", "lr", "betas", "weight_decay", "decay_on", "layer_decay", "warmup", "clip_norm", "scale_max",
    "precision", "seed",
)  # fmt: skip
VERSIONS = ("python", "torch", "transformers", "accelerate")

_USE = """```python
from transformers import pipeline

scorer = pipeline("zero-shot-image-classification", model=FOLDER)
scorer(image, candidate_labels=["a caption", "another"], hypothesis_template={template!r})
```"""

# Hugging Face's pipelines pad texts to 64 positions and know no model type but their own.
_OWN_USE = """```python
from siglip.build import build_scorer
from siglip.settings import ScorerConfig

scorer = build_scorer(ScorerConfig(weights=FOLDER))
scores = scorer.scores(scorer.embed_images([crop]), scorer.embed_texts(["a caption", "another"]))
```"""


def model_card(
    name: str, base: str | None, remembered: dict[str, Any], config: TrainConfig, record: dict[str, Any],
    figures: dict[str, Any], in_pipelines: bool = True,
) -> str:  # fmt: skip
    """Markdown with the hub's front matter.

    base: hub name that the weights descend from. remembered: what the folder keeps of its training (template, policy).
    record: the run's `run.json`. figures: what the training measured, by the names of its log. in_pipelines: whether
    Hugging Face's pipelines open the folder.
    """
    front: dict[str, Any] = {"library_name": "transformers" if in_pipelines else "grounder",
                             "tags": ["siglip", "grounder"]}  # fmt: skip
    if in_pipelines:
        front["pipeline_tag"] = "zero-shot-image-classification"
    if base is not None:
        front["base_model"] = base
    origin = f"fine-tuned from `{base or config.scorer.weights}`" if config.scorer.weights else "trained from scratch"
    template = remembered["template"]
    use = _USE.format(template=template) if in_pipelines else _OWN_USE
    lines = [
        "---", yaml.safe_dump(front, sort_keys=True).strip(), "---", "", f"# {name}", "",
        f"A SigLIP scorer of crops against captions, {origin}.", "", "## Use", "", use, "",
        f"Captions go in lower-cased, in the template `{template}`; crops were enlarged by `{remembered['policy']}`.",
        "",
        "## Training", "", *_table(_settings_table(config)), "",
        f"Run `{record['id']}` of `{record['command']}`, commit `{record['commit']}`; "
        + ", ".join(f"{package} {record['versions'][package]}" for package in VERSIONS) + ".", "",
        "## Results", "", *_table(figures), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _settings_table(config: TrainConfig) -> dict[str, Any]:
    """The settings of SETTINGS, as the run's config.yaml has them."""
    table: dict[str, Any] = {}
    for name in SETTINGS:
        value: Any = plain(asdict(config))
        for part in name.split("."):
            value = value[part]
        table[name] = value
    return table


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {name} | {_cell(value)} |" for name, value in values.items()]
    return ["| what | value |", "|---|---|", *rows]


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value).replace("|", "\\|")
