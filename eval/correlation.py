"""Which local metric ranks runs as the leaderboard does: rank correlations with intervals over pairs of scores."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from core.errors import InputError
from core.files import read_text, write_json, write_text
from core.runs import RunConfig, RunFolder
from core.tracking import TrackingConfig
from eval.statistics import bootstrap_pairs, rank_correlation
from eval.tables import markdown, print_table
from eval.tracked import tell

FEWEST = 3  # pairs below which a correlation says nothing at all


@dataclass
class CorrelationConfig(RunConfig):
    """Settings of `eval.correlation`."""

    pairs: str | None = None  # CSV with one run a line; null: the published log's, its six wrong values corrected
    target: str = "test"  # column that the others are to predict
    metrics: list[str] = field(default_factory=list)  # columns to judge; empty: every numeric column but the target
    above: float | None = 0.8  # look apart at runs whose metric is above this, too; null: not
    group: str | None = "kind"  # column whose values are looked at apart as well; null: none
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def read_pairs(path: str | None) -> list[dict[str, str]]:
    """The rows of a CSV; InputError names the file. None: the pairs of the published log."""
    name = path or "published_pairs.csv"
    text = read_text(path) if path is not None else (files("eval") / name).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise InputError(f"{name}: holds no rows")
    return rows


def number_of(row: dict[str, str], column: str, name: str, line: int) -> float | None:
    """A cell as a number, None when empty; InputError names file, line and field."""
    text = row.get(column)
    if text is None:
        raise InputError(f"{name} line {line}: field '{column}': no such column; there are {', '.join(row)}")
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise InputError(f"{name} line {line}: field '{column}': not a number but {text!r}") from None


def correlate(x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    """Kendall's tau and Spearman's rho with 95 % intervals, and how often the metric picks the better of two runs."""
    tau, rho = rank_correlation(x, y)
    (tau_low, tau_high), (rho_low, rho_high) = bootstrap_pairs(rank_correlation, x, y)
    ordered = [(a - b) * (c - d) for n, (a, c) in enumerate(zip(x, y, strict=True))
               for b, d in list(zip(x, y, strict=True))[:n] if a != b and c != d]  # fmt: skip
    agree = sum(v > 0 for v in ordered) / len(ordered) if ordered else float("nan")
    return {"pairs": len(x), "kendall": tau, "kendall_low": tau_low, "kendall_high": tau_high, "spearman": rho,
            "spearman_low": rho_low, "spearman_high": rho_high, "agreement": agree}  # fmt: skip


def correlations(config: CorrelationConfig) -> list[dict[str, Any]]:
    """One row for each metric over all runs, and for each group of them that has enough pairs."""
    rows, name = read_pairs(config.pairs), config.pairs or "published_pairs.csv"
    columns = config.metrics or [c for c in rows[0] if c != config.target and _is_numeric(rows, c)]
    groups = sorted({row[config.group] for row in rows}) if config.group and config.group in rows[0] else []
    if config.group and not groups and config.pairs is None:
        raise InputError(f"group: {config.group!r} is no column of {name}")
    found = []
    for column in columns:
        pairs: dict[str, list[tuple[float, float]]] = {group: [] for group in ("all", *groups)}
        high = f"above {config.above:g}" if config.above is not None else ""
        for line, row in enumerate(rows, start=2):
            a, b = number_of(row, column, name, line), number_of(row, config.target, name, line)
            if a is None or b is None:
                continue
            pairs["all"].append((a, b))
            if groups:
                pairs[row[str(config.group)]].append((a, b))
            if config.above is not None and a > config.above:
                pairs.setdefault(high, []).append((a, b))
        for group, some in pairs.items():
            if len(some) >= FEWEST:
                found.append({"metric": column, "runs": group, **correlate(*zip(*some, strict=True))})
    if not found:
        raise InputError(f"{name}: no metric has {FEWEST} runs that also have '{config.target}'")
    return found


def _is_numeric(rows: list[dict[str, str]], column: str) -> bool:
    cells = [row[column] for row in rows if (row[column] or "").strip()]
    return bool(cells) and all(cell.replace(".", "", 1).replace("-", "", 1).isdigit() for cell in cells)


def finding(rows: Sequence[dict[str, Any]], target: str) -> list[str]:
    """Each row as a sentence that claims no more than its interval does."""
    sentences = []
    for row in rows:
        low, high = row["kendall_low"], row["kendall_high"]
        if low > 0:
            claim = "ranks runs as the target does, more often than not"
        elif high < 0:
            claim = "ranks runs against the target"
        else:
            claim = "is not shown to rank runs as the target does"
        measured = f"Kendall {row['kendall']:.2f} (95 % interval {low:.2f} to {high:.2f})"
        agreement = f"right about the better of two in {100 * row['agreement']:.0f} %"
        sentences.append(f"{row['metric']} over {row['pairs']} runs ({row['runs']}) {claim} ({target}): "
                         f"{measured}, {agreement}.")  # fmt: skip
    return sentences


def run(config: CorrelationConfig, folder: RunFolder) -> dict[str, Any]:
    """Write `correlation.md` and `correlation.json`, and print the table and what it shows."""
    rows = correlations(config)
    plain = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    sentences = finding(rows, config.target)
    print_table(plain, list(rows[0]), digits=3)
    print("\n".join(sentences))
    write_text(folder.path / "correlation.md", markdown(plain, list(rows[0]), 3) + "\n" + "\n".join(sentences) + "\n")
    write_json(folder.path / "correlation.json", plain)
    tell(config.tracking, folder, {"num_rows": len(rows)}, {"correlations": plain})
    return {"num_rows": len(rows)}


def main(argv: list[str] | None = None) -> None:
    """Run the command `eval.correlation`."""
    from grounder.command import run_command

    run_command("eval.correlation", CorrelationConfig, run, argv)


if __name__ == "__main__":
    main()
