"""The steps of the chain: which public command with which settings, for each size."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from data.scenes.palette import KINDS


@dataclass(frozen=True)
class Step:
    """One public command and its run folder."""

    title: str
    command: str
    folder: Path
    settings: tuple[str, ...]
    in_process: bool = False  # runs in the chain's own process
    beside: bool = False  # runs beside the steps that follow, on the other core, until one that joins
    joins: bool = False  # waits for what runs beside
    launcher: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The `key=value` words of the command."""
        return [*self.settings, f"run_dir={self.folder}"]

    @property
    def shown(self) -> list[str]:
        """The command as a user would type it."""
        return [*(self.launcher or ("python",)), "-m", self.command, *self.words]

    @property
    def argv(self) -> list[str]:
        """The same with this interpreter, so that no environment need be active."""
        ours = ["-m", "grounder", self.command, *self.words]  # works beside a `data/` of the user's too
        if not self.launcher:
            return [sys.executable, *ours]
        return [sys.executable, "-m", "accelerate.commands.accelerate_cli", *self.launcher[1:], *ours]


@dataclass(frozen=True)
class Labels:
    """What a chain is given: an annotation file to split, or a file a part; none at all for scenes of its own."""

    train: str | None = None
    images: str | None = None  # of the training part; of both where `val_images` is None
    val: str | None = None
    val_images: str | None = None


@dataclass(frozen=True)
class Size:
    """What the chain's models and sets are at one size; each tuple is passed on to the step of that name."""

    scenes: tuple[str, ...]
    val_fraction: float
    detector: tuple[str, ...]
    upscaler: str
    scorer: tuple[str, ...]
    export: tuple[str, ...] = ()
    choices: tuple[str, ...] = ("combine=[product]", "confidence_weight=[0,0.5]")  # swept; weight 0 is published
    accelerate: tuple[str, ...] = field(default=("accelerate", "launch"))
    small: bool = False  # models that leave a core free for the other part of the chain


# The demo's vocabulary: forty captions, so that a few minutes of training from scratch see each of them often enough.
COLOURS = ("red", "blue", "white", "yellow and black", "green and brown camouflage")
CAPTIONS = ",".join(f"{colour} {kind}" for kind in KINDS for colour in COLOURS)

# The demo's choosing, found on scenes that it neither trains on nor holds out (docs/pipeline.md, "Choosing"), and what
# it needs of detector and scorer. None of it is as published.
CHOOSING = ("confidence=0.02", "vote_iou=0.6", "detector.denoise=auto", "scorer.views=[plain,flip_lr]",
            "choosing.combine=posterior", "choosing.method=assignment", "choosing.refusal=0.3")  # fmt: skip

# What is swept of it beside the cuts: with and without the confidence, the posterior and the assignment.
CHOICES = ("vote_iou=[0.6]", "combine=[product,posterior]", "confidence_weight=[0,0.5]", "method=[best,assignment]",
           "refusal=[0.3]")  # fmt: skip

# A small scorer of our own, trained from nothing to tell the whole vocabulary apart.
SCORER = ("scorer=small", "recipe=small", "loss.form=vocabulary", "loss.none=true", "loss.words=1", "batch.size=32",
          "lr=2e-3", "weight_decay=0.05")  # fmt: skip

# Small images with targets of the published median size; both models train from scratch. Many scenes and few passes
# beat the same time spent on half the scenes: AP50 0.92 against 0.84.
DEMO = Size(
    scenes=("num_images=800", "seed=0", "size=[640,368]", "target_size=[60,40]", "same_kind=0.8",
            f"captions=[{CAPTIONS}]"),
    val_fraction=0.0875,
    detector=("detector=demo", "recipe=v3"),
    upscaler="none",
    scorer=(*SCORER, "epochs=24"),
    export=CHOOSING,
    choices=CHOICES,
    accelerate=("accelerate", "launch", "--num_processes=1", "--num_machines=1", "--mixed_precision=no",
                "--dynamo_backend=no", "--num_cpu_threads_per_process=1", "--cpu"),
    small=True,
)  # fmt: skip

# The demo's models on a user's images at their own size: what a CPU can do in an hour.
SMALL = Size(
    scenes=("num_images=400", "seed=0"),
    val_fraction=0.2,
    detector=("detector=demo", "recipe=v3",
              "stages=[{imgsz:768,epochs:24},{imgsz:1280,epochs:4,recipe:noise3000}]"),
    upscaler="none",
    scorer=(*SCORER, "epochs=40"),
    export=CHOOSING,
    choices=CHOICES,
    accelerate=DEMO.accelerate,
    small=True,
)  # fmt: skip

PUBLISHED = Size(
    scenes=("num_images=5107", "seed=0"),
    val_fraction=0.2,
    detector=("detector=yolov9e", "recipe=v3"),
    upscaler="realesr_general_x4v3",
    scorer=("scorer=siglip_large_384", "recipe=augv2"),
)

NOISE = "gauss2000"  # the grade of the held-out scenes' noisy copies
SWEEP = ("confidence=[0.02,0.05,0.1,0.25]", "nms_iou=[0.1,0.3,0.5,0.7]")  # the export scores every crop these need

SIZES = {"demo": DEMO, "small": SMALL, "published": PUBLISHED}


def plan(size: Size, root: Path, labels: Labels) -> list[Step]:
    """Every step of the chain under `root`, in order; without labels it draws its own scenes."""
    steps: list[Step] = []
    annotations, images = labels.train, labels.images

    def step(title: str, command: str, name: str, *settings: str, **more: object) -> Path:
        steps.append(Step(title, command, root / name, settings, **more))  # type: ignore[arg-type]
        return root / name

    if annotations is None:
        scenes = step("draw labelled scenes", "data.scenes", "scenes", *size.scenes, in_process=True)
        annotations, images = str(scenes / "annotations.jsonl"), str(scenes / "images")
    elif images is None:
        scenes = step("draw its boxes", "data.scenes", "scenes", f"annotations={annotations}", in_process=True)
        annotations, images = str(scenes / "annotations.jsonl"), str(scenes / "images")
    if labels.val is not None:
        train, val, val_images = annotations, labels.val, str(labels.val_images or images)
    else:
        split = step("hold scenes out", "data.split", "split", f"annotations={annotations}",
                     f"val_fraction={size.val_fraction}", in_process=True)  # fmt: skip
        train, val, val_images = f"{split}/train.jsonl", f"{split}/val.jsonl", str(images)
    own = (f"val_images={val_images}",) if val_images != images else ()
    yolo = step("lay out for YOLO", "data.yolo", "yolo", f"annotations={train}", f"val={val}", f"images={images}",
                *own, in_process=True)  # fmt: skip
    crops = step("cut crops", "data.crops", "crops", f"annotations={train}", f"images={images}", in_process=True)
    detector = step("train the detector", "detector.train", "detector", f"data={yolo}", *size.detector,
                    beside=size.small)  # fmt: skip
    if size.upscaler != "none":
        crops = step("enlarge the crops", "upscale.crops", "crops_x4", f"crops={crops}", f"upscaler={size.upscaler}")
    scorer = step("train the scorer", "siglip.train", "scorer", f"crops={crops}", *size.scorer,
                  launcher=size.accelerate)  # fmt: skip
    converted = step("clean its checkpoint", "siglip.convert", "converted", f"source={scorer}/last",
                     f"out={root}/converted/scorer")  # fmt: skip
    noisy = step("copy the held-out scenes with noise", "data.noise", "noisy", f"annotations={val}",
                 f"images={val_images}", f"grade={NOISE}", in_process=True)  # fmt: skip
    system = (f"detector={detector}/weights/best.pt", f"upscaler={size.upscaler}", f"scorer={converted}/scorer",
              *size.export)  # fmt: skip
    # The noisy copies first: a report is about the newest export.
    export_noisy = step("run all stages over the noisy copies", "pipeline.export", "export_noisy",
                        f"annotations={noisy}/annotations.jsonl", f"images={noisy}/images", *system,
                        joins=True)  # fmt: skip
    export = step("run them over the held-out scenes", "pipeline.export", "export", f"annotations={val}",
                  f"images={val_images}", *system, *(f"sweep.{axis}" for axis in SWEEP), joins=True)  # fmt: skip
    _judge(step, root, val, val_images, export, export_noisy, size.choices)
    return steps


def _judge(  # type: ignore[no-untyped-def]
    step, root: Path, val: str, images: str, export: Path, noisy: Path, choices: tuple[str, ...]
) -> None:
    step("judge the detector", "eval.coco", "coco", f"truth={val}", f"detections={export}/detections.json",
         in_process=True)  # fmt: skip
    step("judge the answers", "eval.grounding", "grounding", f"truth={val}", f"predictions={export}/predictions.jsonl",
         in_process=True)  # fmt: skip
    step("sweep confidence and IoU", "eval.sweep", "sweep", f"candidates={export}/candidates", f"truth={val}",
         *SWEEP, *choices, in_process=True)  # fmt: skip
    step("set clean and noisy side by side", "eval.robustness", "robustness", f"runs=[{export},{noisy}]",
         in_process=True)  # fmt: skip
    step("write the report", "eval.report", "report", f"run={root}", f"truth={val}", f"images={images}",
         in_process=True)  # fmt: skip
