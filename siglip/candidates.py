"""Cut the detected crops of a pipeline.export run into a crop set, to be enlarged and ranked."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from core.runs import RunConfig, RunFolder
from data.formats.source import PartConfig


@dataclass
class CandidatesConfig(PartConfig, RunConfig):
    """Settings of `siglip.candidates`."""

    candidates: str = MISSING  # run of pipeline.export, or its candidates/
    annotations: str | None = None  # the true boxes, or another tool's labels; null: the run's own
    images: str | None = None  # folder of the images; null: the run's own
    detectors: str = ""  # of several detectors: what a key begins with, or several joined by +


def run(config: CandidatesConfig, folder: RunFolder) -> dict[str, Any]:
    """Write a crop for every candidate that the run's cuts leave; its caption is its box. Raises InputError.

    Enlarged by `upscale.crops`, the set is what `candidate_crops=` of siglip.evaluate and siglip.train takes.
    """
    from core.files import sha256_bytes
    from core.images import encode_image
    from data.cropset import finish_set
    from data.placing import write_plain
    from data.sources import settle
    from siglip.detected import planned_crops, read_detected

    settle(config, folder)
    detected = read_detected(config.candidates, config.annotations, config.images, config.detectors)
    folder.add_parent(config.candidates)
    planned, digests = planned_crops(detected), {}
    for crop, pixels in zip(planned, detected.crops(), strict=True):
        data = encode_image(pixels, ".png")
        write_plain(folder.path / crop.file_name, data)
        digests[crop.file_name] = sha256_bytes(data)
    finish_set(folder.path, planned, digests, {"pad": "none", "upscaler": None, "scale": 1, "format": "png"})
    return {"num_crops": len(planned), "num_images": len(detected.images)}


def main(argv: list[str] | None = None) -> None:
    """Run the command `siglip.candidates`."""
    from grounder.command import run_command

    run_command("siglip.candidates", CandidatesConfig, run, argv)


if __name__ == "__main__":
    main()
