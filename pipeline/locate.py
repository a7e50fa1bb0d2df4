"""Find one described object in one image: print its box and save the image with it and the runners-up."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from core.errors import InputError, nearest
from core.runs import RunConfig, RunFolder
from core.weights import WeightsConfig
from detector.settings import detector_weights
from pipeline.settings import PipelineConfig
from siglip.settings import scorer_weights

if TYPE_CHECKING:
    from core.answering import Answer
    from pipeline.system import Pipeline


@dataclass
class LocateConfig(PipelineConfig, WeightsConfig, RunConfig):
    """Settings of `pipeline.locate`; with `pipeline` that run's own stand for those of the stages and cuts."""

    image: str = MISSING  # image to search
    caption: str = MISSING  # what to find
    pipeline: str | None = None  # run folder of pipeline.export, whose settings are used; null: detector and scorer
    runners_up: int = 4  # further candidates to draw
    unsure_below: float = 0.5  # an answer less probable than this is said to be unsure, 0..1


def run(config: LocateConfig, folder: RunFolder) -> dict[str, Any]:
    """Print the answer and write `located.png` and `located.json`."""
    from core.boxes import xyxy_to_ltwh
    from core.files import write_json
    from core.images import read_image, write_image
    from pipeline.drawing import draw_answer

    image = read_image(config.image)
    pipeline = _open(config, folder)
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
    likely = answer.probabilities(0)
    for place, (n, score) in enumerate(zip(ranked, scores, strict=True), start=1):
        box = ", ".join(f"{v:.1f}" for v in xyxy_to_ltwh(answer.candidates.boxes_xyxy[n]))
        print(f"  {place}. score {score:.4g}, probability {likely[n]:.3g}, at [{box}]")
    if num_found and likely[ranked[0]] < config.unsure_below:
        print(f"not sure: the answer's probability is below {config.unsure_below:g} (unsure_below)")
    return {"score": prediction.score, "confidence": prediction.confidence, "num_candidates": len(answer.candidates)}


def _open(config: LocateConfig, folder: RunFolder) -> "Pipeline":
    """The pipeline of the run, or the one that the settings describe."""
    from pipeline.build import build_pipeline
    from pipeline.opening import open_pipeline

    given = detector_weights(config.detector) + scorer_weights(config.scorer)
    for source in given if config.pipeline is None else [config.pipeline]:
        folder.add_parent(source)
    if config.pipeline is None:
        if not detector_weights(config.detector):
            raise InputError("pipeline: must be given, a run of pipeline.export, or else detector=... and scorer=...")
        return build_pipeline(config)
    if given:
        raise InputError("pipeline: a run brings its own detector and scorer; give either it or detector and scorer")
    return open_pipeline(config.pipeline, None if config.device == "cpu" else config.device)


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
    """The words with a leading IMAGE and CAPTION turned into settings, quoted as Hydra's grammar wants.

    A caption typed without quotes is all the words before the first setting.
    """
    names = ["image", "caption"]
    taken = 0
    while taken < len(words) and not words[taken].startswith("-") and not _is_setting(words[taken]):
        taken += 1
    given = [*words[:1], " ".join(words[1:taken])] if taken > 1 else words[:taken]
    quoted = [word.replace("\\", "\\\\").replace("'", "\\'") for word in given]
    return [*(f"{name}='{word}'" for name, word in zip(names, quoted, strict=False)), *words[taken:]]


def _is_setting(word: str) -> bool:
    """Whether a word sets something: `red=jet` and `x=3 sign` are captions, `pipelin=runs/x` is a slip."""
    name, equals, _ = word.partition("=")
    top = name.lstrip("+~").partition(".")[0].partition("@")[0].partition("/")[0]
    known = [*(field.name for field in fields(LocateConfig)), "hydra", "experiment"]
    return bool(equals) and (top in known or nearest(top, known) is not None) and not Path(word).exists()


if __name__ == "__main__":
    main()
