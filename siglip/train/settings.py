"""Settings of `siglip.train`."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from core.decoding import DecodingConfig
from core.published import Published
from core.runs import RunConfig
from core.tracking import TrackingConfig
from core.weights import WeightsConfig
from data.recipe import RecipeConfig
from siglip.objective import Form
from siglip.settings import ScorerConfig


class SameCaption(Enum):
    """What another pair of the batch with the same caption is."""

    positive = "positive"
    ignored = "ignored"
    negative = "negative"


class Negatives(Enum):
    """Which pairs meet in the loss."""

    batch = "batch"
    process = "process"
    micro = "micro"


class DecayOn(Enum):
    """Whose matrices decay."""

    both = "both"
    text = "text"


class Strategy(Enum):
    """How several processes share the work."""

    auto = "auto"
    fsdp = "fsdp"
    ddp = "ddp"


class TrainPrecision(Enum):
    """What the towers compute in; weights and optimizer are float32 always."""

    launched = "launched"
    float32 = "float32"
    bfloat16 = "bfloat16"


class BestMetric(Enum):
    """The validation figure that makes an epoch the best."""

    ranking_accuracy = "ranking_accuracy"
    retrieval_at_1 = "retrieval_at_1"
    detected_ranking_accuracy = "detected_ranking_accuracy"
    detected_accuracy = "detected_accuracy"


@dataclass
class BatchConfig:
    """How many pairs make one step."""

    size: int = 960  # pairs of one step, over all processes
    micro: int | None = None  # pairs that go through the towers at a time, per process; null: all of its share


@dataclass
class LossConfig:
    """The loss's choices."""

    form: Form = Form.sigmoid  # sigmoid: of pairs, as published; vocabulary: which of all captions a crop has
    same_caption: SameCaption = SameCaption.positive  # another pair with the same caption; published: negative
    negatives: Negatives = Negatives.batch  # pairs that meet: all of the batch, of a process, or a micro-batch's
    none: bool = False  # vocabulary: beside the captions stands a "none of them" whose logit is zero
    words: float = 0.0  # weight of telling a caption's words from its crop, by a layer that is dropped in the end


@dataclass
class FreezeConfig:
    """Weights that are held still."""

    image: bool = False  # the image tower ("lit" in the published log)
    text: bool = False  # the text tower ("text-lock")
    layers: int = 0  # embeddings and the first so many layers of both towers


@dataclass
class LoraConfig:
    """Low-rank additions that train in place of the towers; merged into the weights of every folder that is left."""

    rank: int = 0  # 0: none
    alpha: float = 16.0  # additions count alpha / rank times
    dropout: float = 0.0  # on what goes into the additions


@dataclass
class TrainConfig(DecodingConfig, WeightsConfig, RunConfig):
    """Settings of `siglip.train`."""

    crops: Any = MISSING  # crop set to train on, or a list of them: folder, published index, or a data set's hub name
    images: str | None = None  # folder of images: crops is then their annotation file, and a warp sees around the boxes
    val_crops: Any = None  # crop set, or list, to rank after each epoch; null: none, as published
    candidates: str | None = None  # run of pipeline.export whose detected crops are ranked after each epoch as well
    candidate_crops: str | None = None  # with candidates: the same crops enlarged, see siglip.candidates; null: as cut
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    device: str | None = None  # cpu, cuda, cuda:1 of one process; null: as launched, a GPU if there is one
    epochs: int = 5  # passes over the crops
    lr: float = 2e-5  # peak learning rate; 1e-4 diverged in the published log
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])  # AdamW's
    weight_decay: float = 1e-4  # on matrices only
    decay_on: DecayOn = DecayOn.both  # whose matrices decay: of both towers, or of the text tower only
    layer_decay: float = 1.0  # learning rate of a layer over that of the layer above it
    warmup: float = 0.1  # share of the steps with a rising learning rate, then cosine to zero
    clip_norm: float = 1.0  # largest gradient norm; 0: no limit
    scale_max: float | None = None  # largest scale of the loss; null: no limit, as published
    patience: int = 0  # epochs without a better validation before it stops; 0: it never does
    best_metric: BestMetric = BestMetric.ranking_accuracy  # validation figure that patience and best/ go by
    strategy: Strategy = Strategy.auto  # several processes: fsdp (FSDP2) or ddp; auto: as launched, or FSDP2
    precision: TrainPrecision = TrainPrecision.launched  # float32, bfloat16; launched: as accelerate is configured
    compile: str | None = None  # backend of torch.compile, for instance inductor; null: as launched
    checkpointing: bool = False  # recompute activations in the backward pass
    workers: int = 0  # processes that load and augment, per training process
    cache_gb: float = 2.0  # crops at the tower's size stay in memory when all take less
    save_every: int = 0  # steps between exact states; 0: one an epoch
    save_epochs: bool = False  # leave a complete checkpoint folder of every epoch
    log_every: int = 10  # steps between entries of the log
    probe: bool = True  # compare a real batch with its recipe before the first step
    push_to_hub: str | None = None  # name of a model repository that last/ (best/, if there is one) is pushed to
    allow_changes: bool = False  # go on in run_dir although settings differ from those it was begun with
    seed: int = 0  # weights, order, augmentation and dropout
    published: Published = field(default_factory=Published)
