"""Opening the pipeline that a run of `pipeline.export` used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError, reason
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
    return build_pipeline(config)


def stored_config(run_folder: str) -> PipelineConfig:
    """The settings in a run folder's `config.yaml`; InputError when the folder holds no run of `pipeline.export`.

    Relative paths of its checkpoints are looked for in the run folder first, then from the working folder.
    """
    from omegaconf import OmegaConf

    path = Path(run_folder) / "config.yaml"
    if not path.is_file():
        raise InputError(f"{path}: no such file; pipeline= wants the run folder of pipeline.export")
    try:
        stored = OmegaConf.load(path)
        schema = OmegaConf.structured(PipelineConfig)
        known = {key: stored[key] for key in schema if key in stored}
        config = OmegaConf.to_object(OmegaConf.merge(schema, known))
    except Exception as error:  # yaml's and OmegaConf's own kinds, for a file edited by hand or of another version
        raise InputError(f"{path}: {reason(error)}") from error
    if "detector" not in known:
        raise InputError(f"{path}: field 'detector': missing, so this is no run of pipeline.export")
    assert isinstance(config, PipelineConfig)
    replace_weights(config, lambda stage, weights: _inside(Path(run_folder), weights))
    return config


def _inside(folder: Path, weights: str) -> str:
    return str(folder / weights) if (folder / weights).exists() else weights


def replace_weights(config: PipelineConfig, change: Callable[[str, str], str]) -> None:
    """Set every checkpoint's path to `change(stage, path)`; the stages are detector, upscaler and scorer."""
    for stage, holder in _holders(config):
        if holder.weights:
            holder.weights = change(stage, holder.weights)


def _holders(config: PipelineConfig) -> Iterator[tuple[str, Any]]:
    for stage in ("detector", "upscaler", "scorer"):
        settings = getattr(config, stage)
        if settings is not None:
            yield stage, settings
            for member in getattr(settings, "members", []):
                yield stage, member
