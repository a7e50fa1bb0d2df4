"""Report what is broken, duplicate, leaking or unbalanced in a data set."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.runs import RunFolder
from data.check.settings import CheckConfig

if TYPE_CHECKING:
    from core.values import AnnotatedImage


def run(config: CheckConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `check.md`, to read, and `check.json`, with everything; returns the number of findings of each kind.

    Findings are no failure: the command fails only when an annotation file cannot be read at all.
    """
    from core.files import write_json, write_text
    from data.check.findings import Findings, check_captions, check_entries, check_same_annotations, read_leniently
    from data.check.report import markdown
    from data.sources import settle

    if not 0 <= config.near_bits <= 100:
        raise InputError(f"near_bits: {config.near_bits} is not between 0 and 100 (two unrelated images: about 128)")
    if config.workers < 1:
        raise InputError(f"workers: {config.workers} is not at least 1")
    findings = Findings()
    faults: list[str] = []
    settle(config, folder, faults)
    for fault in faults:
        findings.add("broken_entry", *fault.split(": ", 1))
    files = {"train": config.annotations, **({"val": config.val} if config.val is not None else {})}
    parts = {part: (path, read_leniently(path, findings)) for part, path in files.items()}
    for path, images in parts.values():
        folder.add_parent(path)
        check_entries(path, images, findings)
    check_same_annotations(parts, findings)
    _check_names(parts, findings)
    captions = check_captions(parts, config.few, findings)
    sizes = _look(config, parts, findings) if config.images is not None else {}
    facts = {part: {"file": path, **_facts(images), "sizes": sizes.get(part, {})}
             for part, (path, images) in parts.items()}  # fmt: skip
    write_json(folder.path / "check.json", {"parts": facts, "findings": findings.items, "captions": captions})
    write_text(folder.path / "check.md", markdown(facts, captions, findings))
    return {"num_to_mend": findings.num_to_mend(), **findings.counts()}


def _facts(images: "list[AnnotatedImage]") -> dict[str, int]:
    """Counts of a part: images, targets, captions, and captions that describe one, several or no target."""
    found = [len(a.boxes_ltwh) for image in images for a in image.annotations]
    one, none = found.count(1), found.count(0)
    return {"images": len(images), "boxes": sum(len(image.targets) for image in images), "captions": len(found),
            "captions_one": one, "captions_several": len(found) - one - none, "captions_none": none}  # fmt: skip


def _check_names(parts: dict[str, Any], findings: Any) -> None:
    """Validation images whose names the training file holds too; were the images others, joins would still fail."""
    from data.captions import place

    if "val" not in parts:
        return
    trained = {image.image: image.line for image in parts["train"][1]}
    for image in parts["val"][1]:
        if image.image in trained:
            where = place(parts["train"][0], trained[image.image])
            findings.add("leak_name", place(parts["val"][0], image.line), f"{image.image} is also {where}")


def _look(config: CheckConfig, parts: dict[str, Any], findings: Any) -> dict[str, dict[str, int]]:
    """Look at every image; returns how many images of each part have which size."""
    from data.check.images import check_duplicates, check_unlisted, look_at_images

    seen = []
    folders: dict[str, set[str]] = {}
    for part, (path, images) in parts.items():
        folder = str(config.images if part == "train" else config.val_images or config.images)
        folders.setdefault(folder, set()).update(image.image for image in images)
        seen += look_at_images(part, path, images, folder, config.workers, findings)
    check_duplicates(seen, config.near_bits, findings)
    check_unlisted(folders, findings)
    sizes: dict[str, Counter[str]] = {part: Counter() for part in parts}
    for look in seen:
        sizes[look.part][f"{look.width} x {look.height}"] += 1
    return {part: dict(counter.most_common()) for part, counter in sizes.items()}


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.check`."""
    from grounder.command import run_command

    run_command("data.check", CheckConfig, run, argv)
