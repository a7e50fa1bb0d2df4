"""docs/results.md is what the table gives, and its verdicts follow from the figures."""

import importlib.util
import math
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
