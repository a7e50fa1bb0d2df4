"""Find labels that are likely wrong: what every run of pipeline.export speaks against, ranked, for the label tools."""

from pathlib import Path
from typing import Any

from core.errors import InputError, check_limits
from core.runs import RunFolder
from eval.suspects.settings import SuspectsConfig

COLUMNS = ("rank", "kind", "image", "caption", "seen", "strength")
TOP_ROWS = 20  # in the terminal


def run(config: SuspectsConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `suspects.json`, `suspects.md`, `suspects.html` and `suspects.jsonl`, which data.write takes."""
    from core.files import write_json, write_text
    from data.captions import write_annotations
    from data.sources import settle
    from eval.labels.ranking import rows_of, suspects, to_annotations
    from eval.labels.signs import KINDS
    from eval.suspects.page import page
    from eval.tables import markdown, print_table
    from eval.tracked import tell

    check_limits([config.most], "most")
    if config.images is not None and not Path(config.images).is_dir():
        raise InputError(f"images: {config.images}: no such folder of images")
    settle(config, folder)
    answered = _answered(config, folder)
    found = suspects(answered)[: config.most]
    rows = rows_of(found)
    annotated = answered[0].annotated
    write_json(folder.path / "suspects.json", rows)
    write_text(folder.path / "suspects.md", markdown(rows, COLUMNS, 3))
    write_annotations(folder.path / "suspects.jsonl", to_annotations(found, annotated))
    write_text(folder.path / "suspects.html", page(found, config.images or answered[0].images))
    print_table(rows[:TOP_ROWS], COLUMNS, 3)
    counts = {f"num_{kind.replace(' ', '_')}": sum(sign.kind == kind for sign in found) for kind in KINDS}
    metrics = {"num_suspects": len(found), "num_images": len({sign.image for sign in found}), **counts}
    tell(config.tracking, folder, metrics, {"suspects": rows}, page=folder.path / "suspects.html")
    return metrics


def _answered(config: SuspectsConfig, folder: RunFolder) -> list[Any]:
    """What each run answered, all over one truth; InputError for a run without its store or over other captions."""
    from eval.answered import answered_run
    from eval.runs import find_runs

    if not config.runs:
        raise InputError("runs: give the run folder of a pipeline.export, or several")
    answered: list[Any] = []
    for path in config.runs:
        found = [r for r in find_runs(path) if r.path.resolve() != folder.path.resolve()]
        told, lacking = answered_run(found, Path(path).resolve().name, config.truth)
        if told is None:
            raise InputError(f"runs: {path}: {lacking}")
        if told.sweeper is None or told.export is None:
            raise InputError(f"runs: {path}: {' '.join(told.notes) or 'no pipeline.export made its predictions'}")
        if answered and told.annotated != answered[0].annotated:
            raise InputError(f"runs: {path}: answered other labels than {config.runs[0]}; give truth=FILE")
        folder.add_parent(told.export.path)
        answered.append(told)
    return answered


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.suspects`."""
    from grounder.command import run_command

    run_command("eval.suspects", SuspectsConfig, run, argv)
