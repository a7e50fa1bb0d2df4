"""What each training setting changes and what it leaves alone, on a tiny true SiglipModel, one or two steps each."""

import math
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from core.errors import InputError
from core.runs import RunFolder
from grounder.compose import compose_config, register
from siglip import train
from siglip.model import load_parts
from siglip.train.loop import Training
from siglip.train.schedule import rate_factor

WORDS = ["batch.size=12", "lr=1e-3", "epochs=1", "recipe=none", "probe=false", "tracking.mode=disabled"]


@pytest.fixture
def begin(make_crops, checkpoint, tmp_path):
    """`begin(name, *words)`: a training of two steps an epoch, ready to run; it starts from `checkpoint`."""
    crops = make_crops()

    def make(name, *words):
        given = [f"crops={crops}", f"scorer={checkpoint}", *WORDS, f"run_dir={tmp_path / name}", *words]
        config = OmegaConf.to_object(compose_config(register("siglip.train", train.TrainConfig), given))
        folder = RunFolder(tmp_path / name, "siglip.train")
        folder.open("")
        return Training(config, folder)

    return make


@pytest.fixture
def finish(begin):
    """`finish(name, *words)`: the same, run to its end."""

    def run(name, *words):
        training = begin(name, *words)
        training.run()
        return training

    return run


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def in_layers(name, *numbers):
    return any(f".layers.{n}." in name for n in numbers)


@pytest.mark.parametrize(
    ("words", "still"),
    [
        ([], lambda name: False),
        (["freeze.image=true"], lambda name: name.startswith("vision_model.")),
        (["freeze.text=true"], lambda name: name.startswith("text_model.")),
        (["freeze.layers=1"], lambda name: ".embeddings." in name or in_layers(name, 0)),
        (["freeze.image=true", "freeze.text=true"], lambda name: not name.startswith("logit_")),
    ],
    ids=["none", "image", "text", "first layer", "both towers"],
)
def test_frozen_weights_stay_as_they_are_and_all_others_move(words, still, finish, checkpoint):
    training = finish("run", *words)
    before = weights(checkpoint)
    expected = {name for name in before if not still(name)}
    assert changed(before, weights(training.folder.path / "last")) == expected
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    assert {names[id(p)] for p in training.optimizer.optimizer.state} == expected
    (state,) = (training.folder.path / "state").iterdir()
    keys = torch.distributed.checkpoint.FileSystemReader(state / "optimizer").read_metadata().state_dict_metadata
    moments = {key.removeprefix("optimizer.state.").removesuffix(".exp_avg") for key in keys if "exp_avg" in key[-9:]}
    assert {key for key in moments if not key.endswith("_sq")} == expected
    sizes = {name: tensor.numel() for name, tensor in before.items()}
    assert training.counts == {
        "num_weights": sum(sizes.values()),
        "num_trained_weights": sum(sizes[n] for n in expected),
    }


def test_more_layers_than_there_are_is_refused(begin):
    with pytest.raises(InputError, match=r"freeze\.layers: 3, but the towers have at most 2 layers"):
        begin("run", "freeze.layers=3")


@pytest.mark.parametrize("frozen", [False, True])
def test_lora_trains_beside_still_weights_and_is_merged_at_the_end(frozen, finish, checkpoint):
    words = ["lora.rank=4", "lora.alpha=8", "lora.dropout=0.1", f"freeze.image={str(frozen).lower()}"]
    training = finish("run", *words)
    before = weights(checkpoint)
    live = {name: p.detach() for name, p in training.model.named_parameters()}
    for name, tensor in live.items():  # the weights beside which it trains have not moved
        plain = name.replace(".base_layer", "")
        if plain in before and not plain.startswith("logit_"):
            assert torch.equal(tensor, before[plain]), name
    trained = {name for name, p in training.model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or name.startswith("logit_") for name in trained)
    assert any(name.startswith("vision_model.") for name in trained) is not frozen
    names = {id(p): name for name, p in training.model.named_parameters()}
    assert {names[id(p)] for p in training.optimizer.optimizer.state} == trained

    moved = changed(before, weights(training.folder.path / "last"))  # the same names: a plain model
    linear = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight")
    towers = ("text_model.encoder.",) if frozen else ("text_model.encoder.", "vision_model.encoder.")
    beside = {name for name in before if name.startswith(towers) and name.endswith(linear)}
    assert moved == beside | {"logit_scale", "logit_bias"}

    merged, _, _ = load_parts(str(training.folder.path / "last"))
    ids = training.stepper._input_ids_ML
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        image, text, scale, bias, _ = training.model.eval()(input_ids=ids, pixel_values=pixels)
        logits = merged.eval()(input_ids=ids, pixel_values=pixels).logits_per_image
    torch.testing.assert_close(logits, image @ text.T * scale + bias, rtol=1e-5, atol=1e-5)
    assert training.counts["num_trained_weights"] == sum(live[name].numel() for name in trained)


LAYERS_ABOVE = {  # of the tiny towers: two image layers, one text layer, the head counted as one layer
    "vision_model.embeddings.": 3, "vision_model.encoder.layers.0.": 2, "vision_model.encoder.layers.1.": 1,
    "vision_model.post_layernorm.": 0, "vision_model.head.": 0, "text_model.embeddings.": 2,
    "text_model.encoder.layers.0.": 1, "text_model.final_layer_norm.": 0, "text_model.head.": 0, "logit_": 0,
}  # fmt: skip


@pytest.mark.parametrize("lora", [0, 2])
def test_layer_decay_is_its_closed_form(lora, finish):
    training = finish("run", "layer_decay=0.5", f"lora.rank={lora}", "epochs=2")
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    seen = set()
    for group in training.optimizer.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            (above,) = (n for prefix, n in LAYERS_ABOVE.items() if name.startswith(prefix))
            expected = 1e-3 * rate_factor(3, 4, 0.1) * 0.5**above  # the last of four steps
            assert group["lr"] == pytest.approx(expected, rel=1e-12), name
            seen.add(above)
    assert seen == ({0, 1, 2} if lora else {0, 1, 2, 3})


def test_the_rates_are_transformers_cosine_schedule(finish):
    """Its rise begins at zero, so that the first step is lost; ours begins one step further on."""
    from transformers import get_cosine_schedule_with_warmup

    peak, steps = 2e-5, 145  # five published epochs of 29
    for warmup in (0.1, 0.0, 0.5):
        rising = max(1, round(steps * warmup))
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        theirs = get_cosine_schedule_with_warmup(optimizer, rising, steps)
        rates = []
        for _ in range(steps + 1):
            rates.append(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()
        ours = [peak * rate_factor(step, steps, warmup) for step in range(steps)]
        assert ours[:rising] == pytest.approx(rates[1 : rising + 1], rel=1e-12)
        assert ours[rising:] == pytest.approx(rates[rising:steps], rel=1e-12)
        assert max(ours) == pytest.approx(peak, rel=1e-12)
    training = finish("run", "warmup=0.5", "epochs=4", "log_every=1")
    logged = [entry["lr"] for entry in entries(training) if "grad_norm" in entry]
    assert logged == pytest.approx([1e-3 * rate_factor(step, 8, 0.5) for step in range(8)], rel=1e-12)


def entries(training):
    import json

    return [json.loads(line) for line in (training.folder.path / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("decay_on", ["both", "text"])
def test_weight_decay_takes_its_share_of_matrices_only(decay_on, finish, checkpoint):
    """One step with and without: the difference is lr x decay x weight for what decays, and nothing else moves."""
    before = weights(checkpoint)
    none = weights(finish("none", "weight_decay=0", "batch.size=24").folder.path / "last")
    some = weights(finish("some", "weight_decay=0.5", f"decay_on={decay_on}", "batch.size=24").folder.path / "last")
    for name, start in before.items():
        decays = start.ndim >= 2 and (decay_on == "both" or name.startswith("text_model."))
        expected = -1e-3 * 0.5 * start if decays else torch.zeros_like(start)
        torch.testing.assert_close(some[name] - none[name], expected, rtol=1e-3, atol=1e-7, msg=name)


def test_the_published_decay_is_the_default(begin):
    groups = begin("run").optimizer.optimizer.param_groups
    assert {(group["weight_decay"], group["betas"]) for group in groups} == {(0.0, (0.9, 0.99)), (1e-4, (0.9, 0.99))}
    assert {g["weight_decay"] for g in begin("none", "weight_decay=0").optimizer.optimizer.param_groups} == {0.0}


def test_the_scale_is_held_at_its_limit_and_free_without(finish):
    held = finish("held", "scale_max=15", "epochs=2", "log_every=1")
    told = [entry["scale"] for entry in entries(held) if "grad_norm" in entry]
    assert told[0] == pytest.approx(20, rel=1e-6)
    assert told[1] == pytest.approx(15, rel=1e-6)
    assert max(told[1:]) <= 15 * (1 + 1e-6)
    assert weights(held.folder.path / "last")["logit_scale"].exp().item() <= 15 * (1 + 1e-6)
    free, high = finish("free"), finish("high", "scale_max=1000")
    assert not changed(weights(free.folder.path / "last"), weights(high.folder.path / "last"))


def test_gradients_are_clipped_to_their_norm(finish):
    free, clipped = finish("free", "clip_norm=0"), finish("clipped", "clip_norm=0.25", "lr=0")
    for training, limit in ((free, math.inf), (clipped, 0.25)):
        grads = [p.grad for p in training.model.parameters()]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])).item()
        assert training.stepper.figures["grad_norm"] > 0.25
        assert norm == pytest.approx(min(limit, training.stepper.figures["grad_norm"]), rel=1e-4)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(finish):
    exact = finish("exact")
    seen = set()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: seen.add(output.dtype) if isinstance(module, torch.nn.Linear) else None
    )
    near = finish("near", "precision=bfloat16")
    hook.remove()
    assert seen == {torch.bfloat16}
    assert near.stepper.figures["loss"] != exact.stepper.figures["loss"]
    assert near.stepper.figures["loss"] == pytest.approx(exact.stepper.figures["loss"], rel=0.02)
    assert {t.dtype for t in weights(near.folder.path / "last").values()} == {torch.float32}


def test_checkpointing_gives_the_same_weights_and_runs_the_layers_twice(finish):
    calls, ends = [], []
    for name in ("false", "true"):
        count = 0

        def note(module, inputs):
            nonlocal count
            count += type(module).__name__ == "SiglipMLP" and module.training

        hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
        training = finish(name, f"checkpointing={name}", "batch.micro=6")
        hook.remove()
        calls.append(count)
        ends.append(weights(training.folder.path / "last"))
    assert not changed(*ends)
    # Two steps, four blocks (the pooling head has one, outside any layer); of two parts the first runs twice, once
    # without a graph. The three layers run again in the backward pass of each part.
    assert calls == [2 * 3 * 4, 2 * 3 * 4 + 2 * 2 * 3]


def test_compiled_it_learns_the_same_and_leaves_clean_names(finish, checkpoint):
    plain, compiled = finish("plain"), finish("compiled", "compile=aot_eager")
    assert any("_orig_mod" in name for name, _ in compiled.model.named_parameters())
    ends = [weights(t.folder.path / "last") for t in (plain, compiled)]
    assert ends[1].keys() == weights(checkpoint).keys()
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_a_second_cycle_starts_from_the_first_one_s_weights_with_a_new_cosine(finish, begin, tmp_path):
    first = finish("first", "epochs=2", "log_every=1")
    second = begin("second", "epochs=2", "log_every=1", f"scorer={tmp_path / 'first/last'}", "seed=1")
    start = {name: p.detach().clone() for name, p in second.model.named_parameters()}
    assert not changed(weights(tmp_path / "first/last"), start)
    assert not second.optimizer.optimizer.state
    second.run()
    rates = [[entry["lr"] for entry in entries(t) if "grad_norm" in entry] for t in (first, second)]
    assert rates[0] == rates[1]
    assert rates[0][0] > rates[0][-1]


def test_patience_stops_and_best_is_the_first_of_equals(begin, make_crops, checkpoint, capsys):
    """Without a learning rate every validation is the same: the first stays best, two more are waited for."""
    held_out = make_crops("held_out", images=3, seed=1)
    training = begin("run", "lr=0", "epochs=9", "patience=2", f"val_crops={held_out}")
    figures = training.run()
    assert (figures["epoch"], figures["best_epoch"]) == (3, 1)
    assert "no better validation for 2 epochs" in capsys.readouterr().out
    for folder in ("last", "best"):
        assert not changed(weights(checkpoint), weights(training.folder.path / folder))
