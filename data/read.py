"""Read the annotations of other tools and benchmarks, recognised by content, into our own form."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from core.counting import count
from core.errors import InputError
from core.files import sha256_file
from core.runs import RunConfig, RunFolder
from data.placing import spare_inputs

if TYPE_CHECKING:
    from data.formats.taken import Taken


@dataclass
class ReadConfig(RunConfig):
    """Settings of `data.read`."""

    source: str = MISSING  # file or folder of annotations
    format: str = "auto"  # what it is, where content alone does not tell: mdetr, dior_rsvg, vrsbench, described
    images: str | None = None  # folder of the images, to count those that are missing
    skip_faults: bool = False  # leave out boxes that cannot be used; false: they end the command


def run(config: ReadConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `annotations.jsonl`, or one file a part, and print a table of what was taken.

    Raises InputError for a source of no known form, and for boxes that cannot be used unless they are skipped.
    """
    from data.captions import write_annotations
    from data.formats.known import reader_of
    from data.formats.source import Source

    source = Source(Path(config.source))
    name, reader = reader_of(source, config.format)
    taken = reader.read(source)
    if taken.faults and not config.skip_faults:
        number = count(len(taken.faults), "box", "boxes")
        raise InputError(f"{taken.faults[0]} ({number} cannot be used; skip_faults=true leaves such boxes out)")
    taken.note("boxes left out that cannot be used", len(taken.faults))
    files = {part: folder.path / f"{part}.jsonl" for part in taken.parts}
    spare_inputs(folder.path, [path.name for path in files.values()], [config.source])
    folder.add_parent(config.source)
    for part, path in files.items():
        write_annotations(path, taken.parts[part])
    if config.images is not None:
        names = {image.image for images in taken.parts.values() for image in images}
        missing = sorted(name for name in names if not (Path(config.images) / name).is_file())
        taken.note(f"images are not in {config.images}, first {missing[0] if missing else ''}", len(missing))
    _tell(name, taken)
    digests = {"source_sha256": sha256_file(config.source)} if source.path.is_file() else {}
    counts = {f"num_{row['part']}_{key.replace(' ', '_')}": value for row in taken.rows() for key, value in row.items()
              if key != "part"}  # fmt: skip
    return {"format": name, **counts, "notes": taken.notes, "faults": taken.faults[:20], **digests}


def _tell(name: str, taken: "Taken") -> None:
    """Print the form, a line a part, and what else is worth one."""
    print(f"read as {name}")
    rows = [{key: str(value) for key, value in row.items()} for row in taken.rows()]
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        cells = [value.ljust(widths[key]) if key == "part" else value.rjust(widths[key]) for key, value in row.items()]
        print("  ".join(cells))
    for what, number in taken.notes.items():
        print(f"{number} {what}")


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.read`."""
    from grounder.command import run_command

    run_command("data.read", ReadConfig, run, argv)


if __name__ == "__main__":
    main()
