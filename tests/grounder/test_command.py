"""The wrapper around every command, seen from its command line."""

import errno
import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from omegaconf import MISSING, OmegaConf

from core.errors import InputError
from core.runs import RunConfig, RunFolder
from grounder.command import run_command
from grounder.device import require_device
from grounder.presets import find_preset


class Order(Enum):
    last = "last"
    random = "random"


@dataclass
class Inner:
    size: int = 3  # pixels


@dataclass
class TryConfig(RunConfig):
    annotations: str = MISSING  # the file to read
    fraction: float = 0.2  # share to keep
    order: Order = Order.last  # which ones
    inner: Inner = field(default_factory=Inner)
    seed: int | None = None  # for a random order


def run(config: TryConfig, folder: RunFolder) -> dict[str, object]:
    if config.fraction > 1:
        raise InputError(f"{config.annotations} line 3: field 'fraction': {config.fraction} is above 1")
    if config.annotations == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "disk/file")
    if config.annotations == "nameless":
        raise OSError(errno.ENOSPC, "No space left on device")
    if config.annotations == "defect":
        raise ZeroDivisionError
    (folder.path / "made.txt").write_text(f"{type(config.inner).__name__} {config.order}")
    return {"fraction": config.fraction}


def call(*words: str) -> None:
    run_command("data.try", TryConfig, run, list(words))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        call(*words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_settings_reach_the_command_as_its_dataclass(tmp_path, capsys):
    call("annotations=a.jsonl", "order=random", "inner.size=5", f"run_dir={tmp_path}/out")
    assert (tmp_path / "out/made.txt").read_text() == "Inner Order.random"
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {"fraction": 0.2}
    assert "size: 5" in (tmp_path / "out/config.yaml").read_text()
    assert f"results in {tmp_path}/out" in capsys.readouterr().out


def test_the_default_folder_is_named_after_command_and_time(tmp_path):
    call("annotations=a")
    assert len(list(tmp_path.glob("runs/data.try/*/run.json"))) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "annotations: must be given"),
        (["annotations=a", "fration=0.3"], "fration: no such setting; the nearest is 'fraction'"),
        (["annotations=a", "inner.sise=0.3"], "inner.sise: no such setting; the nearest is 'inner.size'"),
        (
            ["annotations=a", "fraction=much"],
            "fraction=much: Value 'much' of type 'str' could not be converted to Float",
        ),
        (
            ["annotations=a", "order=rand"],
            "Invalid value 'rand', expected one of [last, random]; the nearest is 'random'",
        ),
        (["annotations=a", "fraction"], "not of the form key=value"),
        (["annotations=a", "fraction=[1"], "not of the form key=value"),
        (["annotations=a", "--nonsense"], "--nonsense: no such flag"),
        (["annotations=a", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
        (["annotations=a", "run_dir=/proc/x"], "/proc/x: cannot be made a run folder"),
        (["annotations=a.jsonl", "fraction=2"], "a.jsonl line 3: field 'fraction': 2.0 is above 1"),
        (["annotations=full"], "disk/file: No space left on device"),
        (["annotations=nameless", "run_dir=out"], "data.try: out: No space left on device"),
        (["-m", "annotations=a", "fracton=0.1,0.2"], "fracton: no such setting; the nearest is 'fraction'"),
    ],
)
def test_each_mistake_is_one_line_with_status_2(words, told, capsys, tmp_path):
    assert told in refused(capsys, *words)
    assert not list(tmp_path.glob("runs/**/metrics.json"))


def test_a_defect_of_ours_keeps_its_traceback_and_is_recorded(tmp_path):
    with pytest.raises(ZeroDivisionError):
        call("annotations=defect", "run_dir=out")
    assert json.loads((tmp_path / "out/run.json").read_text())["state"] == "failed"


def test_another_commands_folder_is_not_overwritten(capsys):
    run_command("data.other", TryConfig, run, ["annotations=a", "run_dir=out"])
    assert "already holds a run of data.other" in refused(capsys, "annotations=a", "run_dir=out")


def test_cfg_job_shows_the_composed_settings_and_runs_nothing(tmp_path, capsys):
    call("annotations=a", "fraction=0.5", "--cfg", "job")
    assert "fraction: 0.5" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_help_shows_every_setting_with_its_comment(capsys):
    call("--help")
    text = capsys.readouterr().out
    assert "The wrapper around every command" in text
    for expected in ("run_dir", "the file to read", "(required)", "inner.size", "[last | random]", "share to keep"):
        assert expected in text


def test_multirun_runs_each_combination_in_its_own_folder(tmp_path):
    call("annotations=a", "-m", "fraction=0.1,0.2", "order=last,random", "run_dir=grid")
    found = sorted(json.loads(p.read_text())["fraction"] for p in Path("grid").glob("*/metrics.json"))
    assert found == [0.1, 0.1, 0.2, 0.2]


def test_a_users_own_folder_of_presets_is_searched(tmp_path, capsys):
    (tmp_path / "mine" / "extra").mkdir(parents=True)
    (tmp_path / "mine" / "extra" / "half.yaml").write_text("# @package _global_\nfraction: 0.5\n")
    call("annotations=a", "--config-dir", str(tmp_path / "mine"), "+extra=half", "--cfg", "job")
    assert "fraction: 0.5" in capsys.readouterr().out
    (tmp_path / "mine" / "inner").mkdir()
    (tmp_path / "mine" / "inner" / "large.yaml").write_text("size: 9\n")
    call("--help", "--config-dir", str(tmp_path / "mine"))
    assert "  inner=  large\n" in capsys.readouterr().out
    assert "nowhere: no such folder" in refused(capsys, "--help", "--config-dir", "nowhere")
    call("annotations=a", "--config-dir", str(tmp_path / "mine"), "--cfg", "job")
    assert find_preset("inner", "large") == tmp_path / "mine" / "inner" / "large.yaml"
    call("annotations=a", "--cfg", "job")
    assert find_preset("inner", "large") is None
    assert find_preset("recipe", "v3") is not None


def test_a_sweep_takes_paths_for_presets_as_single_runs_do():
    from grounder.compose import register, sweep_words
    from pipeline.export.settings import ExportConfig

    name = register("pipeline.export", ExportConfig)
    assert sweep_words(name, ["scorer=a/b", "confidence=0.1,0.05"]) == [
        "scorer=checkpoint", "scorer.weights=a/b", "confidence=0.1,0.05"]  # fmt: skip
    assert sweep_words(name, ["scorer=a/b,c/d"]) == ["scorer=checkpoint", "scorer.weights=a/b,c/d"]
    presets = ["scorer=siglip_large_384,siglip_large_256"]
    assert sweep_words(name, presets) == presets
    with pytest.raises(InputError, match="presets and paths in one sweep"):
        sweep_words(name, ["scorer=siglip_large_384,a/b"])


def test_a_multirun_ends_with_a_table_of_its_points(capsys, tmp_path):
    call("-m", "annotations=a.jsonl", "seed=3,4", f"run_dir={tmp_path}/many")
    told = capsys.readouterr().out.splitlines()
    place = next(n for n, line in enumerate(told) if line.startswith("point  words"))
    assert [line.split()[:3] for line in told[place + 1 : place + 3]] == [
        ["0", "seed=3", "done"],
        ["1", "seed=4", "done"],
    ]
    assert told[-1] == f"results in {tmp_path}/many"


def test_a_run_folder_named_by_what_varies_leaves_no_stray_one(capsys, tmp_path):
    call("-m", "annotations=a.jsonl", "seed=3,4", f"run_dir={tmp_path}/many/x_${{seed}}")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("many/*/*")) == [
        "many/x_3/0", "many/x_4/1"]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["x_3", "x_4"]
    assert "1      seed=4  done" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["2025_11_28", "1e3", "true", "a=b", "[x]", "red, white", "it's x=3", "10"])
def test_a_text_setting_is_what_was_typed(typed, capsys):
    call(f"annotations={typed}", "--cfg", "job")
    assert OmegaConf.create(capsys.readouterr().out).annotations == typed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["annotations=a", "fraction=0,2"], "a comma lists the runs of -m; write fraction=[0,2] for a list"),
        (["annotations=a", "order=mine"], "expected one of [last, random]\n"),  # nothing is near: nothing is named
        (["annotations=a", "jet"], "'name=two words'"),
        (["annotations=a", "fraction=[a=b"], "quote a value with =, brackets or commas"),
    ],
)
def test_a_slip_against_hydras_grammar_is_told_in_the_users_words(words, told, capsys):
    assert told in refused(capsys, *words)


def test_a_gpu_that_is_not_there_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device in ("cuda", "cuda:1", "0"):
        with pytest.raises(InputError, match="torch finds none here; device=cpu works"):
            require_device(device)
    with pytest.raises(InputError, match="asks for CUDA GPU 0"):
        require_device([0, 1])
    for device in (None, "cpu", "elsewhere"):
        require_device(device)
