"""The dashboard's specification as it would be sent;
that the commands log what its panels ask for, their own tests see."""

import json
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
    for name in DASHBOARD["TABLES"]:
        assert name in json.dumps(found["Evaluation"])


def test_a_wrong_word_sends_nothing(capsys):
    for words, message in ((["sent=true"], "no such setting"), (["send=yes"], "neither"), (["send=true"], "entity")):
        with pytest.raises(SystemExit) as ended:
            DASHBOARD["main"](words)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
