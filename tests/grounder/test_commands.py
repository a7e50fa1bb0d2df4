"""Every command of the list: its help, its schema, and how fast it answers."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from core.errors import nearest
from grounder.commands import COMMANDS, help_line
from grounder.help import settings_rows

HEAVY = ("torch", "transformers", "ultralytics", "albumentations", "sahi", "wandb", "datasets", "matplotlib", "fastapi")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command):
    """Speed itself is not asserted: what makes it slow is an import, and that can be seen exactly."""
    words = [sys.executable, "-X", "importtime", "-m", command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & set(HEAVY)
    assert f"usage: python -m {command} key=value" in done.stdout
    assert help_line(command) in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_has_its_comment_in_the_help(command, monkeypatch):
    asked = {}
    monkeypatch.setattr("grounder.command.run_command", lambda name, schema, run, argv: asked.update({name: schema}))
    importlib.import_module(command).main([])
    rows = list(settings_rows(asked[command], OmegaConf.structured(asked[command])))
    assert len(rows) > 1
    assert [name for name, _, comment in rows if re.fullmatch(r"(\[[\w| ]+\])?", comment)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_typo_is_one_line_with_the_command_name(command, capsys):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(command).main(["run_dri=x"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error == f"{command}: run_dri: no such setting; the nearest is 'run_dir'\n"


def test_bare_grounder_lists_every_command():
    done = subprocess.run([sys.executable, "-m", "grounder"], capture_output=True, text=True, check=True)
    for command in COMMANDS:
        assert f"  {command} " in done.stdout
    assert "locate" in done.stdout


def test_an_unknown_command_names_the_nearest():
    words = [sys.executable, "-m", "grounder", "data.splot"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr
        == "grounder: unknown command 'data.splot'; did you mean data.split? ('grounder' alone lists them)\n"
    )


def test_version_and_a_reader_that_leaves():
    done = subprocess.run([sys.executable, "-m", "grounder", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"grounder \d+\.\d+\.\d+\n", done.stdout)
    left = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m grounder | true"], capture_output=True, text=True
    )
    assert left.returncode == 0
    assert left.stderr == ""


@pytest.mark.parametrize("name", ["core.py", "configs.py", "data/__init__.py", "eval/__init__.py"])
def test_a_users_own_files_of_our_names_break_no_command(name, tmp_path):
    """By `grounder` and, where Python finds the command's own room first, by `python -m` as well."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise RuntimeError('the user')\n")
    modules = [["grounder", "data.check"], ["grounder", "siglip.train"]]
    modules += [["siglip.train"]] if "/" in name else [["data.check"], ["siglip.train"]]
    for words in modules:
        done = subprocess.run([sys.executable, "-m", *words, "--help"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [("mine", ["none"], None), ("rand", ["random"], "random"), ("fration", ["fraction", "action"], "fraction"),
     ("--version", ["siglip.bigvision"], None), ("red", ["detector.predict"], None), ("gaus_noise", ["gauss_noise"],
     "gauss_noise")],
)  # fmt: skip
def test_only_what_is_near_is_named(word, known, expected):
    assert nearest(word, known) == expected


PRESSING = """
import os, sys
class Pressing:  # Ctrl-C at the import of this module
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["PRESS_AT"]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressing())
"""


@pytest.mark.parametrize("place", ["grounder.command", "core.errors"])
@pytest.mark.parametrize("module", ["grounder", "data.check"])
def test_an_interrupt_while_importing_is_one_line(tmp_path, place, module):
    (tmp_path / "sitecustomize.py").write_text(PRESSING)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PRESS_AT": place}
    words = [sys.executable, "-m", module, "data.check"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith("interrupted\n")
    assert done.stderr.count("\n") == 1


def test_a_program_of_a_users_own_keeps_its_hook(tmp_path):
    told = subprocess.run([sys.executable, "-c", "import grounder, sys; print(sys.excepthook is sys.__excepthook__)"],
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert told.stdout == "True\n"
