"""Complete checkpoint folders of a training: weights, processor, settings, model card; pushed to the hub by setting."""

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from core.errors import reason
from core.files import write_json, write_text
from core.runs import RunFolder
from core.tracking import Tracker
from siglip.card import model_card
from siglip.checkpoint import publish, whole_weights
from siglip.freezing import add_lora, freeze, merge_lora
from siglip.gathering import rank
from siglip.model import SETTINGS_FILE
from siglip.pixels import preprocessing_of

if TYPE_CHECKING:
    from siglip.train import TrainConfig


class Finisher:
    """Writes folders that `from_pretrained` and Hugging Face's pipelines open, whatever the model is wrapped in."""

    def __init__(
        self, config: "TrainConfig", folder: RunFolder, model: Any, processor: Any, remembered: dict[str, Any]
    ) -> None:
        self._config, self._folder, self._processor = config, folder, processor
        self._model_config, self._class = copy.deepcopy(model.config), type(model)
        self._remembered = {**remembered, "preprocessing": preprocessing_of(processor.image_processor)}
        self.text_length = int(model.config.text_config.max_position_embeddings)

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
        write_text(folder / "README.md", self._card(figures))

    def _plain_model(self, weights: dict[str, torch.Tensor]) -> Any:
        """A model of its own with these weights, LoRA added in, nothing wrapped around it."""
        with torch.device("meta"):
            model = self._class(self._model_config)
        lora = self._config.lora
        if lora.rank:
            freeze(model, self._config.freeze.image, self._config.freeze.text, self._config.freeze.layers)
            add_lora(model, lora.rank, lora.alpha, lora.dropout)
        model.load_state_dict(weights, strict=True, assign=True)
        if lora.rank:
            merge_lora(model)
        return model

    def _card(self, figures: dict[str, Any]) -> str:
        config = self._config
        run = {
            "policy": self._remembered["policy"], "crops": config.crops, "recipe": config.recipe.name,
            "pairs a step": config.batch.size, "negatives": config.loss.negatives.name,
            "same caption": config.loss.same_caption.name, "epochs": config.epochs, "learning rate": config.lr,
            "weight decay": config.weight_decay, "seed": config.seed, "run": self._folder.id,
        }  # fmt: skip
        numbers = {k: v for k, v in figures.items() if isinstance(v, int | float)}
        return model_card(self._folder.path.name, config.scorer.weights, self._remembered["template"], run, numbers)

    def close(self, model: nn.Module, figures: dict[str, Any], tracker: Tracker, has_best: bool) -> None:
        """Leave `last/`, track the folders, and push the better one to the hub if asked for."""
        self.publish("last", model, figures)
        if rank() != 0:
            return
        for name in ["last", *(["best"] if has_best else [])]:
            tracker.log_artifact(self._folder.path / name, f"{self._folder.id}-{name}", "scorer")
        if self._config.push_to_hub:
            _push(self._folder.path / ("best" if has_best else "last"), self._config.push_to_hub)


def _push(folder: Path, name: str) -> None:
    """Upload a folder as a model repository; without a network or a key the run is finished all the same."""
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except Exception as error:  # whatever the hub or the network says, the checkpoint is on disk
        print(f"push_to_hub: {name} was not pushed: {reason(error)}; push {folder} by hand", file=sys.stderr)
