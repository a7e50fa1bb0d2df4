"""A crop set as a TensorFlow Datasets data set, so that a JAX training (big_vision) starts from the same crops."""

from typing import Any

from core.errors import InputError
from core.runs import RunFolder
from data.tfds.settings import TfdsConfig


def run(config: TfdsConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `NAME/VERSION/` into the run folder: crops as their own bytes, captions, and where each comes from.

    Needs the extra `jax` (`make test-extras` installs it). Raises InputError, also for crops of two file formats.
    """
    from data.tfds.write import write_tfds

    try:
        import tensorflow_datasets  # noqa: F401
    except ImportError as error:
        raise InputError(f"data.tfds needs the extra 'jax' of this package (tensorflow-datasets): {error}") from error
    return write_tfds(config, folder)


def main(argv: list[str] | None = None) -> None:
    """Run the command `data.tfds`."""
    from grounder.command import run_command

    run_command("data.tfds", TfdsConfig, run, argv)
