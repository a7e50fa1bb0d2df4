"""The settings that a resumable run was begun with: going on with others is refused unless asked for."""

from pathlib import Path
from typing import Any

from core.errors import RefusedChangeError
from core.files import read_json, write_json

BEGUN = "settings.json"


def plain(value: Any) -> Any:
    """A setting as JSON has it: mappings, lists, texts and numbers; an enumeration's member by its name."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.name if hasattr(value, "name") and hasattr(value, "value") else value


def refuse_changes(folder: Path, settings: dict[str, Any], allow: bool, write: bool = True) -> None:
    """Compare with the settings kept in `folder`; RefusedChangeError names the first that differs. Then keep these.

    write: whether this process keeps them; of several only the first should.
    """
    path, now = folder / BEGUN, plain(settings)
    if path.is_file() and not allow:
        for name, was, value in differences(read_json(path), now):
            raise RefusedChangeError(
                f"{folder}: {name} was {was!r} when this training began and is {value!r} now; "
                "allow_changes=true goes on all the same, another run_dir starts anew"
            )
    if write:
        write_json(path, now)


def differences(was: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(name, earlier value, present value) of every leaf in which two nested settings differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        names = sorted(set(was) | set(now))
        return [d for n in names for d in differences(was.get(n), now.get(n), f"{prefix}.{n}" if prefix else n)]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{prefix}[{i}]")]
    return [] if was == now else [(prefix, was, now)]
