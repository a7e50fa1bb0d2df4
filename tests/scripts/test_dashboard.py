"""The dashboard's specification as it would be sent, and that its panels ask for what the commands log."""

import importlib.util
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = runpy.run_path(str(ROOT / "scripts" / "dashboard.py"))


def sections(capsys):
    DASHBOARD["main"](["entity=team", "project=grounder"])
    view = json.loads(capsys.readouterr().out)
    spec = view["spec"] if isinstance(view["spec"], dict) else json.loads(view["spec"])
    return {s["name"]: s["panels"] for s in spec["section"]["panelBankConfig"]["sections"]}


def test_every_section_has_its_panels(capsys):
    found = sections(capsys)
    assert list(found) == ["Training: scorer", "Training: detector", "Evaluation", "Sweeps"]
    drawn = [panel["config"]["metrics"] for panel in found["Training: scorer"]]
    assert drawn == [[name] for name in DASHBOARD["SCORER"]]
    kinds = [panel["viewType"] for panel in found["Sweeps"]]
    assert kinds[:3] == ["Parallel Coordinates Plot", "Parameter Importance", "Parameter Importance"]
    assert "sweep/points" in json.dumps(found["Sweeps"])
    for name in DASHBOARD["TABLES"]["evaluation"]:
        assert name in json.dumps(found["Evaluation"])


def test_tables_are_those_that_the_commands_tell():
    for room, verb in [
        ("eval", v) for v in ("grounding", "coco", "sweep", "compare", "robustness", "correlation", "speed")
    ]:
        source = Path(str(importlib.util.find_spec(f"{room}.{verb}").origin)).read_text()
        call = re.search(r"tell\(config\.tracking.*", source)
        told = re.findall(r'"(\w+)": ', call.group()) if call else []
        wanted = [t.partition("/")[2] for ts in DASHBOARD["TABLES"].values() for t in ts if t.startswith(f"{verb}/")]
        assert wanted
        assert set(wanted) <= set(told)


def test_a_wrong_word_sends_nothing():
    for words, message in ((["sent=true"], "no such setting"), (["send=yes"], "neither"), (["send=true"], "entity")):
        with pytest.raises(SystemExit, match=message):
            DASHBOARD["main"](words)
