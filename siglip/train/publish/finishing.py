"""Complete checkpoint folders of a training: weights, processor, settings, model card; pushed to the hub by setting."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.files import read_json, write_json, write_text
from core.runs import RunFolder
from core.tracking import Tracker
from siglip.loss.gathering import rank
from siglip.model import SETTINGS_FILE, TEXT_LENGTH, text_length
from siglip.objective import Form, write_objective
from siglip.pixels import preprocessing_of
from siglip.small import MODEL_TYPE
from siglip.train.freezing import add_lora, freeze, merge_lora
from siglip.train.publish.card import model_card
from siglip.train.publish.pushing import hub_base, push
from siglip.train.settings import TrainConfig
from siglip.train.states import publish, whole_weights
from siglip.train.towers import without_word_head


class Finisher:
    """Writes folders that `from_pretrained` and Hugging Face's pipelines open, whatever the model is wrapped in."""

    def __init__(
        self, config: TrainConfig, folder: RunFolder, model: Any, processor: Any, remembered: dict[str, Any]
    ) -> None:
        self._config, self._folder, self._processor = config, folder, processor
        self._model_config, self._class = copy.deepcopy(model.config), type(model)
        self._base = hub_base(config.scorer.weights)
        kept = {"base": self._base, "preprocessing": preprocessing_of(processor.image_processor)}
        self._remembered = {**remembered, **kept}

    def publish(self, name: str, model: nn.Module, figures: dict[str, Any]) -> None:
        """Leave the folder `name` of the run; all processes call it together, the first one writes."""
        weights = whole_weights(model)
        if rank() == 0:
            publish(self._folder.path / name, lambda folder: self._write(folder, weights, figures))

    def _write(self, folder: Path, weights: dict[str, torch.Tensor], figures: dict[str, Any]) -> None:
        plain = self._plain_model(weights)
        plain.save_pretrained(folder)
        self._processor.save_pretrained(folder)
        write_json(folder / SETTINGS_FILE, self._remembered)
        if self._config.loss.form is not Form.sigmoid:
            write_objective(folder, self._config.loss.form, self._remembered["captions"])
        write_text(folder / "README.md", self._card(figures))

    def _plain_model(self, weights: dict[str, torch.Tensor]) -> Any:
        """A model of its own with these weights, LoRA added in, nothing wrapped around it."""
        with torch.device("meta"):
            model = self._class(self._model_config)
        lora = self._config.lora
        if lora.rank:
            freeze(model, self._config.freeze.image, self._config.freeze.text, self._config.freeze.layers)
            add_lora(model, lora.rank, lora.alpha, lora.dropout)
        model.load_state_dict(without_word_head(weights), strict=True, assign=True)
        if lora.rank:
            merge_lora(model)
        return model

    def _card(self, figures: dict[str, Any]) -> str:
        record = read_json(self._folder.path / "run.json")
        numbers = {k: v for k, v in figures.items() if isinstance(v, int | float)}
        stock = self._model_config.model_type != MODEL_TYPE and text_length(self._model_config) == TEXT_LENGTH
        return model_card(self._folder.path.name, self._base, self._remembered, self._config, record, numbers, stock)

    def close(self, model: nn.Module, figures: dict[str, Any], tracker: Tracker, has_best: bool) -> None:
        """Leave `last/`, track the folders, and push the better one to the hub if asked for."""
        self.publish("last", model, figures)
        if rank() != 0:
            return
        for name in ["last", *(["best"] if has_best else [])]:
            tracker.log_artifact(self._folder.path / name, f"{self._folder.id}-{name}", "scorer")
        if self._config.push_to_hub:
            push(self._folder.path / ("best" if has_best else "last"), self._config.push_to_hub)
