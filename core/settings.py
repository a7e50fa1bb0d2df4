"""The settings that a resumable run was begun with: going on with others is refused unless asked for."""

from pathlib import Path
from typing import Any

from core.errors import RefusedChangeError
from core.files import read_json, write_json

BEGUN = "settings.json"
SHA256 = 64  # letters of its hexadecimal form


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
            changed = f"was {was!r} when this training began and is {value!r} now"
            if is_digest(was) and is_digest(value):  # of a set's content: the two say nothing to anybody
                changed = "is another than when this training began: its images, labels or captions have changed"
            raise RefusedChangeError(
                f"{folder}: {name} {changed}; allow_changes=true goes on all the same, another run_dir starts anew"
            )
    if write:
        write_json(path, now)


def is_digest(value: Any) -> bool:
    """Whether a setting is the SHA-256 of something, as of a data set's content."""
    return isinstance(value, str) and len(value) == SHA256 and all(c in "0123456789abcdef" for c in value)


def differences(was: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(name, earlier value, present value) of every leaf in which two nested settings differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        names = sorted(set(was) | set(now))
        return [d for n in names for d in differences(was.get(n), now.get(n), f"{prefix}.{n}" if prefix else n)]
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{prefix}[{i}]")]
    return [] if was == now else [(prefix, was, now)]
