"""SigLIP behind the scorer protocol, and small ones made from scratch.

Shapes: N crops, M captions, D embedding width, L tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.choosing import score_matrix
from core.errors import InputError
from core.files import read_json, sha256_bytes, sha256_file, write_json
from siglip.pixels import crop_pixels
from siglip.scorer import TEMPLATE, ScorerConfig

TEXT_LENGTH = 64  # SigLIP reads its last position, and Hugging Face's pipelines pad to 64 whatever the tokenizer says
SETTINGS_FILE = "grounder.json"  # what a checkpoint remembers beside Hugging Face's own files


def load_parts(weights: str) -> tuple[Any, Any, dict[str, Any]]:
    """(model, processor, settings) of a checkpoint folder or hub name; InputError when it cannot be loaded."""
    from transformers import AutoModel, AutoProcessor

    _hush()
    try:
        processor = AutoProcessor.from_pretrained(weights)
        model, told = AutoModel.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # the libraries raise anything from OSError to SafetensorError for a broken folder
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{weights}: cannot be loaded as a scorer: {reason}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if told.get(kind):
            names = sorted(map(str, told[kind]))
            raise InputError(f"{weights}: {len(names)} {kind.replace('_', ' ')} ({names[0]}, ...); "
                             "siglip.convert cleans keys")  # fmt: skip
    path = Path(weights) / SETTINGS_FILE
    return model, processor, read_json(path) if path.is_file() else {}


def _hush() -> None:
    """Keep transformers from drawing bars for a second's work and from warning of its own default configuration."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def tokens(processor: Any, captions: Sequence[str], template: str) -> dict[str, torch.Tensor]:
    """(M, L) token ids of captions in their template, padded to the text tower's full length as SigLIP needs."""
    texts = [template.format(caption.lower()) for caption in captions]
    made = processor.tokenizer(
        texts, padding="max_length", truncation=True, max_length=TEXT_LENGTH, return_tensors="pt"
    )
    return {"input_ids": made["input_ids"]}


def make_model(architecture: dict[str, Any], captions: Sequence[str]) -> tuple[Any, Any]:
    """A randomly initialised SiglipModel with the given text and vision values and a word tokenizer of the captions."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    _hush()
    text, vision = dict(architecture.get("text", {})), dict(architecture.get("vision", {}))
    tokenizer = word_tokenizer(captions)
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
    }
    config = SiglipConfig(text_config={**text, **ids, "vocab_size": len(tokenizer)}, vision_config=vision)
    model = SiglipModel(config)
    start = {"scale": 10.0, "bias": -10.0, **architecture.get("start", {})}  # big_vision's, unless given
    torch.nn.init.constant_(model.logit_scale, float(np.log(start["scale"])))
    torch.nn.init.constant_(model.logit_bias, float(start["bias"]))
    side = config.vision_config.image_size
    image_processor = SiglipImageProcessor(size={"height": side, "width": side})
    return model, SiglipProcessor(image_processor=image_processor, tokenizer=tokenizer)


def word_tokenizer(captions: Sequence[str]) -> Any:
    """A fast tokenizer whose vocabulary is the words of the captions, lower-cased, with pad, end and unknown."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for caption in captions for word in _words(caption)})
    vocabulary = {word: place for place, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_LENGTH,
        padding_side="left",  # the tower reads its last position: there the caption ends, not the padding
        model_input_names=["input_ids"],  # SigLIP was trained without an attention mask and must not be given one
    )


def _words(caption: str) -> list[str]:
    from tokenizers import pre_tokenizers

    return [word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(caption.lower())]


def save_checkpoint(folder: Path, model: Any, processor: Any, settings: dict[str, Any]) -> None:
    """Write a complete folder that `from_pretrained` and Hugging Face's pipelines open."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_json(folder / SETTINGS_FILE, settings)


class SiglipScorer:
    """A SigLIP checkpoint as `core.stages.Scorer`."""

    def __init__(self, config: ScorerConfig, device: str) -> None:
        if not config.weights:
            raise InputError("scorer.weights: must be given: a checkpoint folder or a hub name")
        self._model, self._processor, self.settings = load_parts(config.weights)
        stored = self.settings.get("template")
        if config.template is not None and stored is not None and config.template != stored:
            raise InputError(f"scorer.template: {config.template!r}, but {config.weights} was trained with {stored!r}")
        self.template = config.template or stored or TEMPLATE
        self.policy = self.settings.get("policy")
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]
        self._model.to(device=device, dtype=dtype).eval()
        self._device, self._dtype, self._batch = device, dtype, config.batch
        self.key = sha256_bytes(f"{weights_digest(config.weights)} {self.template} {config.precision}".encode())[:16]

    @property
    def calibration(self) -> dict[str, Any]:
        """`scale` and `bias` of the sigmoid."""
        scale, bias = self._model.logit_scale.exp().item(), self._model.logit_bias.item()
        return {"scale": scale, "bias": bias, "sigmoid": True}

    @torch.inference_mode()
    def embed_images(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors."""
        parts = []
        for start in range(0, len(crops), self._batch):
            pixels = crop_pixels(crops[start : start + self._batch], self._processor.image_processor)
            output = self._model.vision_model(pixel_values=pixels.to(self._device, self._dtype)).pooler_output
            parts.append(_unit(output))
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    @torch.inference_mode()
    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors."""
        if not captions:
            return np.zeros((0, 0), np.float32)
        inputs = tokens(self._processor, captions, self.template)
        return _unit(self._model.text_model(input_ids=inputs["input_ids"].to(self._device)).pooler_output)

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, M) sigmoid probabilities."""
        return score_matrix(self.calibration, image_emb_ND, text_emb_MD)


def _unit(output: torch.Tensor) -> NDArray[np.float32]:
    output = output.float()
    return (output / output.norm(dim=-1, keepdim=True)).cpu().numpy()


def weights_digest(weights: str) -> str:
    """The content key of a checkpoint: the digests of its weight files, or the hub name."""
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".bin", ".json"} and p.is_file())
    return sha256_bytes("\n".join(f"{p.name} {sha256_file(p)}" for p in files if p.name != "manifest.json").encode())
