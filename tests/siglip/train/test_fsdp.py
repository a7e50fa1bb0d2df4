"""FSDP2 for real: two CPU processes, compiled, gradients cached; what they leave equals one process's, and converts."""

import json
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from siglip import convert, evaluate, train

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "configs/accelerate").glob("*.yaml"))


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "history.jsonl").read_text().splitlines()]


def test_two_processes_shard_and_leave_a_complete_folder(make_crops, architecture_words, tmp_path, run_processes):
    words = [f"crops={make_crops()}", *architecture_words, "batch.size=8", "lr=3e-3", "epochs=2", "recipe=none"]
    settings = ["strategy=fsdp", "compile=aot_eager", "batch.micro=2", f"run_dir={tmp_path}/sharded"]
    run_processes(2, "-m", "siglip.train", *words, *settings, timeout=400)
    assert list((tmp_path / "sharded/state").rglob("*.distcp"))

    train.main([*words, f"run_dir={tmp_path}/alone"])
    assert losses(tmp_path / "sharded") == pytest.approx(losses(tmp_path / "alone"), rel=1e-4)

    convert.main([f"source={tmp_path}/sharded/last", f"out={tmp_path}/clean"])
    evaluate.main([f"crops={tmp_path}/crops", f"scorer={tmp_path}/clean", f"run_dir={tmp_path}/judged"])
    judged = json.loads((tmp_path / "judged/metrics.json").read_text())
    evaluate.main([f"crops={tmp_path}/crops", f"scorer={tmp_path}/alone/last", f"run_dir={tmp_path}/judged_alone"])
    assert (
        judged["ranking_accuracy"]
        == json.loads((tmp_path / "judged_alone/metrics.json").read_text())["ranking_accuracy"]
    )


@pytest.mark.faults
def test_two_processes_learn_a_vocabulary_and_words_as_one_does(
    make_crops, architecture_words, tmp_path, run_processes, count
):
    """21 crops in eights: the last step's shares are of two and of three crops, in parts that not both have."""
    crops = make_crops()
    lines = (crops / "metadata.jsonl").read_text().splitlines(keepends=True)
    (crops / "metadata.jsonl").write_text("".join(lines[:21]))
    words = [f"crops={crops}", *architecture_words, "batch.size=8", "lr=3e-3", "epochs=2", "recipe=none",
             "loss.form=vocabulary", "loss.none=true", "loss.words=1"]  # fmt: skip
    train.main([*words, f"run_dir={tmp_path}/alone"])
    for strategy in ("fsdp", "ddp")[: count(short=1, full=2)]:
        both = [f"strategy={strategy}", "batch.micro=2", f"run_dir={strategy}"]
        run_processes(2, "-m", "siglip.train", *words, *both, timeout=400)
        assert losses(tmp_path / strategy) == pytest.approx(losses(tmp_path / "alone"), rel=1e-4)
        told = [(tmp_path / name / "last/objective.json").read_text() for name in (strategy, "alone")]
        assert told[0] == told[1]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_launch_files_are_accelerates(file):
    """accelerate reads each, and the command in its header names the file and is one that its launcher understands."""
    config = load_config_from_file(str(file))
    assert config.num_processes % config.num_machines == 0
    command = next(line for line in file.read_text().splitlines() if line.startswith("# accelerate launch"))
    words = command.removeprefix("# accelerate launch ").split()
    known = launch_command_parser().parse_args(words)
    assert Path(known.config_file).name == file.name
    assert known.module
    assert known.training_script == "siglip.train"
