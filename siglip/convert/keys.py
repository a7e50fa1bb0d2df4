"""Parameter names as the model knows them, from names that wrappers have prefixed."""

from collections.abc import Collection, Iterable, Mapping

from core.errors import InputError

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module")
HOLDERS = ("model", "net", "network", "_forward_module", "base_model")  # usual names of a model within another


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


def without_holder(names: Mapping[str, str], expected: Collection[str] | None) -> tuple[dict[str, str], str]:
    """(the clean names without the attribute that a training class kept its model in, that attribute or nothing).

    Lightning saves `model.` or `net.` before every name. It goes where all names share it and the model's own, where
    they are known, do not; without a model to compare with, only the usual words go.
    """
    removed: list[str] = []
    values = list(names.values())
    while values and len({v.partition(".")[0] for v in values}) == 1 and all("." in v for v in values):
        holder = values[0].partition(".")[0]
        own = holder in {n.partition(".")[0] for n in expected} if expected is not None else holder not in HOLDERS
        if own:
            break
        removed.append(holder)
        values = [v.partition(".")[2] for v in values]
    return dict(zip(names, values, strict=True)), ".".join(removed)
