"""What `--help` prints: the command, its settings with types, defaults and comments, and its preset groups."""

import dataclasses
import enum
import importlib.resources
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

_FIELD = re.compile(r"^\s{4}(\w+)\s*:.*?#\s*(.+)$")
_FOOT = """\
flags (Hydra's): --cfg job shows the composed settings; -m runs every combination of a=1,2 lists; --config-dir DIR adds
your own presets. Exit status: 0 done, 2 wrong use or bad input (one line says what), 1 a defect of ours."""


def help_text(command: str, doc: str, schema: type, config: DictConfig, config_dir: str | None = None) -> str:
    """The whole help of one command; `config` holds the default values, `config_dir` a user's own presets."""
    everything = list(settings_rows(schema, config))
    rows = [row for row in everything if not _is_anothers(command, row[0])]
    width = min(34, max((len(name) for name, _, _ in rows), default=0))
    usage = f"usage: python -m {command} key=value ..."
    same = f"       (grounder {command} is the same, also in a folder that has a {command.partition('.')[0]}/ of yours)"
    lines = [f"{command}: {doc.strip()}", "", usage, same, "", "settings:"]
    for name, value, comment in rows:
        lines.append(f"  {name:<{width}}  {value:<24}  {comment}".rstrip())
    groups = [f"  {group}=  {', '.join(options)}" for group, options in _groups(schema, config_dir)]
    groups += [
        f"  {group}=  {count} runs of the published log (docs/experiments.csv)" for group, count in _runs(command)
    ]
    if len(rows) < len(everything):
        lines.append(f"  ... and {len(everything) - len(rows)} that other commands are for; --cfg job shows them")
    if groups:
        lines += ["", "presets:", *groups]
    return "\n".join([*lines, "", _FOOT])


def _is_anothers(command: str, setting: str) -> bool:
    """Whether a setting that a shared preset brings along is of no use to this command."""
    of_training = ".train." in f".{setting}" and not command.startswith("detector.train")
    return of_training or setting.startswith("published.")


def _comments(schema: type) -> dict[str, str]:
    comments: dict[str, str] = {}
    for klass in reversed(schema.__mro__):
        if dataclasses.is_dataclass(klass):
            for line in inspect.getsource(klass).splitlines():
                if match := _FIELD.match(line):
                    comments[match[1]] = match[2].strip()
    return comments


def settings_rows(schema: type, config: DictConfig | None, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default value and comment of every setting of a command."""
    comments = _comments(schema)
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        missing = config is None or field.name not in config or OmegaConf.is_missing(config, field.name)
        node = None if missing or config is None else config[field.name]
        nested = _dataclass_of(hints[field.name])
        if nested is not None and OmegaConf.is_dict(node):
            yield from settings_rows(nested, node, f"{prefix}{field.name}.")
            continue
        value = "(required)" if missing else _show(node)
        comment = comments.get(field.name, "")
        choices = _enum_of(hints[field.name])
        if choices is not None:
            comment = f"{comment} [{' | '.join(choices)}]".strip()
        yield prefix + field.name, value, comment


def _show(node: object) -> str:
    if isinstance(node, enum.Enum):
        return node.name
    if OmegaConf.is_config(node):
        text = str(OmegaConf.to_container(node))
        return text if len(text) <= 60 else f"{text[:57]}..."
    return "null" if node is None else str(node)


def _members(hint: object) -> tuple[object, ...]:
    return (hint, *typing.get_args(hint))


def _dataclass_of(hint: object) -> type | None:
    return next((h for h in _members(hint) if isinstance(h, type) and dataclasses.is_dataclass(h)), None)


def _enum_of(hint: object) -> list[str] | None:
    found = next((h for h in _members(hint) if isinstance(h, type) and issubclass(h, enum.Enum)), None)
    return None if found is None else [member.name for member in found]


def _groups(schema: type, config_dir: str | None) -> Iterator[tuple[str, list[str]]]:
    roots = [importlib.resources.files("configs"), *([Path(config_dir)] if config_dir is not None else [])]
    for field in dataclasses.fields(schema):
        folders = [folder for root in roots if (folder := root.joinpath(field.name)).is_dir()]
        if folders:
            names = {file.name for folder in folders for file in folder.iterdir() if file.name.endswith(".yaml")}
            yield field.name, sorted(name.removesuffix(".yaml") for name in names)


def _runs(command: str) -> Iterator[tuple[str, int]]:
    """The command's group of published runs, too many to name, with their number."""
    root = importlib.resources.files("configs")
    values = root.joinpath(f"{command}.yaml")
    if not values.is_file():
        return
    config = OmegaConf.create(values.read_text(encoding="utf-8"))
    for entry in config.get("defaults", []) if isinstance(config, DictConfig) else ():
        for group in entry if OmegaConf.is_dict(entry) else ():
            if str(group).startswith("experiment/"):
                yield str(group), sum(f.name.endswith(".yaml") for f in root.joinpath(str(group)).iterdir())
