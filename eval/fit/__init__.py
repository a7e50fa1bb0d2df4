"""Fit the weights of `choosing.combine=posterior` to tuning data that pipeline.export has been over."""

from typing import Any

from core.choosing import check_choosing
from core.errors import InputError, check_limits, check_shares
from core.runs import RunFolder
from eval.fit.settings import FitConfig

COLUMNS = ("chosen by", "known", "own", "confidence", "accuracy", "gain", "gain_ci95_low", "gain_ci95_high")


def run(config: FitConfig, folder: RunFolder) -> dict[str, Any]:
    """Print the weights with the accuracy before and after; write `fit.md`, and `settings.txt` to paste from."""
    from core.files import sha256_bytes, write_text
    from core.posterior import PosteriorWeights
    from eval.fit.judging import Fitter, choosing_of, listed_truths, open_tunings, settings_words
    from eval.ledger import count_look
    from eval.sweep.points import NotCovered
    from eval.tables import markdown, print_table
    from eval.tracked import tell

    check_shares(config, ("confidence", "nms_iou", "vote_iou"))
    check_limits([config.max_det], "max_det")
    check_choosing(choosing_of(config, config.posterior), "")
    for truth in listed_truths(config):
        looks = count_look(truth, sha256_bytes(repr(config).encode()), "eval.fit")
        if looks:
            print(looks)
    tunings = open_tunings(config)
    try:
        fitter = Fitter(config, tunings)
        rows = fitter.rows()
    except NotCovered as lacking:
        raise InputError(f"candidates: hold no score of some crop of {lacking} at these cuts; pipeline.export with "
                         f"confidence={config.confidence} and candidates=FOLDER adds it") from None  # fmt: skip
    for tuning in tunings:
        folder.add_parent(tuning.sweeper.replay.store.folder)
    fitted = PosteriorWeights(*(float(rows[-1][name]) for name in ("known", "own", "confidence")))
    words = settings_words(fitted)
    write_text(folder.path / "settings.txt", "\n".join(words) + "\n")
    write_text(folder.path / "fit.md", markdown(rows, COLUMNS))
    print_table(rows, COLUMNS)
    print("settings: " + " ".join(words))
    metrics = {"known": fitted.known, "own": fitted.own, "confidence": fitted.confidence,
               "num_captions_fitted": fitter.num_told,
               "accuracy_given": rows[1]["accuracy"], "accuracy_apart": rows[2]["accuracy"],
               "accuracy_fitted": rows[3]["accuracy"]}  # fmt: skip
    tell(config.tracking, folder, metrics, {"fit": rows})
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.fit`."""
    from grounder.command import run_command

    run_command("eval.fit", FitConfig, run, argv)
