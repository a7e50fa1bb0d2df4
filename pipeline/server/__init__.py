"""Serve a pipeline over HTTP with the competition's contract, port 5004."""

from functools import partial
from typing import TYPE_CHECKING, Any

from core.runs import RunFolder
from pipeline.server.settings import ServerConfig

if TYPE_CHECKING:
    from pipeline.system import Pipeline


def run(config: ServerConfig, folder: RunFolder) -> dict[str, Any]:
    """Load the models, then serve until SIGTERM or SIGINT; what is accepted by then is answered."""
    from core.errors import InputError, check_shares
    from core.images import decode_image
    from pipeline.opening import open_pipeline
    from pipeline.server.answering import Answering
    from pipeline.server.limits import SCANS_SETTING
    from pipeline.server.listening import serve
    from pipeline.server.origins import allowed_at
    from pipeline.server.service import Service

    if config.fallback_box is not None and len(config.fallback_box) != 4:
        raise InputError(f"fallback_box: {len(config.fallback_box)} numbers where left, top, width, height are wanted")
    check_shares(config, ("unsure_below",))
    pipeline = open_pipeline(config.pipeline, config.device)
    folder.add_parent(config.pipeline)
    warm_up(pipeline)
    limits = config.limits
    decode = partial(decode_image, scans=limits.jpeg_scans, limit_s=limits.decode_s, setting=SCANS_SETTING)
    answering = Answering(pipeline, config.image_batch, config.remembered_images, decode)
    allowed = allowed_at(config.host, config.allowed_hosts)
    service = Service(answering.answer, limits, config.queue, config.fallback_box, config.unsure_below, allowed)
    pipeline.on_stage = lambda stage, seconds, count: service.measures.stage.labels(stage).observe(seconds)
    serve(service, config.host, config.port, config.linger_s)
    return {"num_answered": service.answered}


def warm_up(pipeline: "Pipeline") -> None:
    """Ask every stage once, so that the first request does not wait for lazy initialisations."""
    import numpy as np

    grey = np.full((96, 96, 3), 127, np.uint8)
    pipeline.propose([grey])
    if pipeline.scorer is not None:
        pipeline.embed_crops([grey[:32, :32]])
        pipeline.embed_texts(["warm-up"])


def main(argv: list[str] | None = None) -> None:
    """Run the command `pipeline.server`."""
    from grounder.command import run_command

    run_command("pipeline.server", ServerConfig, run, argv)
