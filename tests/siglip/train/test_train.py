"""Training end to end on four colours: learns, repeats, leaves a complete folder."""

import json

import pytest
from safetensors.torch import load_file

from eval.charts.training import training_charts
from eval.figures import HEADLINES, SCORER_LOSS, SCORER_STEPS, SCORER_VALIDATION
from eval.runs import find_runs
from siglip import evaluate, train

SETTINGS = ["batch.size=12", "lr=3e-3", "weight_decay=0.01"]


def test_it_learns_colours_and_judges_itself_by_them(make_crops, architecture_words, tmp_path):
    crops, held_out = make_crops("crops", images=12), make_crops("held_out", images=8, seed=1)
    words = [f"crops={crops}", *architecture_words, *SETTINGS, "epochs=20", "recipe=none", f"run_dir={tmp_path}/run"]
    train.main([*words, f"val_crops={held_out}"])
    evaluate.main([f"crops={held_out}", f"scorer={tmp_path}/run/last", f"run_dir={tmp_path}/judged"])
    metrics = json.loads((tmp_path / "judged/metrics.json").read_text())
    assert metrics["chance"] == 0.25
    assert metrics["ranking_accuracy"] >= 0.9
    assert {p["command"] for p in json.loads((tmp_path / "judged/run.json").read_text())["parents"]} == {"siglip.train"}
    history = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    validated = [entry["ranking_accuracy"] for entry in history if "ranking_accuracy" in entry]
    assert len(validated) == 20
    (found,) = find_runs(f"{tmp_path}/run")
    titles = [chart.title.partition(" (")[0] for chart in training_charts([found])]
    assert titles == ["Scorer: loss", "Scorer: validation"]
    assert {*HEADLINES["siglip.train"], *SCORER_LOSS, *SCORER_STEPS, *SCORER_VALIDATION} - {"detected_accuracy"} <= {
        name for entry in history for name in entry
    }
    assert found.figures().startswith("loss ")
    assert "ranking accuracy" in found.figures()
    assert validated[-1] == metrics["ranking_accuracy"]
    assert len(set(validated)) > 1  # or best/ shows nothing
    told = json.loads((tmp_path / "run/metrics.json").read_text())
    assert told["best_ranking_accuracy"] == max(validated)
    assert told["best_epoch"] == validated.index(max(validated)) + 1  # the first of equals
    evaluate.main([f"crops={held_out}", f"scorer={tmp_path}/run/best", f"run_dir={tmp_path}/judged_best"])
    judged = json.loads((tmp_path / "judged_best/metrics.json").read_text())
    assert (judged["ranking_accuracy"], judged["retrieval_at_1"]) == (max(validated), told["best_retrieval_at_1"])
    assert history[-1]["loss"] < history[0]["loss"] / 2


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_crops, architecture_words, tmp_path):
    crops = make_crops()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train.main(
            [
                f"crops={crops}",
                *architecture_words,
                *SETTINGS,
                "epochs=2",
                "recipe=demo",
                f"seed={seed}",
                f"run_dir={name}",
            ]
        )
    a, b, c = (load_file(tmp_path / name / "last/model.safetensors") for name in "abc")
    assert all(a[k].equal(b[k]) for k in a)
    assert any(not a[k].equal(c[k]) for k in a)


def test_going_on_from_a_checkpoint(make_crops, checkpoint, tmp_path):
    train.main([f"crops={make_crops()}", f"scorer={checkpoint}", *SETTINGS, "epochs=1", f"run_dir={tmp_path}/run"])
    settings = json.loads((tmp_path / "run/last/grounder.json").read_text())
    assert settings["template"] == "{}"
    assert settings["policy"] == "none"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["crops=nowhere"], "nowhere"),
        (["crops={crops}"], "scorer: neither weights nor an architecture is given"),
        (["crops={crops}", "scorer=nowhere/x"], "scorer: nowhere/x: not here"),
        (["crops={crops}", "recipe=demoo"], "the nearest is 'demo'"),
        (["crops={crops}", "loss.same_caption=negativ"], "the nearest is 'negative'"),
    ],
)
def test_mistakes_are_one_line(words, told, make_crops, capfd):
    crops = make_crops()
    with pytest.raises(SystemExit) as stop:
        train.main([w.format(crops=crops) for w in words])
    assert stop.value.code == 2
    assert told in capfd.readouterr().err
