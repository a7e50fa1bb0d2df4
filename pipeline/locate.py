"""Find one described object in one image: print its box and save the image with it and the runners-up."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from core.runs import RunConfig, RunFolder

if TYPE_CHECKING:
    from core.answering import Answer


@dataclass
class LocateConfig(RunConfig):
    """Settings of `pipeline.locate`."""

    image: str = MISSING  # image to search
    caption: str = MISSING  # what to find
    pipeline: str = MISSING  # run folder of pipeline.export, whose settings and checkpoints are used
    runners_up: int = 4  # further candidates to draw


def run(config: LocateConfig, folder: RunFolder) -> dict[str, Any]:
    """Print the answer and write `located.png` and `located.json`."""
    from core.files import write_json
    from core.images import read_image, write_image
    from pipeline.drawing import draw_answer
    from pipeline.opening import open_pipeline

    image = read_image(config.image)
    pipeline = open_pipeline(config.pipeline)
    folder.add_parent(config.pipeline)
    answer = pipeline.locate(image, [config.caption])
    prediction = answer.predictions(config.image, [config.caption])[0]
    num_found = len(prediction.found)
    ranked = ranking(answer, 0)[: max(1, num_found) + config.runners_up]
    boxes = [[round(float(v), 2) for v in answer.candidates.boxes_xyxy[n]] for n in ranked]
    scores = [score_of(answer, n, 0) for n in ranked]
    write_image(folder.path / "located.png", draw_answer(image, boxes, scores, config.caption, num_found))
    rows = [{"box_xyxy": b, "score": s} for b, s in zip(boxes, scores, strict=True)]
    told: dict[str, Any] = {"bbox": prediction.box_ltwh}
    if answer.choice.several:
        told = {"boxes": [found.box_ltwh for found in prediction.found]}
    write_json(folder.path / "located.json", {"caption": config.caption, **told, "candidates": rows})
    if not num_found:
        print(f"{config.caption}: not found")
    for found in prediction.found:
        print(f"{config.caption}: [{', '.join(f'{v:.1f}' for v in found.box_ltwh)}] (left, top, width, height)")
    for place, (box, score) in enumerate(zip(boxes, scores, strict=True), start=1):
        print(f"  {place}. score {score:.4g} at {box} (left, top, right, bottom)")
    return {"score": prediction.score, "confidence": prediction.confidence, "num_candidates": len(answer.candidates)}


def score_of(answer: "Answer", candidate: int, caption: int) -> float:
    """A candidate's score for a caption; without a scorer the detector's confidence."""
    if answer.scores_NM is None:
        return float(answer.candidates.confidence[candidate])
    return float(answer.scores_NM[candidate, caption])


def ranking(answer: "Answer", caption: int) -> list[int]:
    """The candidates' places, those of the answer first, then by falling score."""
    places = sorted(range(len(answer.candidates)), key=lambda n: -score_of(answer, n, caption))
    chosen = answer.choice.places(caption)
    return [*chosen, *(n for n in places if n not in chosen)]


def main(argv: list[str] | None = None) -> None:
    """Run the command `pipeline.locate`; `grounder locate IMAGE CAPTION key=value ...` is the same."""
    import sys

    from grounder.command import run_command

    run_command("pipeline.locate", LocateConfig, run, positional(list(sys.argv[1:] if argv is None else argv)))


def positional(words: list[str]) -> list[str]:
    """The words with a leading IMAGE and CAPTION turned into settings, quoted as Hydra's grammar wants."""
    names = ["image", "caption"]
    taken = 0
    while taken < min(2, len(words)) and not words[taken].startswith("-") and not _is_setting(words[taken]):
        taken += 1
    quoted = [word.replace("\\", "\\\\").replace("'", "\\'") for word in words[:taken]]
    return [*(f"{name}='{word}'" for name, word in zip(names, quoted, strict=False)), *words[taken:]]


def _is_setting(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.replace("_", "").replace(".", "").isalnum() and not Path(word).exists()


if __name__ == "__main__":
    main()
