"""Clean a checkpoint's parameter names of wrapper prefixes, copying everything else exactly."""

import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.errors import InputError
from core.files import read_json, write_json
from core.runs import RunConfig, RunFolder
from siglip.convert_header import copy_renamed, read_header
from siglip.convert_keys import clean_keys

INDEX = "model.safetensors.index.json"


class Verify(Enum):
    """Whether the result is compared with the model that its config describes."""

    auto = "auto"
    none = "none"


@dataclass
class ConvertConfig(RunConfig):
    """Settings of `siglip.convert`."""

    source: str = MISSING  # safetensors file, or a folder with model.safetensors or an index
    out: str = MISSING  # file or folder to write, like the source
    verify: Verify = Verify.auto  # compare with the model's own key set; none: take the names as they come
    dry_run: bool = False  # only show what would be renamed


def run(config: ConvertConfig, folder: RunFolder) -> dict[str, Any]:
    """Convert, and say how many names changed.

    Raises InputError for broken files, for names that would collide, and for a result that the model would not take.
    """
    source, out = Path(config.source), Path(config.out)
    folder.add_parent(source)
    files = _weight_files(source)
    renames = {path: clean_keys(read_header(path).entries, str(path)) for path in files}
    merged = {new: old for names in renames.values() for old, new in names.items()}
    if len(merged) != sum(map(len, renames.values())):
        raise InputError(f"{source}: two of its files hold a tensor of the same clean name")
    changed = {old: new for names in renames.values() for old, new in names.items() if old != new}
    for old, new in list(changed.items())[: None if config.dry_run else 3]:
        print(f"{old} -> {new}")
    verified = _verify(source, set(merged), config.verify)
    figures = {"num_tensors": len(merged), "num_renamed": len(changed), "verified": str(verified).lower()}
    if config.dry_run:
        return figures
    if source.is_file():
        copy_renamed(source, out, renames[source])
        return figures
    _convert_folder(source, out, renames)
    return figures


def _weight_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if (source / INDEX).is_file():
        names = sorted(set(read_json(source / INDEX).get("weight_map", {}).values()))
        return [source / name for name in names]
    if (source / "model.safetensors").is_file():
        return [source / "model.safetensors"]
    raise InputError(f"{source}: holds neither model.safetensors nor {INDEX}")


def _verify(source: Path, names: set[str], verify: Verify) -> bool:
    """Compare with the key set of the model that the folder's config describes; False when nothing was compared."""
    if verify is Verify.none:
        return False
    if source.is_file():
        print(f"{source}: a bare file has no config to compare with, so the result is not verified")
        return False
    expected, tied = _model_keys(source)
    missing, extra = sorted(expected - names - tied), sorted(names - expected)
    if missing or extra:
        raise InputError(f"{source}: after cleaning, {len(missing)} keys are missing and {len(extra)} unexpected "
                         f"({', '.join([*missing, *extra][:3])})")  # fmt: skip
    return True


def _model_keys(source: Path) -> tuple[set[str], set[str]]:
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        with torch.device("meta"):
            model = AutoModel.from_config(AutoConfig.from_pretrained(source))
    except Exception as error:  # transformers raises many kinds for a config it does not know
        raise InputError(f"{source}: its config describes no model: {str(error).splitlines()[0]}") from error
    return set(model.state_dict()), set(getattr(model, "_tied_weights_keys", None) or ())


def _convert_folder(source: Path, out: Path, renames: dict[Path, dict[str, str]]) -> None:
    if out.resolve() == source.resolve():
        raise InputError(f"out: {out} is the source folder")
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path in renames:
            copy_renamed(path, out / path.name, renames[path])
        elif path.name == INDEX:
            index = read_json(path)
            names = {old: new for mapping in renames.values() for old, new in mapping.items()}
            index["weight_map"] = {names[old]: file for old, file in index["weight_map"].items()}
            write_json(out / INDEX, index)
        elif path.is_file() and path.name != "manifest.json" and path.suffix not in {".bin", ".pt", ".pth"}:
            shutil.copy2(path, out / path.name)


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.convert`."""
    from grounder.command import run_command

    run_command("siglip.convert", ConvertConfig, run, argv)


if __name__ == "__main__":
    main()
