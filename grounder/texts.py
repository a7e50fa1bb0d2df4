"""Values of text settings as they were typed: Hydra's grammar would read numbers, lists and sweeps out of them."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, StringNode

_PLAIN_WORD = re.compile(r"([A-Za-z_][\w.]*)=(.+)", re.DOTALL)
_LEFT_ALONE = ("'", '"', "???")  # quoted already, or without a value


def as_typed(words: Sequence[str], config_name: str, search: Sequence[str]) -> list[str]:
    """The words, quoted where a text setting's value would not be read as the text that was typed.

    `run_dir=2025_11_28` is a folder, not a number, and `caption=x=3 sign` a caption. `null` stays null, `${...}` an
    interpolation. Call it within Hydra's initialisation.
    """

    @cache
    def base() -> DictConfig:
        return compose(config_name, overrides=list(search))

    return [_quoted(word) if _is_misread(word) and _is_text(base(), word.partition("=")[0]) else word for word in words]


def _is_misread(word: str) -> bool:
    match = _PLAIN_WORD.fullmatch(word)
    if match is None or match[2].startswith(_LEFT_ALONE) or "${" in match[2] or match[2].strip().lower() == "null":
        return False
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return True
    return override.is_sweep_override() or not isinstance(override.value(), str)


def _is_text(base: DictConfig, name: str) -> bool:
    """Whether a setting is a text, or a group that takes the path of a checkpoint."""
    node: Any = base
    for part in name.split("."):
        node = node._get_node(part) if isinstance(node, DictConfig) and part in _names(node) else None
    return isinstance(node, StringNode) or ("." not in name and isinstance(node, DictConfig) and "weights" in node)


def _names(node: DictConfig) -> list[str]:
    return [] if node._is_none() or node._is_missing() else [str(name) for name in node]


def _quoted(word: str) -> str:
    name, _, value = word.partition("=")
    text = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"{name}='{text}'"
