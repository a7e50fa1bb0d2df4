"""Opening the pipeline that a run of `pipeline.export` used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.decoding import use_decoding
from core.errors import InputError
from core.files import read_json
from eval.runs import read_settings, typed
from pipeline.build import build_pipeline
from pipeline.settings import PipelineConfig

if TYPE_CHECKING:
    from pipeline.system import Pipeline


def open_pipeline(run_folder: str, device: str | None = None) -> "Pipeline":
    """The pipeline of a run folder (or of what `pipeline.pack` made of one) on `device` (None: on its own).

    Raises InputError as `stored_config` and `build_pipeline` do.
    """
    config = stored_config(run_folder)
    config.device = device or config.device
    use_decoding(config.decoding, override=False)  # what the command says itself goes before
    return build_pipeline(config)


def stored_config(run_folder: str) -> PipelineConfig:
    """The settings in a run folder's `config.yaml`; InputError when the folder holds no run of `pipeline.export`.

    Relative paths of its checkpoints are looked for in the run folder, where the run was made, here, and above the run.
    """
    folder = Path(run_folder)
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder / 'config.yaml'}: no such file; pipeline= wants the run folder of pipeline.export")
    settings = read_settings(folder)
    config = typed(settings, PipelineConfig, folder)
    if "detector" not in settings:
        raise InputError(f"{folder / 'config.yaml'}: field 'detector': missing, so this is no run of pipeline.export")
    replace_weights(config, lambda stage, weights: _found(folder, weights))
    return config


def _found(folder: Path, weights: str) -> str:
    """A checkpoint's path from wherever one works: in the run folder, where the run was made, or above the run."""
    record = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    made_in = [Path(record["folder"])] if isinstance(record.get("folder"), str) else []
    above = folder.resolve().parents  # earlier versions did not record where they ran
    found = (root / weights for root in (folder, *made_in, Path(), *above) if (root / weights).exists())
    return str(next(found, weights))


def replace_weights(config: PipelineConfig, change: Callable[[str, str], str]) -> None:
    """Set every checkpoint's path to `change(stage, path)`; stages: detector, upscaler, scorer, onestage."""
    for stage, holder in _holders(config):
        if holder.weights:
            holder.weights = change(stage, holder.weights)


def _holders(config: PipelineConfig) -> Iterator[tuple[str, Any]]:
    for stage in ("detector", "upscaler", "scorer", "onestage"):
        settings = getattr(config, stage)
        if settings is not None:
            yield stage, settings
            for member in getattr(settings, "members", []):
                yield stage, member
