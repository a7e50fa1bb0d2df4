"""An open-vocabulary YOLO of Ultralytics' that is asked for one description after another."""

import inspect
from collections.abc import Sequence
from pathlib import Path

import torch

from core.errors import InputError, reason
from detector.inference.torch_network import TorchNetwork


class OpenNetwork(TorchNetwork):
    """YOLO-World or YOLOE with one class at a time, whose words `look_for` gives; the text tower is loaded once.

    Raises InputError for a checkpoint of another kind.
    """

    def __init__(self, path: Path, device: str, half: bool = False) -> None:
        super().__init__(path, device, half)
        if not hasattr(self._model, "set_classes") or hasattr(self._model.model[-1], "lrpc"):
            raise InputError(f"{path}: is no YOLO-World and no YOLOE that takes descriptions; detector= takes others")
        self._texts: dict[str, torch.Tensor] = {}
        self.num_classes = 1

    def look_for(self, words: str) -> bool:
        """Find only what `words` describe from now on; returns whether they are longer than the text tower reads."""
        if words not in self._texts:
            self._texts[words] = self._embedding(words)
        model, embedding = self._model, self._texts[words]
        if hasattr(model, "txt_feats"):  # YOLO-World
            model.txt_feats, model.model[-1].nc = embedding, 1
        else:
            model.set_classes([words], embedding)
        return self._is_cut([words])

    def _embedding(self, words: str) -> torch.Tensor:
        try:
            return self._model.get_text_pe([words], cache_clip_model=True).clone()  # type: ignore[no-any-return]
        except Exception as error:  # its text tower is a package and a download of its own
            raise InputError(f"{self._name}: its text tower could not be loaded: {reason(error)}") from error

    def _is_cut(self, words: Sequence[str]) -> bool:
        tower = getattr(self._model, "clip_model", None)
        if tower is None or "truncate" not in inspect.signature(tower.tokenize).parameters:
            return False
        try:
            tower.tokenize(list(words), truncate=False)
        except RuntimeError:  # as clip's own tokenizer says so
            return True
        return False
