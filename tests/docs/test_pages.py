"""The pages: one width, no figure without its source, no word that the handbook does not explain."""

import csv
import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

figures = importlib.import_module("figures")
reflow = importlib.import_module("reflow")

PAGES = reflow.pages()
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_a_hundred_columns_wide(path):
    assert reflow.too_wide(path.read_text()) == [], "python scripts/reflow.py wraps it"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_line_begins_with_a_mark(path):
    """A line that begins with a comment ends its paragraph, by CommonMark."""
    assert not re.search(r"^ *<!--(?!rows)", path.read_text(), re.M)


def test_wrapping_changes_nothing_but_the_lines_ends():
    text = (
        f"# A heading {'that goes on ' * 10}\n\n"
        + "word " * 30 + "- 5 `a code span` end.\n- item " + "`x y` " * 30 + "\n  goes on\n\n"
        + "```shell\n" + "long " * 40 + "\n```\n\n| " + "cell " * 40 + "|\n\n    " + "code " * 40 + "\n"
    )  # fmt: skip
    new = reflow.reflow(text)
    assert new.split() == text.split()
    assert reflow.reflow(new) == new
    assert reflow.too_wide(new) == []
    assert len(reflow.too_wide(text)) == 2
    assert max(len(line) for line in new.splitlines() if "word" in line or "`x y`" in line) <= reflow.WIDTH
    assert not any(line.startswith("- 5") for line in new.splitlines())
    for kept in ("long " * 40, "| " + "cell " * 40 + "|", "    " + "code " * 40):
        assert kept.rstrip() in new


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_marked_figure_is_its_commands(path):
    text = path.read_text()
    for place, name, wanted in figures.figures(text):
        assert text[place] == wanted, f"{name}; python scripts/figures.py brings it"


def test_the_readme_has_no_figure_without_a_source():
    """Decimals and counts outside code, links and marked figures; versions and licences are named."""
    text = (ROOT / "README.md").read_text()
    for place, _, _ in reversed(list(figures.figures(text))):
        text = text[: place.start] + text[place.stop :]
    text = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", "", text, flags=re.S)
    text = re.sub(r"Python 3\.11|A?GPL-3\.0|Apache-2\.0|95 %", "", text)
    assert re.findall(r"\d+\.\d+|\d+ %", text) == []


def test_figures_are_found_and_brought_into_step(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    made = {"date": "2026-01-02", "commit": "0123456789", "figures": {"share": 0.12345, "rows": [[1.25, 2000]]}}
    (tmp_path / "made.json").write_text(json.dumps(made))
    text = ("<!--made.share-->0.9, <!--100*made.share-->7.77 %, <!--made.date-->2025-01-01, <!--made.commit-->fff\n"
            "<!--rows made.rows-->\n| a 5 | b | c |\n|---|---|---|\n| a 5 | 9.99 | 1,000 |\n")  # fmt: skip
    new = figures.rewritten(text)
    shown = ["0.1, 12.35 %, 2026-01-02, 012", "", "| a 5 | b | c |", "|---|---|---|", "| a 5 | 1.25 | 2,000 |", ""]
    assert re.sub("<!--.*?-->", "", new).split("\n") == shown
    assert figures.rewritten(new) == new


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_a_result_says_where_it_is_from(path):
    told = json.loads(path.read_text())
    assert {"command", "date"} <= told.keys()
    if "source" in told and "log.md" in told["source"]:
        log = (ROOT / "docs" / "log.md").read_text()
        assert f"\n## {told['date']}\n" in log


def test_the_correlations_are_the_commands_own():
    from eval.correlation import CorrelationConfig, correlations

    told = json.loads((figures.RESULTS / "correlation.json").read_text())["figures"]
    rows = {(row["metric"], row["runs"]): row for row in correlations(CorrelationConfig())}
    for (metric, runs), row in zip(told["of"], told["table"], strict=True):
        its = rows[metric, runs]
        assert row == pytest.approx([its["pairs"], its["kendall"], its["kendall_low"], its["kendall_high"],
                                     100 * its["agreement"]], abs=0.06)  # fmt: skip


def test_the_published_accuracy_is_the_logs():
    with open(ROOT / "docs" / "experiments.csv", newline="") as stream:
        best = max(float(row["test_accuracy"]) for row in csv.DictReader(stream) if row["test_accuracy"])
    assert json.loads((figures.RESULTS / "published.json").read_text())["figures"]["test_accuracy"] == best


def test_the_comparison_says_which_steps_were_not_run():
    from benchmarks.published_design import STEPS

    told = json.loads((figures.RESULTS / "published_design.json").read_text())
    assert told["steps_now"] == list(STEPS)
    run = [row["step"] for row in told["steps"]]
    assert set(STEPS) - set(told["not_run"]) <= set(run)
    assert told["not_run"] or run == list(STEPS)


def test_the_handbook_lists_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name
