"""From `key=value` words to a checked configuration: Hydra's composition, with one clear line for each mistake."""

import importlib.resources
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.errors import InputError, nearest, reason
from grounder.presets import CONFIGS, use_config_dir
from grounder.texts import as_typed

MOST_NAMED = 40  # presets of a group that a message names one by one
PUBLISHED = re.compile(r"yolov?\d+[a-z]{1,2}6?u?(-[a-z]+)?(v2)?")  # Ultralytics' names of detectors


def register(command: str, schema: type) -> str:
    """Make `schema` known to Hydra; returns the name of the command's primary config."""
    store = ConfigStore.instance()
    store.store(name=f"{command}_schema", node=schema)
    has_yaml = importlib.resources.files(CONFIGS).joinpath(f"{command}.yaml").is_file()
    return command if has_yaml else f"{command}_schema"


def compose_config(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """The complete configuration of one run.

    A group that has a `weights` setting also takes a path or a hub name in place of a preset: `scorer=PATH` means
    `scorer=checkpoint scorer.weights=PATH`. Raises InputError: one line that names the setting, the value and the
    nearest valid one.
    """
    GlobalHydra.instance().clear()
    use_config_dir(config_dir)
    search = search_path(config_dir)
    with initialize_config_module(CONFIGS, version_base="1.3"):
        parsed = _parse(as_typed(overrides, config_name, search))
        last = {o.key_or_group: o for o in parsed}  # of two choices for one group or setting the later one counts
        words = [word for o in parsed if last[o.key_or_group] is o for word in _weights_rule(o, config_name, search)]
        words = _open_mappings(words, parsed, config_name, search)
        try:
            config = compose(config_name, overrides=[*search, *words])
            OmegaConf.resolve(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(_explain(error, words, config_name, search)) from error
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise InputError(f"{missing[0]}: must be given: {missing[0]}=...")
    return config


def first_of_sweeps(overrides: Sequence[str]) -> list[str]:
    """The overrides of one job of a multirun, to check before any job starts; glob sweeps are left to Hydra."""
    words = []
    for override in _parse(overrides):
        if not override.is_sweep_override():
            words.append(override.input_line or "")
        elif override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            words.append(f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}")
    return words


def sweep_words(config_name: str, overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """The overrides of a multirun for Hydra, with paths in place of presets as `compose_config` takes them.

    Raises InputError where one sweep mixes presets and paths, which Hydra cannot be told.
    """
    GlobalHydra.instance().clear()
    search = search_path(config_dir)
    with initialize_config_module(CONFIGS, version_base="1.3"):
        return [word for override in _parse(overrides) for word in _swept_rule(override, config_name, search)]


def _swept_rule(override: Override, config_name: str, search: list[str]) -> list[str]:
    word = override.input_line or ""
    if not override.is_sweep_override():
        return _weights_rule(override, config_name, search)
    if not override.is_discrete_sweep() or isinstance(override.value(), Glob):
        return [word]
    single = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    found = [_weights_rule(one, config_name, search) for one in _parse(single)]
    if [[one] for one in single] == found:
        return [word]
    if len({tuple(w.partition("=")[0] for w in words) for words in found}) > 1:
        raise InputError(
            f"{word}: presets and paths in one sweep; run them apart, or give each path a preset of its own"
        )
    *preset, _ = found[0]
    key = found[0][-1].partition("=")[0]
    return [*preset, f"{key}=" + ",".join(words[-1].partition("=")[2] for words in found)]


def search_path(config_dir: str | None) -> list[str]:
    """Hydra's word that adds a user's folder of presets, if there is one; InputError when it is missing."""
    if config_dir is None:
        return []
    if not Path(config_dir).is_dir():
        raise InputError(f"--config-dir {config_dir}: no such folder")
    return [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for word in overrides:
        try:
            parsed.append(parser.parse_override(word))
        except HydraException as error:
            raise InputError(
                f"{word}: not of the form key=value that Hydra reads ({reason(error)}){_quotes(word)}"
            ) from error
    return parsed


def _quotes(word: str) -> str:
    """What to type instead of a word that Hydra's grammar refuses, for the shell too."""
    name, equals, value = word.partition("=")
    if not equals:
        return "; a value of several words stands in quotes with its name: 'name=two words'"
    return (
        f"""; quote a value with =, brackets or commas: "{name}='{value}'\"""" if set(value) & set("=[]{}(),:") else ""
    )


def _weights_rule(override: Override, config_name: str, search: list[str]) -> list[str]:
    word = override.input_line or ""
    value = override.value()
    group = override.key_or_group
    if override.package is not None or "/" in group or override.is_delete() or override.is_add():
        return [word]
    options = _options(group, search)
    if options and value is None:
        return [f"~{group}"]  # Hydra knows no null group; without one the schema's own value stands
    if not options or not isinstance(value, str) or value in options:
        return [word]
    base = compose(config_name, overrides=search)
    node = base.get(group) if group in base else None
    if not (isinstance(node, DictConfig) and "weights" in node):
        raise InputError(f"{group}: {value!r} is not one of {', '.join(options)}{_nearest(value, options)}")
    looks_like_path = any(mark in value for mark in ("/", ".", os.sep)) or Path(value).exists()
    if group == "detector" and PUBLISHED.fullmatch(value):
        looks_like_path = True  # a name that Ultralytics publishes, with or without .pt
    if not looks_like_path:
        known = ", ".join(options)
        raise InputError(
            f"{group}: {value!r} is neither a preset ({known}) nor a file or folder{_nearest(value, options)}"
        )
    preset = [f"{group}=checkpoint"] if "checkpoint" in options else []  # settings that leave all to the checkpoint
    return [*preset, f"{group}.weights={word.partition('=')[2]}"]


def _open_mappings(words: list[str], parsed: list[Override], config_name: str, search: list[str]) -> list[str]:
    """The words, with `++` before those that put an entry into a mapping of any keys, which Hydra would refuse."""
    dotted = {o.input_line for o in parsed if "." in o.key_or_group and not (o.is_add() or o.is_force_add())}
    if not dotted:
        return words
    base = compose(config_name, overrides=search)
    return [f"++{w}" if w in dotted and _is_open(base, w.partition("=")[0]) else w for w in words]


def _is_open(base: DictConfig, key: str) -> bool:
    node: Any = base
    for part in key.split("."):
        if not isinstance(node, DictConfig) or OmegaConf.is_missing(node, part):
            return False
        node = node.get(part) if part in node else None
        if isinstance(node, DictConfig) and OmegaConf.get_type(node) is dict:
            return True
    return False


def _options(group: str, search: Sequence[str] = ()) -> list[str]:
    """The presets of a group, those of --config-dir (a folder in `search`) among them."""
    loader = GlobalHydra.instance().config_loader()
    shipped = [o for o in loader.get_group_options(group) if not o.endswith("_schema")] if group else []
    folders = [Path(word.partition("file://")[2].rstrip("']")) / group for word in search if group]
    return sorted({*shipped, *(path.stem for folder in folders for path in folder.glob("*.yaml"))})


def _explain(error: Exception, words: list[str], config_name: str, search: list[str]) -> str:
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    key = getattr(cause, "full_key", None)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = list(error.options or []) or _options(group)
        known = ", ".join(options) if len(options) <= MOST_NAMED else f"the {len(options)} presets of this group"
        own = "; --config-dir=DIR adds presets of your own"
        return f"{group or 'config'}: {name!r} is not one of {known}{_nearest(name, options) or own}"
    text = reason(cause)
    # Hydra has one class for these mistakes: only the words of hydra-core 1.3 tell them apart (tests see a change)
    if " not in '" in text or "Could not override" in str(error) or "is not in struct" in text:
        name = str(error).partition("'")[2].partition("'")[0] if "Could not override" in str(error) else (key or text)
        settings = list(_keys(config_name, search))
        if name in settings and (inner := text.partition("'")[2].partition("'")[0]) not in name:
            return f"{name}: no such setting within it: '{inner}'"  # of an element of a list
        return f"{name}: no such setting{_nearest(name, settings)}"
    if "Ambiguous value for argument" in text:
        typed = text.partition("'")[2].rpartition("'")[0]
        name, _, value = typed.partition("=")
        return f"{typed}: a comma lists the runs of -m; write {name}=[{value}] for a list, and a decimal with a point"
    word = next((w for w in words if key and w.lstrip("+").startswith(f"{key}=")), None)
    return f"{word or key or config_name}: {text}{_enum_hint(text)}"


def _enum_hint(text: str) -> str:
    if "expected one of [" not in text:
        return ""
    given = text.partition("'")[2].partition("'")[0]
    return _nearest(given, [w.strip() for w in text.partition("[")[2].partition("]")[0].split(",")])


def _keys(config_name: str, search: list[str]) -> Iterator[str]:
    """Every dotted setting of a command, and its groups."""
    yield from _flatten(compose(config_name, overrides=search), "")
    yield from GlobalHydra.instance().config_loader().get_group_options("")


def _flatten(node: Any, prefix: str) -> Iterator[str]:
    for key in node:
        yield f"{prefix}{key}"
        child = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        if OmegaConf.is_dict(child):
            yield from _flatten(child, f"{prefix}{key}.")


def _nearest(word: str, known: Sequence[str]) -> str:
    close = nearest(word, known) or next((k for k in known if len(word) > 2 and k.startswith(word)), None)
    if close is None:
        tails = {k.rpartition(".")[2]: k for k in known}
        tail = nearest(word.rpartition(".")[2], tails)
        close = tails[tail] if tail is not None else None
    return f"; the nearest is '{close}'" if close is not None else ""
