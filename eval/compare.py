"""Compare runs on the same captions: accuracy with intervals, and which differences are more than noise."""

from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.files import read_json, read_jsonl, write_json, write_text
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from eval.answers.measures import FIGURES
from eval.statistics import bootstrap_by_image, holm, paired_difference, verdict
from eval.tables import markdown, print_table
from eval.tracked import tell


@dataclass
class CompareConfig(RunConfig):
    """Settings of `eval.compare`."""

    runs: list[str] = field(default_factory=list)  # run folders of eval.grounding over the same truth; the first is A
    margin: float = 0.01  # two runs closer than this are as good as equal
    every_pair: bool = False  # compare all pairs instead of each run with the first
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True)
class JudgedRun:
    """An eval.grounding run: its captions, which of them have one target, which were hit, which answered exactly."""

    name: str
    truth_sha256: str
    predictions_sha256: str
    captions: list[tuple[str, ...]]
    is_one: np.ndarray
    hits: np.ndarray
    exact: np.ndarray
    metrics: dict[str, Any]


def read_run(folder: str) -> JudgedRun:
    """The outcomes of an eval.grounding run folder; InputError when it is none."""
    path = Path(folder)
    for name in ("outcomes.jsonl", "metrics.json"):
        if not (path / name).is_file():
            raise InputError(f"{folder}: holds no {name}; runs= wants finished run folders of eval.grounding")
    metrics = read_json(path / "metrics.json")
    lines = [value for _, value in read_jsonl(path / "outcomes.jsonl")]
    if len(lines) != metrics.get("num_captions"):
        raise InputError(f"{folder}/outcomes.jsonl: {len(lines)} outcomes for {metrics.get('num_captions')} captions")
    is_one = np.asarray(["truth" in line for line in lines], bool)
    hits = np.asarray([line["hit"] for line in lines], bool)
    exact = np.asarray([line.get("exact", line["hit"]) for line in lines], bool)
    captions = [(line["image"], line["caption"], *([line["id"]] if "id" in line else [])) for line in lines]
    digests = metrics["truth_sha256"], metrics["predictions_sha256"]
    return JudgedRun(folder, *digests, captions, is_one, hits, exact, metrics)


def require_equal_truth(runs: list[JudgedRun]) -> None:
    """Raise InputError unless all runs were judged by the same truth, by digest and caption by caption."""
    first = runs[0]
    for run in runs[1:]:
        if run.truth_sha256 != first.truth_sha256:
            raise InputError(f"{run.name}: was judged by another truth ({run.truth_sha256[:12]}) than {first.name} "
                             f"({first.truth_sha256[:12]}); only equal inputs can be compared")  # fmt: skip
        if run.captions != first.captions:
            raise InputError(f"{run.name}: holds other captions than {first.name} (one of them scored by place?)")


def compare(
    runs: list[JudgedRun], margin: float, every_pair: bool = False
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the runs' figures, and rows of their differences with verdicts (p adjusted by Holm).

    The differences are of accuracy where every caption has one target, else of the share answered exactly.
    """
    require_equal_truth(runs)
    images = [caption[0] for caption in runs[0].captions]
    table = [_figures(run, images) for run in runs]
    places = range(len(runs))
    pairs = list(combinations(places, 2)) if every_pair else [(0, n) for n in places[1:]]
    right = [run.hits if run.is_one.all() else run.exact for run in runs]
    found = [paired_difference(right[a], right[b], images) for a, b in pairs]
    adjusted = holm([d.p_value for d in found])
    differences = []
    for (a, b), difference, p in zip(pairs, found, adjusted, strict=True):
        flat = asdict(difference)
        low, high = flat.pop("ci95")
        low90, high90 = flat.pop("ci90")
        differences.append({"a": runs[a].name, "b": runs[b].name, **flat, "ci95_low": low, "ci95_high": high,
                            "ci90_low": low90, "ci90_high": high90, "p_holm": p,
                            "verdict": verdict(difference, margin, p)})  # fmt: skip
    return table, differences


def _figures(run: JudgedRun, images: list[str]) -> dict[str, Any]:
    """A run's row: accuracy with its interval, and where some captions have several targets or none all else too."""
    hits = run.hits[run.is_one]
    own = [image for image, one in zip(images, run.is_one, strict=True) if one]
    low, high = bootstrap_by_image(hits.astype(float), own) if own else (None, None)
    accuracy = float(hits.mean()) if len(hits) else None
    row: dict[str, Any] = {"run": run.name, "accuracy": accuracy, "ci95_low": low, "ci95_high": high,
                           "num_hits": int(hits.sum()), "num_captions": len(run.hits)}  # fmt: skip
    if run.is_one.all():
        return row
    for name in FIGURES[1:]:
        low, high = run.metrics.get(f"{name}_ci95") or (None, None)
        row |= {name: run.metrics.get(name), f"{name}_ci95_low": low, f"{name}_ci95_high": high}
    return row


def run(config: CompareConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `comparison.md` and `comparison.json`, and print both tables."""
    if len(config.runs) < 2:
        raise InputError(f"runs: {len(config.runs)} given; a comparison needs two or more")
    if not 0 < config.margin < 1:
        raise InputError(f"margin: {config.margin} is not within 0..1")
    runs = [read_run(name) for name in config.runs]
    for name in config.runs:
        folder.add_parent(name)
    table, differences = compare(runs, config.margin, config.every_pair)
    same = [d for d in differences if _same_answers(runs, d)]
    columns = [name for name in table[0] if name not in {"num_hits", "num_captions"}] + ["num_hits", "num_captions"]
    paired = [
        "a",
        "b",
        "difference",
        "ci95_low",
        "ci95_high",
        "num_only_a",
        "num_only_b",
        "p_value",
        "p_holm",
        "verdict",
    ]
    print_table(table, [name for name in columns if name in {"ci95_low", "ci95_high"} or "_ci95_" not in name])
    print_table(differences, paired)
    for row in same:
        print(f"{row['a']} and {row['b']} hold the same predictions")
    text = markdown(table, columns) + "\n" + markdown(differences, paired)
    write_text(folder.path / "comparison.md", text)
    write_json(folder.path / "comparison.json", {"runs": table, "differences": differences, "margin": config.margin})
    metrics = {"num_runs": len(runs), "verdicts": [d["verdict"] for d in differences]}
    tell(config.tracking, folder, metrics, {"runs": table, "differences": differences})
    return metrics


def _same_answers(runs: list[JudgedRun], row: dict[str, Any]) -> bool:
    digests = {r.name: r.predictions_sha256 for r in runs}
    return digests[row["a"]] == digests[row["b"]]


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.compare`."""
    from grounder.command import run_command

    run_command("eval.compare", CompareConfig, run, argv)


if __name__ == "__main__":
    main()
