"""Settings of a one-stage model and of a re-ranker; light to import."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from core.errors import InputError


class OneStageFamily(Enum):
    """What answers: a class of transformers, an open-vocabulary YOLO, or a server."""

    auto = "auto"  # server for a URL, yolo for a .pt file, else what the checkpoint's config.json names
    zero_shot = "zero_shot"  # Grounding DINO, MM-Grounding-DINO, OmDet-Turbo, OWLv2
    sam3 = "sam3"
    florence2 = "florence2"
    yolo = "yolo"  # YOLO-World and YOLOE, of Ultralytics'
    server = "server"  # any OpenAI-compatible one


class Coordinates(Enum):
    """What the numbers of a generated box count."""

    pixels = "pixels"  # pixels of the image
    resized = "resized"  # pixels of the image as the model saw it, whose size `resized` tells
    unit = "unit"  # 0..1
    thousand = "thousand"  # 0..1000


class AxisOrder(Enum):
    """Which number of a generated box comes first."""

    xyxy = "xyxy"
    yxyx = "yxyx"


class Structured(Enum):
    """How a server is asked to keep to a JSON schema."""

    schema = "schema"  # response_format of kind json_schema; a server that refuses it ends the run with its words
    none = "none"  # by the prompt alone


PROMPT = (
    'Locate every object that matches the description "{caption}" in the image. '
    'Answer with JSON only: a list of {{"{key}": [{order}]}}, most certain first, [] when there is none.'
)


@dataclass
class ServerConfig:
    """An OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, or a hosted one."""

    model: str | None = None  # the model's name at the server
    key_variable: str = "OPENAI_API_KEY"  # environment variable that holds the key; it is written nowhere
    structured: Structured = Structured.none  # schema where the server takes it
    logprobs: bool = False  # ask for log-probabilities; the mean of an answer's tokens is its boxes' confidence
    temperature: float = 0.0  # sent to the server: 0 repeats the same answer
    seed: int = 0  # sent to the server, which may pass it over
    max_tokens: int = 512  # longest answer
    parallel: int = 8  # requests at once
    timeout_s: float = 60.0  # of one request
    tries: int = 3  # of one request, with a pause between that doubles

    where: ClassVar[str] = "server"  # how messages call these settings

    def __post_init__(self) -> None:
        """Refuse a URL with a password before any run folder is there to hold it. Raises InputError."""
        weights = getattr(self, "weights", None)
        if is_url(weights) and "@" in str(weights).split("://", 1)[1].split("/", 1)[0]:
            raise InputError(f"{self.where}: the URL holds a name or password, which would be written; use "
                             f"{self.where}.key_variable")  # fmt: skip


@dataclass
class OneStageConfig(ServerConfig):
    """A one-stage model: a checkpoint of transformers or Ultralytics, or the URL of a server."""

    where: ClassVar[str] = "onestage"
    weights: str | None = None  # a checkpoint's folder, file or hub name, or a server's URL (http://host:8000/v1)
    family: OneStageFamily = OneStageFamily.auto  # zero_shot, sam3, florence2, yolo, server; auto: told by the weights
    floor: float = 0.001  # boxes below this confidence are not kept
    half: bool = False  # half precision (GPU only)
    imgsz: Any = None  # yolo: network input size, a side or [height, width] in pixels; null: that of the training
    prompt: str | None = None  # server: with {caption}, {key}, {order}, {width}, {height}; florence2: its task
    coordinates: Coordinates = Coordinates.thousand  # server: pixels, resized, unit or thousand
    order: AxisOrder = AxisOrder.xyxy  # server: xyxy or yxyx
    resized: list[int] | None = None  # server, coordinates=resized: [width, height] that the model saw
    box_key: str = "bbox_2d"  # server: the field of a box in the JSON answer


@dataclass
class RerankerConfig(ServerConfig):
    """A vision-language model that chooses among a caption's best crops."""

    where: ClassVar[str] = "reranker"
    weights: str | None = None  # the server's URL; null: no re-ranking
    best: int = 5  # so many of the scorer's best candidates are shown
    side: int = 336  # longer side of a shown crop in pixels
    margin: float = 0.25  # share of the box's sides shown around it


def is_url(weights: str | None) -> bool:
    """Whether the weights are a server's URL."""
    return weights is not None and weights.startswith(("http://", "https://"))
