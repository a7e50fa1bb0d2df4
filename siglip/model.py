"""SigLIP checkpoints: opened, made small from scratch, saved complete.

Shapes: M captions, L tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import InputError, reason
from core.files import read_json, write_json
from core.manifest import MANIFEST, verify_manifest
from siglip.pixels import preprocessing_of
from siglip.settings import TEMPLATE

TEXT_LENGTH = 64  # SigLIP reads its last position, and Hugging Face's pipelines pad to 64 whatever the tokenizer says
LENGTH_STEP = 8  # a text tower made here has a multiple of this many positions
SETTINGS_FILE = "grounder.json"  # what a checkpoint remembers beside Hugging Face's own files


def load_parts(weights: str) -> tuple[Any, Any, dict[str, Any]]:
    """(model, processor, settings) of a checkpoint folder or hub name; InputError when it cannot be loaded.

    A folder with a manifest is compared with it first: a changed byte of weights gives other scores without a word.
    """
    from transformers import AutoModel, AutoProcessor

    from siglip.small import register

    register()
    if (Path(weights) / MANIFEST).is_file():
        _require_unchanged(weights)
    hush()
    try:
        processor = AutoProcessor.from_pretrained(weights)
        model, loading = AutoModel.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # the libraries raise anything from OSError to SafetensorError for a broken folder
        raise InputError(f"{weights}: cannot be loaded as a scorer: {reason(error)}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading.get(kind):
            names = sorted(map(str, loading[kind]))
            raise InputError(f"{weights}: {len(names)} {kind.replace('_', ' ')} ({names[0]}, ...); "
                             "siglip.convert cleans keys")  # fmt: skip
    path = Path(weights) / SETTINGS_FILE
    settings = read_json(path) if path.is_file() else {}
    require_preprocessing(weights, processor, settings.get("preprocessing"))
    return model, processor, settings


def _require_unchanged(weights: str) -> None:
    try:
        verify_manifest(weights)
    except InputError as error:
        raise InputError(f"scorer: {error}; if that is meant, remove the folder's {MANIFEST}") from error


def require_preprocessing(weights: str, processor: Any, stored: dict[str, Any] | None) -> None:
    """InputError when the folder's image processor is not the one its weights were trained with."""
    if stored is None:
        return
    held = preprocessing_of(processor.image_processor)
    for name, value in stored.items():
        if held.get(name) != value:
            raise InputError(f"{weights}: its image processor has {name} {held.get(name)!r}, "
                             f"but it was trained with {value!r}")  # fmt: skip


def hush() -> None:
    """Keep transformers from drawing bars for a second's work and from warning of its own default configuration."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def choose_template(given: str | None, stored: str | None, weights: str) -> str:
    """The prompt template of a training or of a use: the checkpoint's own or, where it remembers none, the given one.

    Raises InputError for one that is not the checkpoint's, and for one that is no template.
    """
    if given is not None and stored is not None and given != stored:
        raise InputError(f"scorer.template: {given!r}, but {weights} was trained with {stored!r}")
    template = given or stored or TEMPLATE
    try:
        fits = template.format("x") != template.format("y")
    except (IndexError, KeyError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"scorer.template: {template!r} has no single {{}} for the caption")
    return template


def prompts(captions: Sequence[str], template: str) -> list[str]:
    """Captions as the text tower reads them, in training and in use: lower-cased, in their template."""
    return [template.format(caption.lower()) for caption in captions]


def tokens(processor: Any, captions: Sequence[str], template: str, length: int) -> dict[str, torch.Tensor]:
    """(M, L) token ids of captions in their template, padded to the text tower's `length` as SigLIP needs."""
    texts = prompts(captions, template)
    made = processor.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return {"input_ids": made["input_ids"]}


def text_length(config: Any) -> int:
    """How many positions captions are always read at by its config: all that the text tower has, 64 at most."""
    return min(int(config.text_config.max_position_embeddings), TEXT_LENGTH)


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    """(..., D) vectors at length one."""
    return embeddings / embeddings.norm(dim=-1, keepdim=True)


def make_model(architecture: dict[str, Any], captions: Sequence[str], template: str = TEMPLATE) -> tuple[Any, Any]:
    """A randomly initialised model with the given text and vision values and a word tokenizer of the captions.

    `model_type`: `siglip`, the stock SiglipModel and default, or `grounder_small`. Unless given, the text tower has as
    many positions as the longest caption needs, see `LENGTH_STEP`. Raises InputError for another type.
    """
    from transformers import SiglipImageProcessor, SiglipProcessor

    hush()
    model_class, config_class = _classes(str(architecture.get("model_type", "siglip")))
    text, vision = dict(architecture.get("text", {})), dict(architecture.get("vision", {}))
    tokenizer = word_tokenizer(prompts(captions, template))
    text.setdefault("max_position_embeddings", _needed_length(tokenizer, prompts(captions, template)))
    tokenizer.model_max_length = min(int(text["max_position_embeddings"]), TEXT_LENGTH)
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
    }
    config = config_class(text_config={**text, **ids, "vocab_size": len(tokenizer)}, vision_config=vision)
    model = model_class(config)
    start = {"scale": 10.0, "bias": -10.0, **architecture.get("start", {})}  # big_vision's, unless given
    torch.nn.init.constant_(model.logit_scale, float(np.log(start["scale"])))
    torch.nn.init.constant_(model.logit_bias, float(start["bias"]))
    side = config.vision_config.image_size
    image_processor = SiglipImageProcessor(size={"height": side, "width": side})
    return model, SiglipProcessor(image_processor=image_processor, tokenizer=tokenizer)


def _classes(model_type: str) -> tuple[Any, Any]:
    from transformers import SiglipConfig, SiglipModel

    from siglip.small import MODEL_TYPE, SmallConfig, SmallScorer

    known = {"siglip": (SiglipModel, SiglipConfig), MODEL_TYPE: (SmallScorer, SmallConfig)}
    if model_type not in known:
        raise InputError(f"scorer.architecture.model_type: {model_type!r} is none of {', '.join(known)}")
    return known[model_type]


def _needed_length(tokenizer: Any, texts: Sequence[str]) -> int:
    longest = max(len(ids) for ids in tokenizer(list(texts))["input_ids"])
    return min(TEXT_LENGTH, -(-longest // LENGTH_STEP) * LENGTH_STEP)


def word_tokenizer(captions: Sequence[str]) -> Any:
    """A fast tokenizer whose vocabulary is the words of the captions, lower-cased, with pad, end and unknown."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for caption in captions for word in words_of(caption)})
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


def words_of(caption: str) -> list[str]:
    """A caption's words, lower-cased, as the tokenizers made here split it."""
    from tokenizers import pre_tokenizers

    return [word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(caption.lower())]


def save_checkpoint(folder: Path, model: Any, processor: Any, settings: dict[str, Any]) -> None:
    """Write a complete folder that `from_pretrained` and Hugging Face's pipelines open."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_json(folder / SETTINGS_FILE, settings)
