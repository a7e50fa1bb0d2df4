"""Every command in the README, the pages, the notebooks, the presets' headers and the scripts composes."""

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from grounder.commands import ALIASES, COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOLD = [*PAGES, *sorted((ROOT / "notebooks").glob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]
SHELL = [*sorted((ROOT / "scripts").rglob("*.sh")), *sorted((ROOT / "scripts" / "slurm").glob("*.sbatch"))]
TRAININGS = [*sorted((ROOT / "scripts" / "train").glob("*.sh")), *sorted((ROOT / "scripts" / "slurm").glob("*"))]
NAMES = "|".join(map(re.escape, sorted((*COMMANDS, *ALIASES), key=len, reverse=True)))
COMMAND = re.compile(rf"(?:\bpython -m |\bgrounder |\baccelerate launch [^`\n]*?-m )({NAMES})(?![\w.])([^`\n|]*)")
SHIM = '#!/usr/bin/env bash\nprintf "%s\\0" "$(basename "$0")" "$@" >> "$SEEN"\nprintf "\\n" >> "$SEEN"\n'


def commands_of(path):
    """(command, words) of every command line a file shows; lines joined at a trailing backslash."""
    text = path.read_text().replace("\\\n", " ")
    for found in COMMAND.finditer(text):
        words = shlex.split(found[2].split(" # ")[0].split("   ")[0].replace("'", '"'), comments=True)
        words = [word for word in words if "=" in word or word in {"-m", "--config-dir"} or word[:1].isupper()]
        yield ALIASES.get(found[1], found[1]), [word.rstrip(".,;:)") for word in words if "..." not in word]


@pytest.fixture(autouse=True)
def placeholders(tmp_path, monkeypatch):
    """A folder where what the pages call RUN, FOLDER and DIR exists, DIR with the recipe that docs/recipes.md tells."""
    for name in ("RUN", "FOLDER", "DIR/recipe"):
        (tmp_path / "here" / name).mkdir(parents=True)
    recipe = re.search(r"```yaml\n(name: mine\n.*?)```", (ROOT / "docs" / "recipes.md").read_text(), re.S)
    (tmp_path / "here" / "DIR" / "recipe" / "mine.yaml").write_text(recipe[1])
    monkeypatch.chdir(tmp_path / "here")


def compose(command, words, capsys):
    """Compose as `--cfg job` does; of a multirun's lists the first job. Only a missing required setting is excused."""
    if "-m" in words:
        words = [re.sub(r"^([\w./]+=[^\[{,]+),.*$", r"\1", word) for word in words if word != "-m"]
    try:
        importlib.import_module(command).main([*words, "--cfg", "job"])
    except SystemExit as stop:
        error = capsys.readouterr().err
        if stop.code not in {0, None}:
            assert "must be given" in error, f"{command} {' '.join(words)}\n{error}"
    capsys.readouterr()


def test_pages_show_commands():
    shown = {command for path in PAGES for command, _ in commands_of(path)}
    assert len(shown) >= 20


@pytest.mark.parametrize("path", TOLD, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_shown_composes(path, capsys):
    for command, words in commands_of(path):
        compose(command, words, capsys)


def test_a_wrong_command_would_be_found(capsys):
    with pytest.raises(AssertionError, match="no such setting"):
        compose("data.split", ["annotations=FILE", "val_fracton=0.2"], capsys)


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.name)
def test_every_command_of_a_training_script_composes(path, tmp_path, capsys):
    """The script itself runs, with programs that only write down what they were asked."""
    for name in ("python", "accelerate", "scontrol"):
        (tmp_path / name).write_text(SHIM)
    (tmp_path / "srun").write_text('#!/usr/bin/env bash\nSLURM_NODEID=0 exec "$@"\n')
    for shim in tmp_path.iterdir():
        shim.chmod(0o755)
    seen = tmp_path / "seen"
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SEEN": str(seen), "MASTER": "first",
           "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "first,second", "SLURM_SUBMIT_DIR": str(ROOT)}  # fmt: skip
    subprocess.run(["bash", str(path)], check=True, env=env, timeout=60, cwd=ROOT)
    lines = [line.split("\0")[:-1] for line in seen.read_text().splitlines()]
    assert lines
    for program, *words in lines:
        place = words.index("-m")
        assert program in {"python", "accelerate"}
        if program == "accelerate":
            launched(words[1:place])
        compose(words[place + 1], words[place + 2 :], capsys)


def launched(words):
    """The launcher's own words are ones it knows."""
    from accelerate.commands.launch import launch_command_parser

    args = launch_command_parser().parse_args([*words, "script.py"])
    assert args.num_processes >= 2
    assert args.mixed_precision == "bf16"


@pytest.mark.parametrize("path", SHELL, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_are_clean(path):
    program = ROOT / ".venv" / "bin" / "shellcheck"
    found = program if program.exists() else "shellcheck"
    done = subprocess.run([str(found), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert os.access(path, os.X_OK)


def test_fetching_tells_where_published_weights_go_and_refuses_a_typo():
    script = ROOT / "scripts" / "fetch_weights.sh"
    told = subprocess.run([script, "published"], capture_output=True, text=True, check=True).stdout
    assert "weights/detectors/" in told
    assert "weights/scorers/" in told
    wrong = subprocess.run([script, "scorer"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr[:22]) == (2, "fetch_weights: scorer:")


def test_fetched_files_are_where_presets_look():
    text = (ROOT / "scripts" / "fetch_weights.sh").read_text()
    presets = "".join(
        p.read_text() for room in ("upscaler", "scorer") for p in (ROOT / "configs" / room).glob("*.yaml")
    )
    for name in re.findall(r"weights: weights/([\w.-]+\.pth)", presets):  # relative to weights_dir
        assert f'"$WEIGHTS/{name}"' in text
    for name in re.findall(r"hf download (\S+)", text):
        assert name in presets
    from detector.weights import RELEASES

    assert RELEASES in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target
