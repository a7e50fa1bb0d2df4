"""What is trained, asked and judged: sizes, detectors, scorers, what each step's system is, and what is tuned."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.choosing import ChoosingConfig, ChoosingMethod, Combining
from core.cuts import CutConfig

GOAL, GOAL_HIGH = 0.70, 0.75  # errors over the published design's, and the upper end of their interval
UPSCALER = "realesr_animevideov3_x4"
PUBLISHED_CUTS = CutConfig(confidence=0.1, nms_iou=0.1, max_det=10)
ENLARGED = "enlarged"  # what names the trainings on enlarged crops

# Both detectors have the same small architecture and nearly the same processor time. Published: whole images, first
# small, then large. Ours: random crops at full size, then one pass of whole images with noise on two in five.
STAGES = {
    "published": "stages=[{imgsz:384,epochs:16},{imgsz:768,epochs:2,args:{lr0:0.001,warmup_epochs:0.2,mosaic:0}}]",
    "ours": "stages=[{imgsz:320,epochs:19,crop:[320,192],crop_share:1.0,args:{warmup_epochs:2,close_mosaic:2}},"
            "{imgsz:928,epochs:1,recipe:noise3000,args:{lr0:0.001,warmup_epochs:0.2,close_mosaic:1,scale:0.2}}]",
}  # fmt: skip

BATCHES, MICRO = ("batch.size=48",), ("batch.micro=12", "loss.negatives=micro")
WHOLE = ("loss.negatives=batch", "loss.same_caption=positive")
OURS = ("recipe=small", "loss.form=vocabulary", "loss.none=true", "loss.words=1", "batch.size=32", "weight_decay=0.05")
SCORERS = {  # each step's over the one before; epochs such that all take about the published one's processor time
    "published": ("scorer=demo", "recipe=augv2", *BATCHES, *MICRO, "loss.same_caption=negative", "epochs=14"),
    "caption-aware": ("scorer=demo", "recipe=augv2", *BATCHES, *MICRO, "loss.same_caption=positive", "epochs=14"),
    "global": ("scorer=demo", "recipe=augv2", *BATCHES, *WHOLE, "epochs=16"),
    "recipe": ("scorer=demo", "recipe=small", *BATCHES, *WHOLE, "epochs=24"),
    "vocabulary": ("scorer=demo", *OURS, "epochs=17"),
    "small": ("scorer=small", *OURS, "epochs=14"),
}  # fmt: skip
RATED = ("published", "small")  # whose learning rate is tuned; steps between take that of the loss they share


@dataclass(frozen=True)
class Asked:
    """What an export asks: a detector, a scorer, further words; whether all cuts are tried of it, and with a vote."""

    detector: str
    scorer: str
    words: tuple[str, ...] = ()
    swept: bool = True
    voted: bool = True


DENOISE, VIEWS = "detector.denoise=auto", "scorer.views=[plain,flip_lr]"
ASKED = {
    **{name: Asked("published", name, swept=False) for name in SCORERS},
    "detector": Asked("ours", "small", voted=False),
    "denoise": Asked("ours", "small", (DENOISE,)),
    "views": Asked("ours", "small", (DENOISE, VIEWS)),
}
FIRST = ("published", "small", "detector", "denoise", "views")  # what the goal needs; the steps between come later
TUNED_BY = {"cuts": "detector", "posterior": "views", "refusal": "views"}  # steps with cuts of their own; what is asked


@dataclass(frozen=True)
class Step:
    """A row of the table: what is asked, by whose cuts (none: the published), a vote or not, and the choosing."""

    asked: str
    cuts: str | None = None
    vote: bool = False
    choosing: ChoosingConfig = field(default_factory=ChoosingConfig)


POSTERIOR = ChoosingConfig(combine=Combining.posterior)
REFUSAL = ChoosingConfig(ChoosingMethod.assignment, combine=Combining.posterior, refusal=0.3)
STEPS = {
    **{name: Step(name) for name in SCORERS},
    "detector": Step("detector"),
    "cuts": Step("detector", "cuts"),
    "denoise": Step("denoise", "cuts"),
    "vote": Step("denoise", "cuts", vote=True),
    "views": Step("views", "cuts", vote=True),
    "posterior": Step("views", "posterior", vote=True, choosing=POSTERIOR),
    "refusal": Step("views", "refusal", vote=True, choosing=REFUSAL),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything: the benchmark's own values, or fewer for a test."""

    scale: float = 0.6  # of the file's boxes and of 1520x870: a third of the cost of every stage
    size: tuple[int, int] = (912, 522)
    num_train: int = 300
    num_tune: int = 40
    num_val: int = 80
    seeds: tuple[int, ...] = (0, 1)
    enlarged_seeds: tuple[int, ...] = (0,)
    grades: tuple[str, ...] = ("clean", "gauss1000", "gauss3000", "jpeg15")
    tune_grades: tuple[str, ...] = ("clean", "gauss2000")
    rates: tuple[str, ...] = ("1e-3", "2e-3")
    stages: Mapping[str, str] = field(default_factory=lambda: STAGES)
    scorers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: SCORERS)
    confidence: tuple[float, ...] = (0.02, 0.05, 0.1, 0.25)
    nms_iou: tuple[float, ...] = (0.1, 0.3, 0.5)
    max_det: tuple[int, ...] = (20,)
    vote_iou: float = 0.6

    @property
    def lists(self) -> dict[str, list[float]]:
        """The cuts that are tried, by their names in `eval.sweep`."""
        return {"confidence": [*self.confidence], "nms_iou": [*self.nms_iou], "max_det": [*self.max_det]}

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Grades of each judged part."""
        return {"tune": self.tune_grades, "val": self.grades}
