"""pipeline.export with a re-ranker: it chooses among the best, is replayed, and its key is written nowhere."""

import json
import re
from pathlib import Path

import pytest
from onestage_server import images_of, words_of

from core.records import read_predictions


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_reranker_chooses_among_the_best_and_is_replayed(export, serve, tmp_path):
    seen = []

    def reply(body):
        number = len(images_of(body))
        seen.append(number)
        assert re.search(rf"You see {number} images", words_of(body))
        return "2" if number > 1 else "1"

    stub = serve(reply)
    plain = export("plain")
    words = [f"candidates={tmp_path}/plain/candidates", f"reranker={stub.url}", "reranker.model=m", "reranker.best=3"]
    folder = export("reranked", *words)
    metrics, number = metrics_of(folder), len(seen)
    assert 0 < number <= metrics["num_reranked"]
    assert max(seen) <= 3
    assert metrics["num_unparsed_choices"] == 0

    before, after = ([p for e in read_predictions(f / "predictions.jsonl") for p in e.predictions]
                     for f in (plain, folder))  # fmt: skip
    assert all(a.score <= b.score for a, b in zip(after, before, strict=True))  # the second best
    assert any(a.score < b.score for a, b in zip(after, before, strict=True))
    again = export("again", *words)
    assert len(seen) == number
    assert (again / "predictions.jsonl").read_bytes() == (folder / "predictions.jsonl").read_bytes()


@pytest.mark.parametrize(("text", "told"), [("none", None), ("I cannot say", "kept"), ("1 or 2", "kept")])
def test_none_is_no_box_and_no_choice_keeps_the_scorers(export, serve, text, told):
    folder = export("run", f"reranker={serve(lambda body: text).url}", "reranker.model=m")
    predictions = [p for e in read_predictions(folder / "predictions.jsonl") for p in e.predictions]
    assert all((p.box_ltwh is None) == (told is None) for p in predictions)
    assert metrics_of(folder)["num_unparsed_choices"] == (0 if told is None else len(predictions))


def test_a_sweep_says_that_it_does_not_repeat_the_choices(export, serve, system, capfd):
    from eval.sweep import main as sweep

    plain = export("plain")
    folder = export("run", f"reranker={serve(lambda body: '2').url}", "reranker.model=m")
    words = [f"truth={system}/scenes/annotations.jsonl", "confidence=[0.3]", "nms_iou=[0.5]", "tracking.mode=disabled"]
    capfd.readouterr()
    sweep([f"candidates={folder}/candidates", *words, "run_dir=sweep"])
    line = "run/candidates: a re-ranker chose here; its choices are not swept, and every point is without it"
    assert line in capfd.readouterr().err
    (row,) = json.loads(Path("sweep/sweep.json").read_text())
    assert row["num_hits"] == metrics_of(plain)["num_hits"]
    sweep([f"candidates={plain}/candidates", *words, "run_dir=sweep_plain"])
    assert "re-ranker" not in capfd.readouterr().err


def test_the_other_commands_take_a_reranked_run(export, serve, system):
    from eval.compare import main as compare
    from eval.grounding import main as grounding
    from eval.report import main as report
    from eval.robustness import main as robustness
    from eval.speed import main as speed

    runs = [export("plain"), export("run", f"reranker={serve(lambda body: 'none').url}", "reranker.model=m")]
    off, truth = "tracking.mode=disabled", f"truth={system}/scenes/annotations.jsonl"
    for run in runs:
        grounding([truth, f"predictions={run}/predictions.jsonl", f"run_dir=judged_{run}", off])
        assert metrics_of(Path(f"judged_{run}"))["num_hits"] == metrics_of(run)["num_hits"]
    assert metrics_of(runs[1])["num_hits"] == 0  # "none" is no box
    compare(["runs=[judged_plain,judged_run]", "run_dir=compared", off])
    robustness([f"runs=[{runs[0]},{runs[1]}]", "run_dir=robust", "png=false", off])
    speed([f"runs=[{runs[0]},{runs[1]}]", "run_dir=speed", "png=false", off])
    assert [row.get("reranker") is not None for row in json.loads(Path("speed/speed.json").read_text())] == [
        False,
        True,
    ]
    report([f"runs=[{runs[0]},{runs[1]}]", truth, f"images={system}/scenes/images", "png=false", "run_dir=page", off])
    (pair,) = json.loads(Path("page/report.json").read_text())["pairs"]
    assert pair["counts"]["broken"]["count"] == metrics_of(runs[0])["num_hits"]


def test_the_key_is_written_nowhere(export, serve, capfd, monkeypatch):
    """Not in the run folder with its dashboard's files, not in what is printed, not when the server says it back."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("MY_KEY", "s3cret-key")
    answers = iter(["1", "s3cret-key is your key", "2"])
    stub = serve(lambda body: next(answers, 401), logprobs=[{"token": "s3cret-key", "logprob": -0.1}])
    words = [f"reranker={stub.url}", "reranker.model=m", "reranker.key_variable=MY_KEY", "reranker.parallel=1",
             "tracking.mode=offline"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        export("run", *words)
    assert stop.value.code == 2
    assert stub.headers[0]["Authorization"] == "Bearer s3cret-key"
    told = capfd.readouterr()
    assert "refuses: status 401" in told.err
    assert len(list(Path("run/candidates/choices").rglob("*.json"))) >= 3  # what was answered stays
    again = serve(lambda body: "1")
    export("run2", f"reranker={again.url}", *words[1:])
    assert list(Path("run2").glob("wandb/offline-run-*/*.wandb"))
    told = told.out + told.err + "".join(capfd.readouterr())
    written = b"".join(p.read_bytes() for p in Path().rglob("*") if p.is_file())
    assert "s3cret-key" not in told
    assert b"s3cret-key" not in written
