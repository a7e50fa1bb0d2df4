"""What a folder's model is made of, by its config alone, and whether converted tensors are that."""

from collections.abc import Mapping
from pathlib import Path

from core.errors import InputError, reason


def model_shapes(folder: Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """(shape of every tensor of the model that `config.json` describes, tied names and the one each stands for).

    The model is built without memory for its values. Raises InputError for a config that describes none.
    """
    import torch
    import transformers

    from siglip.model import hush
    from siglip.small import register

    hush()
    register()
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        named = (getattr(config, "architectures", None) or [""])[0]
        kind = getattr(transformers, named, None)
        with torch.device("meta"):
            model = kind(config) if kind is not None else transformers.AutoModel.from_config(config)
    except Exception as error:  # transformers raises many kinds for a config it does not know
        raise InputError(f"{folder}: its config describes no model: {reason(error)}") from error
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}, dict(tied)


def verify(source: Path, found: Mapping[str, list[int]], expected: Mapping[str, list[int]], tied: set[str]) -> None:
    """InputError when names or shapes differ from the model's; tied names may be left out.

    Position ids, which older versions stored and today's models make themselves, may be there.
    """
    missing = sorted(expected.keys() - found.keys() - tied)
    extra = sorted(name for name in found.keys() - expected.keys() if not name.endswith(".position_ids"))
    if missing or extra:
        raise InputError(f"{source}: after cleaning, {len(missing)} keys are missing and {len(extra)} unexpected "
                         f"({', '.join([*missing, *extra][:3])})")  # fmt: skip
    for name in found.keys() & expected.keys():
        if list(found[name]) != list(expected[name]):
            raise InputError(f"{source}: tensor {name!r}: shape {found[name]}, the model's is {expected[name]}")
