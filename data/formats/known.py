"""Every form that `data.read` takes, and which of them a source has."""

from types import ModuleType

from core.errors import InputError
from core.files import read_json, read_jsonl
from data.formats import coco, cvat, described, dior_rsvg, label_studio, mdetr, voc, vrsbench, yolo
from data.formats.source import Source

READERS: dict[str, ModuleType] = {
    "mdetr": mdetr,
    "coco": coco,
    "dior_rsvg": dior_rsvg,
    "voc": voc,
    "cvat": cvat,
    "label_studio": label_studio,
    "yolo": yolo,
    "vrsbench": vrsbench,
    "described": described,
}


def reader_of(source: Source, wanted: str = "auto") -> tuple[str, ModuleType]:
    """The name and module of the reader for a source; `auto` goes by content.

    Raises InputError for a source that is not there, a pickle, one that no reader knows, and an unknown name.
    """
    if not source.path.exists():
        raise InputError(f"source: {source.path} does not exist")
    pickle = _pickle(source)
    if pickle is not None:
        raise InputError(
            f"{pickle}: is a pickle, which can run any code when it is opened, and is not read; take the set's "
            "MDETR-style JSON, such as finetune_refcoco_val.json"
        )
    if source.is_archive():
        raise InputError(f"{source.path}: is an archive; unpack it and give the folder")
    if wanted != "auto":
        if wanted not in READERS:
            raise InputError(f"format: {wanted!r} is not one of auto, {', '.join(READERS)}")
        return wanted, READERS[wanted]
    found = next((name for name, reader in READERS.items() if reader.recognises(source)), None)
    if found is None:
        _refuse_broken(source)
        told = "; ".join(f"{name}: {reader.ABOUT}" for name, reader in READERS.items())
        raise InputError(f"{source.path}: has none of the forms that are read by content. {told}")
    return found, READERS[found]


def _refuse_broken(source: Source) -> None:
    """Raise InputError for UTF-16, and, naming the line, for a file that begins as JSON does and is none."""
    if source.path.is_file():
        with open(source.path, "rb") as stream:
            if stream.read(2) in {b"\xff\xfe", b"\xfe\xff"}:
                raise InputError(f"{source.path}: is UTF-16; save it as UTF-8")
    if source.is_text() and source.value is None and not source.rows:
        if source.path.suffix.lower() == ".jsonl":
            list(read_jsonl(source.path))
        read_json(source.path)


def _pickle(source: Source) -> str | None:
    """The pickle that a source is, or that lies in it where nothing else can be read, as in RefCOCO's own folders."""
    if source.is_pickle():
        return str(source.path)
    if source.path.is_dir() and not any(reader.recognises(source) for reader in READERS.values()):
        refs = sorted(path for path in source.path.glob("*refs*.p"))
        return str(refs[0]) if refs else None
    return None
