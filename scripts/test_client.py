"""Ask a running server every caption of an annotation file, as the competition does, and print its scores.

python scripts/test_client.py annotations=FILE images=DIR [url=http://localhost:5004]
"""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from core.errors import InputError
from core.runs import RunConfig, RunFolder
from core.values import FoundBox, Prediction


@dataclass
class ClientConfig(RunConfig):
    """Settings of the test client."""

    annotations: str = MISSING  # caption file with boxes
    images: str = MISSING  # folder of the images
    url: str = "http://localhost:5004"  # where the server listens
    batch: int = 4  # instances a request; the competition's clients send 4
    timeout_s: float = 300.0  # longest wait for an answer


def run(config: ClientConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `predictions.jsonl`; the metrics are accuracy, speed score and total by the competition's formulas."""
    from core.progress import progress
    from core.records import read_predictions, write_predictions
    from data.captions import read_annotations
    from eval.answers.joining import score_keyed
    from eval.answers.measures import grounding_metrics
    from eval.speed import speed_score, total

    truth = read_annotations(config.annotations)
    asked = [(entry.image, a.caption, a.id) for entry in truth for a in entry.annotations]
    batches = [asked[n : n + config.batch] for n in range(0, len(asked), config.batch)]
    predictions: list[Prediction] = []
    started = time.perf_counter()
    for batch in progress(batches, "asking (requests)", len(batches)):
        boxes = ask(config.url, list(instances(batch, Path(config.images))), config.timeout_s)
        predictions += [_prediction(*one, box) for one, box in zip(batch, boxes, strict=True)]
    elapsed_s = time.perf_counter() - started
    write_predictions(folder.path / "predictions.jsonl", predictions)
    folder.add_parent(config.annotations)
    metrics = grounding_metrics(score_keyed(truth, read_predictions(folder.path / "predictions.jsonl")))
    speed = speed_score(elapsed_s)
    return {**metrics, "elapsed_s": elapsed_s, "speed": speed, "total": total(metrics["accuracy"] or 0.0, speed)}


def _prediction(image: str, caption: str, key: str | None, told: Sequence[Any]) -> Prediction:
    """The server's answer: one box, a list of several, or an empty list for nothing."""
    boxes = [told] if told and not isinstance(told[0], list) else told
    found = [FoundBox((box[0], box[1], box[2], box[3])) for box in boxes]
    return Prediction(image, caption, found[0].box_ltwh if found else None, others=tuple(found[1:]), id=key)


def instances(batch: Sequence[tuple[str, str, str | None]], images: Path) -> Iterator[dict[str, Any]]:
    """The instances of a request: each caption with its whole image, as the organisers send it."""
    for key, (image, caption, _) in enumerate(batch):
        try:
            data = (images / image).read_bytes()
        except OSError as error:
            raise InputError(f"{images / image}: cannot be read: {error.strerror}") from error
        yield {"key": key, "caption": caption, "b64": base64.b64encode(data).decode("ascii")}


def ask(url: str, batch: Sequence[dict[str, Any]], timeout_s: float) -> list[list[Any]]:
    """The server's boxes; a 503 is asked again after its Retry-After. InputError for any other refusal."""
    request = urllib.request.Request(f"{url.rstrip('/')}/identify", json.dumps({"instances": batch}).encode())
    ends = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                boxes: list[list[Any]] = json.load(response)["predictions"]
            if len(boxes) != len(batch):
                raise InputError(f"{url}: {len(boxes)} predictions for {len(batch)} instances")
            return boxes
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > ends:
                raise InputError(f"{url}: answered {error.code}: {error.read().decode(errors='replace')}") from error
            time.sleep(float(error.headers.get("retry-after", 1)))
        except (OSError, ValueError) as error:
            raise InputError(f"{url}: does not answer: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """Run the client."""
    from grounder.command import run_command

    run_command("scripts.test_client", ClientConfig, run, argv)


if __name__ == "__main__":
    main()
