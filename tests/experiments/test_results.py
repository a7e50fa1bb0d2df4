"""docs/results.md is what the table gives, and its verdicts follow from the figures."""

import csv
import importlib.util
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def results():
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "scripts" / "results_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step(results):
    assert results.PAGE.read_text() == results.page()


def test_every_grounding_row_is_on_the_page(results):
    text = results.PAGE.read_text()
    for row in results.read_rows():
        if row["task"] == "grounding":
            assert f"| `{row['id']}` |" in text


def test_the_evidence_is_every_pair_that_differs_in_the_axis_alone(results):
    """Against the plainest way to find them: all pairs of rows, axis by axis."""
    rows = {row["id"]: row for row in results.read_rows()}
    claims = [e for e in results.yaml.safe_load(results.TAKEAWAYS.read_text()) if "axis" in e]
    assert len(claims) >= 15
    for claim in claims:
        column = {"validation": "val_accuracy", "test": "test_accuracy", "own test": "recall"}[claim["split"]]
        task = "detector" if claim["split"] == "own test" else "grounding"
        judged = [r for r in rows.values() if r["task"] == task and r[column]]
        found = {(d.better, d.worse) for d in results.evidence(claim, rows)}
        assert found, claim["claim"]
        for one, other in ((a, b) for a in judged for b in judged if a is not b):
            its, others = results.axes_of(one, rows), results.axes_of(other, rows)
            differ = {axis for axis in its if its[axis] != others[axis]}
            alike = all(r[k] == v for r in (one, other) for k, v in claim.get("where", {}).items())
            if (one["id"], other["id"]) in found:
                assert claim["axis"] in differ <= {claim["axis"], *claim.get("free", [])}
                assert alike
            elif differ == {claim["axis"]} and alike and claim["axis"] != "continues":
                wanted = [claim["better"], claim["worse"]]
                assert not all(map(results._fits, (its[claim["axis"]], others[claim["axis"]]), wanted))


def test_no_axis_of_a_run_is_forgotten(results):
    """Two grounding rows that agree in all axes would be one run twice."""
    rows = {row["id"]: row for row in results.read_rows()}
    seen = {}
    for name, row in rows.items():
        if row["task"] == "grounding" and not name.endswith("_half"):
            key = tuple(results.axes_of(row, rows).items())
            # the two broken trainings of ten epochs differ in what their recipe did, which is no column
            assert key not in seen or "noisebroken" in name + seen[key], (name, seen.get(key))
            seen[key] = name


def test_what_was_measured_here_stands_in_the_log(results):
    log = (ROOT / "docs" / "log.md").read_text()
    with open(results.MEASURED, newline="") as stream:
        measured = list(csv.DictReader(stream))
    assert len(measured) >= 2
    for row in measured:
        day = re.search(rf"^## {row['date']}$(.*?)(?=^## |\Z)", log, re.S | re.M)[1]
        section = re.search(rf"^### {re.escape(row['section'])}[^\n]*$(.*?)(?=^### |\Z)", day, re.S | re.M)[1]
        for name in ("accuracy", "interval", "chance", "ceiling", "scorer_alone", "AP50"):
            assert re.search(rf"(?<![\d.]){re.escape(row[name])}(?!\d)", " ".join(section.split())), (
                row["system"],
                name,
            )


def test_a_difference_and_its_interval_by_hand(results):
    rows = {"a": {"test_accuracy": "0.9"}, "b": {"test_accuracy": "0.5"}}
    found = results.difference(rows, "a", "b", "test")
    assert found.value == pytest.approx(0.4)
    assert found.half == pytest.approx(1.96 * math.sqrt(0.09 / 1000 + 0.25 / 1000))
    assert results.verdict([found]) == "holds"
    assert results.verdict([results.difference(rows, "b", "a", "test")]) == "does not hold"
    assert results.verdict([found, results.difference(rows, "a", "a", "test")]) == "unknown"
    assert results.verdict([]) == "unknown"


def test_our_runs_fill_their_column(results, tmp_path):
    preset = next(row["id"] for row in results.read_rows() if row["preset"] and row["task"] == "grounding")
    words = ["python", "-m", "pipeline.export", f"experiment/grounding={preset}"]
    (tmp_path / "run.json").write_text(results.json.dumps({"command_line": words}))
    (tmp_path / "metrics.json").write_text('{"accuracy": 0.123}')
    assert any(f"`{preset}`" in line and "| 0.123 |" in line for line in results.page(str(tmp_path)).splitlines())
