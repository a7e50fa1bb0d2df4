"""Parameter names as the model knows them, from names that wrappers have prefixed."""

from collections.abc import Iterable

from core.errors import InputError

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module")


def clean_key(key: str) -> str:
    """The key without the parts that torch.compile, FSDP, activation checkpointing and DDP add, wherever they stand.

    `_orig_mod`, `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` go anywhere in the dotted name; `module`, which
    a model may also use as a name of its own, only at the front, where DDP puts it (between other wrappers too).
    """
    parts = key.split(".")
    front = 0
    while front < len(parts) - 1 and parts[front] in WRAPPERS:
        front += 1
    return ".".join(part for part in parts[front:] if part not in WRAPPERS[:3])


def clean_keys(keys: Iterable[str], source: str) -> dict[str, str]:
    """Old name -> clean name of every key; InputError when two would become one."""
    cleaned: dict[str, str] = {}
    owner: dict[str, str] = {}
    for key in keys:
        name = clean_key(key)
        if name in owner:
            raise InputError(f"{source}: keys {owner[name]!r} and {key!r} would both become {name!r}")
        owner[name] = key
        cleaned[key] = name
    return cleaned
