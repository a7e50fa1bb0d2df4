"""Read the labels of other tools and benchmarks, recognised by content, into our own form."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.files import sha256_file
from core.runs import RunConfig, RunFolder
from data.formats.source import Corners, Names
from data.placing import spare_inputs


class Faulty(Enum):
    """What becomes of a source with faults: it is refused, or what is at fault is left out and counted."""

    refuse = "refuse"
    skip = "skip"


@dataclass
class ReadConfig(DecodingConfig, RunConfig):
    """Settings of `data.read`."""

    source: str = MISSING  # file or folder of annotations
    format: str = "auto"  # coco, yolo, label_studio, cvat, voc, mdetr, dior_rsvg, vrsbench, described; auto: by content
    captions: str = "auto"  # where they come from: caption, attributes.NAME, category; auto: the first of them there is
    images: str | None = None  # folder of the images, to find those that are missing or of another size
    faulty: Faulty = Faulty.refuse  # refuse a source with faults, all of them told; or skip what is at fault
    names: Names = Names.keep  # of images: keep their folders, or only the base name
    corners: Corners = Corners.auto  # of Pascal VOC: one_based, zero_based; auto: from 1 unless one is 0 or a fraction


def run(config: ReadConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `annotations.jsonl`, or one file a part, and print a table of what was taken and what was not.

    Raises InputError for a source of no known form, and for faults unless they are skipped.
    """
    from data.captions import write_annotations
    from data.formats.source import Source
    from data.sources import read_source, refuse_faults, tell, write_faults

    images = None if config.images is None else Path(config.images)
    source = Source(Path(config.source), config.captions, images, config.names, config.corners)
    reading = read_source(source, config.format)
    taken = reading.taken
    if config.faulty is Faulty.refuse:
        refuse_faults(reading, folder.path, "faulty=skip leaves out what is at fault")
    elif taken.faults:
        taken.note(f"places left out as faulty, told in {folder.path / 'faults.txt'}", len(taken.faults))
        write_faults(taken.faults, folder.path)
    files = {part: folder.path / f"{part}.jsonl" for part in taken.parts}
    spare_inputs(folder.path, [path.name for path in files.values()], [config.source])
    folder.add_parent(config.source)
    for part, path in files.items():
        write_annotations(path, taken.parts[part])
    tell(reading)
    digests = {"source_sha256": sha256_file(config.source)} if source.path.is_file() else {}
    counts = {f"num_{row['part']}_{key.replace(' ', '_')}": value for row in taken.rows() for key, value in row.items()
              if key != "part"}  # fmt: skip
    return {"format": reading.form, **counts, "captions_from": taken.origins, "notes": taken.notes,
            "parts": list(taken.parts), "images": {part: str(place) for part, place in taken.folders.items()},
            "num_faults": len(taken.faults), "faults": taken.faults[:20], **digests}  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.read`."""
    from grounder.command import run_command

    run_command("data.read", ReadConfig, run, argv)


if __name__ == "__main__":
    main()
