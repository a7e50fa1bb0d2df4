"""The list of commands; each is a module `<room>.<verb>` with a `main(argv)`."""

import ast
import importlib.util
from pathlib import Path

COMMANDS = (
    "data.read", "data.scenes", "data.split", "data.yolo", "data.write", "data.crops", "data.merge", "data.noise",
    "data.check", "data.tfds",
    "detector.train", "detector.recipes", "detector.predict", "detector.export",
    "siglip.train", "siglip.evaluate", "siglip.candidates", "siglip.convert", "siglip.export", "siglip.bigvision",
    "upscale.crops", "upscale.fetch",
    "pipeline.export", "pipeline.locate", "pipeline.pack", "pipeline.server",
    "eval.coco", "eval.grounding", "eval.sweep", "eval.fit", "eval.compare", "eval.robustness", "eval.correlation",
    "eval.speed", "eval.suspects", "eval.report",
)  # fmt: skip

ALIASES = {"locate": "pipeline.locate"}


def help_line(command: str) -> str:
    """The first line of the command's module docstring, read without importing the module."""
    spec = importlib.util.find_spec(command)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the command {command} has no module")
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
