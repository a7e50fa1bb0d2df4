"""The losses of small vocabularies against their formulas, in micro-batches, and through a whole training."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_caching import Towers, gradients, no_sync, relative

from siglip import export, train
from siglip.loss.caching import Embedded, split_batch, whole_batch
from siglip.loss.vocabulary import vocabulary_loss, word_loss, word_table
from siglip.objective import Form, read_known_captions

WORDS = ["batch.size=12", "lr=3e-3", "epochs=2", "recipe=none", "probe=false", "tracking.mode=disabled",
         "clip_norm=0"]  # fmt: skip
VOCABULARY = ["loss.form=vocabulary", "loss.none=true", "loss.words=0.7"]


@pytest.mark.parametrize("none", [False, True])
def test_it_is_the_cross_entropy_of_a_softmax_over_all_captions(none):
    generator = torch.Generator().manual_seed(0)
    image, text = (F.normalize(torch.randn(n, 6, dtype=torch.float64, generator=generator)) for n in (5, 4))
    captions = torch.tensor([0, 3, 3, 1, 2])
    scale, bias = torch.tensor(7.0, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64)
    made = vocabulary_loss(image, text, scale, bias, captions, none=none)
    total = 0.0
    for b, caption in enumerate(captions.tolist()):
        logits = [7.0 * float(image[b] @ text[v]) - 2.0 for v in range(4)]
        total -= logits[caption] - math.log(sum(map(math.exp, logits)) + (1.0 if none else 0.0))
    assert made.item() == pytest.approx(total / 5, rel=1e-12)


def test_the_bias_learns_only_beside_a_none():
    image, text = F.normalize(torch.randn(3, 4)), F.normalize(torch.randn(2, 4))
    for none in (False, True):
        bias = torch.tensor(-1.0, requires_grad=True)
        vocabulary_loss(image, text, torch.tensor(5.0), bias, torch.tensor([0, 1, 1]), none=none).backward()
        assert (abs(bias.grad.item()) > 1e-3) is none


def test_the_words_of_captions():
    words, table = word_table(["red drone", "Blue drone", "drone, red"])
    assert words == [",", "blue", "drone", "red"]
    np.testing.assert_array_equal(table, [[0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 1, 1]])
    logits = torch.tensor([[0.0, 2.0, -1.0, 3.0]], dtype=torch.float64)
    right = torch.from_numpy(table[:1]).double()
    p = torch.sigmoid(logits)
    by_hand = -(right * p.log() + (1 - right) * (1 - p).log()).mean()
    assert word_loss(logits, right).item() == pytest.approx(by_hand.item(), rel=1e-12)


@pytest.mark.parametrize("parts", [2, 5, 12])
def test_micro_batches_give_the_whole_batchs_gradients(parts):
    """The captions of the vocabulary are dealt out over the parts, those without a crop too; words are learned."""
    ids = np.random.default_rng(0).integers(0, 6, 12)  # of nine captions
    pixels = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (9, 5)))

    def made(num_parts):
        torch.manual_seed(3)
        model, head = Towers(0.3, torch.float64), torch.nn.Linear(16, 5, dtype=torch.float64)
        model.add_module("word_head", head)
        split = split_batch(ids, num_parts, False, vocabulary=9)
        assert sorted(np.concatenate([p.captions[: p.num_texts] for p in split])) == list(range(9))

        def forward(k):
            part = split[k]
            out = model(pixels[part.crops], torch.from_numpy(part.captions))
            return Embedded(out.image, out.text[: part.num_texts], out.scale, out.bias, head(out.image))

        def loss_of(image, text, scale, bias, words):
            captions = torch.from_numpy(ids)
            told = word_loss(words, table[captions])
            return vocabulary_loss(image, text, scale, bias, captions) + 0.7 * told

        model.eval()
        loss = whole_batch(forward, num_parts, loss_of, lambda s: s.backward(), no_sync, 1.0)
        return loss, gradients(model)

    (loss, grads), (wanted_loss, wanted) = made(parts), made(1)
    assert relative(loss, wanted_loss) <= 1e-13
    assert relative(grads, wanted) <= 1e-12


def test_a_training_by_it_leaves_what_it_knows_and_no_word_head(make_crops, architecture_words, tmp_path):
    crops = make_crops()
    for name, more in (("whole", []), ("micro", ["batch.micro=5"]), ("pairs", ["loss.words=1"])):
        words = [] if name == "pairs" else VOCABULARY
        train.main([f"crops={crops}", *architecture_words, *WORDS, *words, *more, f"run_dir={tmp_path}/{name}"])
    losses = [json.loads((tmp_path / name / "metrics.json").read_text())["loss"] for name in ("whole", "micro")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert not [name for name in load_file(tmp_path / "whole/last/model.safetensors") if "word" in name]
    assert read_known_captions(str(tmp_path / "whole/last")) == [
        f"{c} drone" for c in ("blue", "green", "red", "white")
    ]
    assert not (tmp_path / "pairs/last/objective.json").exists()
    export.main([f"weights={tmp_path}/whole", f"run_dir={tmp_path}/exported"])
    told = json.loads((tmp_path / "exported/objective.json").read_text())
    assert told["form"] == Form.vocabulary.value


def test_it_learns_colours(make_crops, architecture_words, tmp_path):
    crops, held_out = make_crops("crops", images=12), make_crops("held_out", images=8, seed=1)
    train.main([f"crops={crops}", f"val_crops={held_out}", *architecture_words, *WORDS, *VOCABULARY, "epochs=20",
                f"run_dir={tmp_path}/run"])  # fmt: skip
    told = json.loads((tmp_path / "run/metrics.json").read_text())
    assert told["best_ranking_accuracy"] >= 0.9
    assert told["loss"] < 0.5 * (math.log(5) + 0.7 * math.log(2))  # of one that knows nothing


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["loss.none=true"], "loss.none: goes with loss.form=vocabulary"),
        (["loss.words=-1"], "loss.words: -1.0 is no weight"),
        (["loss.form=vocabulary", "loss.same_caption=negative"], "loss.same_caption: is of pairs"),
        (["loss.form=vocabulary", "loss.negatives=micro"], "loss.negatives: is of pairs"),
        (["loss.form=vocabulry"], "the nearest is 'vocabulary'"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, told, make_crops, architecture_words, capfd):
    with pytest.raises(SystemExit) as stop:
        train.main([f"crops={make_crops()}", *architecture_words, *WORDS, *words])
    assert stop.value.code == 2
    assert told in capfd.readouterr().err
