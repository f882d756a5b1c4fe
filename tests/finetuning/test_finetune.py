"""Fine-tuning of every kind of task: it learns, it repeats itself, it goes on after a kill, it says
what is wrong, it leaves nothing half-written.
"""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import matthews_corrcoef

from epilm.errors import CheckpointError, InputError, TrainingError, UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.models.binding_head import BindingModel
from epilm.models.classifier import SequenceClassifier
from epilm.tasks.base import labelled
from epilm.tasks.binding import write_labels
from epilm.tasks.binding.binding_options import BindingOptions
from epilm.training.learning import Learning
from forked import CONTEXT
from toy_binding import LARGE, toy_labels, toy_store
from toy_binding import QUICK as BINS
from toy_binding import quick as quick_bins
from toy_sequences import QUICK, planted, quick, said_of_all

# What every run folder holds.
FILES = ["metrics.json", "metrics.jsonl", "model", "outlines.json", "run.json", "task.json"]
# Scoring hundreds of bins takes longer than a step: few are enough where no score is looked at.
FEW = {"valid_chroms": ("chr2:0-6000",), "valid_negatives": 40}
SHORT = FEW | {"positives_per_epoch": 20, "epochs": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), chroms=LARGE)


# -- sequences


def test_the_cnn_learns_a_planted_motif_and_its_run_can_be_read(tmp_path):
    settings = replace(QUICK, epochs=12, lr=3e-3)
    result, lines = quick(planted(600), tmp_path / "run", checkpoint="cnn", settings=settings)
    assert result.metrics["test"]["auroc"] > 0.9
    assert any(line.startswith("epoch 12/12") for line in lines)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == sorted([*FILES, "predictions.tsv"])
    written = {path.name for path in (tmp_path / "run" / "model").iterdir()}
    assert {"card.md", "model.safetensors", "spec.json"} <= written
    task = json.loads((tmp_path / "run" / "task.json").read_text())
    assert task["set"]["counts"]["test"] == [30, 30]
    again = evaluate(tmp_path / "run")
    assert again.table["test"]["ap"] == pytest.approx(result.metrics["test"]["ap"], abs=1e-6)
    said = predict(tmp_path / "run", result.lesson.examples, device="cpu").probabilities
    assert np.allclose(said, said_of_all(result), atol=1e-6)


def test_a_language_model_repeats_itself_by_seed_and_survives_disk(tmp_path):
    rows = planted(120, ragged=True)
    first, _ = quick(rows, tmp_path / "a")
    second, _ = quick(rows)
    assert (said_of_all(first) == said_of_all(second)).all()
    other, _ = quick(rows, settings=replace(QUICK, seed=1))
    assert (said_of_all(other) != said_of_all(first)).any()
    loaded = predict(tmp_path / "a", first.lesson.examples, device="cpu")
    assert np.allclose(loaded.probabilities, said_of_all(first), atol=1e-6)
    assert len(first.history) == 2
    assert {"loss", "valid_ap", "lr", "seconds"} <= set(first.history[0])


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quick(planted(60))
    assert (torch.get_rng_state() == before).all()


def test_the_best_epoch_is_kept():
    result, _ = quick(planted(120), settings=replace(QUICK, epochs=4, lr=2e-3))
    scores = [row["valid_ap"] for row in result.history]
    assert result.best_epoch == int(np.argmax(scores)) + 1
    assert result.metrics["valid"]["ap"] == pytest.approx(max(scores))


def test_where_a_class_begins_is_fitted_on_valid_rows_and_kept_with_the_model(tmp_path):
    rows = planted(240)
    rows = labelled(rows.codes, rows.labels * (np.arange(240) % 8 == 1), name="few")  # an eighth
    plain, _ = quick(rows, beside=("kmer",))
    result, lines = quick(rows, tmp_path / "run", threshold="valid", beside=("kmer",))
    # It is learned as without: probabilities and ranks are the same.
    assert np.array_equal(said_of_all(result), said_of_all(plain))
    assert result.metrics["test"]["ap"] == plain.metrics["test"]["ap"]
    threshold = result.model.labels.threshold
    assert any(line.startswith(f"1 from a probability of {threshold:.3f} on") for line in lines)
    for part in ("valid", "test"):
        said = result.said[part][:, 1] > threshold
        true = rows.labels[result.lesson.parts[part]]
        assert result.metrics[part]["mcc"] == pytest.approx(matthews_corrcoef(true, said))
    assert result.metrics["valid"]["mcc"] > plain.metrics["valid"]["mcc"]
    # Whoever opens the run goes by it, and a baseline beside it has a threshold of its own.
    assert load_finetuned(tmp_path / "run").labels.threshold == threshold
    again = evaluate(tmp_path / "run")
    assert again.table["test"]["mcc"] == pytest.approx(result.metrics["test"]["mcc"])
    fresh = evaluate(tmp_path / "run", data=result.lesson.examples.part("test"), device="cpu")
    assert fresh.table["test"]["mcc"] == pytest.approx(result.metrics["test"]["mcc"])
    tables = (each.beside["kmer"]["valid"][""] for each in (result, plain))
    moved, half = (table["mcc"] for table in tables)
    assert moved > half


def test_a_threshold_is_refused_where_there_are_not_two_classes(tmp_path):
    three = labelled(planted(60).codes, np.arange(60) % 3)
    with pytest.raises(UsageError, match="--threshold valid: only between two.*Found 3 classes"):
        quick(three, tmp_path / "run", threshold="valid")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def fresh():
    """What a fine-tuning begins with, but for a rate that moves nothing."""
    return quick(planted(60), settings=replace(QUICK, epochs=1, lr=1e-12))[0]


@pytest.mark.parametrize("freeze", ["encoder", "embeddings", "layers:1"])
def test_frozen_weights_do_not_move(freeze, fresh):
    settings = replace(QUICK, epochs=1, lr=1e-2, freeze=freeze)
    result, _ = quick(planted(60), settings=settings)
    now, then = result.model.network.encoder, fresh.model.network.encoder
    assert torch.allclose(now.words.weight, then.words.weight, atol=1e-8)
    last = torch.allclose(now.blocks[-1].up.weight, then.blocks[-1].up.weight, atol=1e-8)
    assert last is (freeze == "encoder")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoint": "nowhere"}, CheckpointError, "there is no such checkpoint"),
        ({"init": "none"}, UsageError, "unknown init"),
        ({"head": "liner"}, UsageError, "--head: unknown head.*Did you mean linear"),
        ({"head": "linear", "checkpoint": "cnn"}, UsageError, "cnn brings a head of its own"),
        ({"fusion": "concat", "checkpoint": "cnn"}, UsageError, "cnn reads bases alone"),
        ({"settings": Learning(freeze="all")}, UsageError, "--freeze: impossible.*Found all"),
        ({"settings": Learning(warmup=-1)}, UsageError, "--warmup: impossible value. Found -1"),
        ({"settings": Learning(epochs=0)}, UsageError, "--epochs: impossible value"),
        ({"settings": BindingOptions()}, UsageError, "the settings are of another task"),
        ({"freeze": "layers:9"}, UsageError, "--freeze: fewer layers than to be frozen"),
        ({"freeze": "encoder", "checkpoint": "cnn"}, UsageError, "no encoder to freeze"),
        ({"test": ("chr1",), "split": "chromosome"}, InputError, "needs the place of every row"),
        (
            {"kernel": 99},
            UsageError,
            "finetune sequences: no such option. Found --kernel, an option of binding",
        ),
        ({"freese": "encoder"}, UsageError, "Found --freese. Did you mean --freeze"),
        ({"ema": 1.0}, UsageError, "--ema: impossible value. Found 1.0; expected 0 to below 1"),
    ],
)
def test_wrong_calls_are_named(options, error, message):
    with pytest.raises(error, match=message):
        quick(planted(60), **options)


def test_short_and_long_sequences():
    with pytest.raises(
        InputError, match=r"shorter than one k-mer. Found 2 bp; expected at least 3 bp"
    ):
        quick(labelled(["AC", "ACGT"] * 30, [0, 1] * 30, split=["train"] * 50 + ["valid"] * 10))
    rows = planted(40, width=620)
    result, lines = quick(rows, settings=replace(QUICK, epochs=1))
    cut = "40 sequences are longer than the model reads: their centre was used"
    assert cut in lines
    assert cut in predict(result.model, rows, device="cpu").notes


# -- binding


def test_states_tell_where_a_factor_binds_in_a_cell_type_and_on_a_chromosome_not_seen(
    store, tmp_path
):
    result, lines = quick_bins(store, out=tmp_path / "run")
    assert result.metrics["TF"]["auprc_dg"] > 0.95
    assert any(line.startswith("device cpu") for line in lines)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    labels = toy_labels(store)
    bins = labels.bins.take(labels.bins.inside(["chr3"]))
    predict(
        tmp_path / "run",
        out=tmp_path / "F.TF.typeC.tab",
        store=store,
        cell="typeC",
        bins=bins,
        device="cpu",
        say=lines.append,
    )
    from epilm.tasks.binding.dream.submission import read_submission

    said = read_submission(tmp_path / "F.TF.typeC.tab", bins).scores
    truth = labels.of("typeC")[labels.bins.inside(["chr3"])]
    assert said[truth == 1].mean() > 0.7 > 0.3 > said[truth == 0].mean()
    about = load_finetuned(tmp_path / "run").about
    assert about["cells"] == ["typeA", "typeB"]
    assert about["train_chroms"] == ["chr1"]
    assert about["state_names"] == list(store.states.names)
    assert about["state_bin"] == 200
    assert result.best_epoch == about["best_epoch"]
    assert isinstance(
        BindingOptions(**{key: _tuple(value) for key, value in about["settings"].items()}),
        BindingOptions,
    )


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value


def test_several_factors_are_learned_at_once_and_what_is_not_known_is_masked(store):
    a = toy_labels(store, "A", 1)
    b = toy_labels(store, "B", 2, cells=["typeA", "typeC"])
    result, _ = quick_bins(store, [a, b], epochs=3, positives_per_epoch=150)
    assert result.model.labels.names == ("A", "B")
    assert result.metrics["A"]["auprc_dg"] > 0.7
    assert result.metrics["B"]["n"] < result.metrics["A"]["n"]


def test_the_factornet_like_network_learns_in_the_same_loop(store, tmp_path):
    result, lines = quick_bins(
        store,
        out=tmp_path / "net",
        checkpoint="factornet",
        signals=("accessibility", "mappability"),
        **SHORT,
    )
    assert any("FactorNet" in line for line in lines)
    loaded = load_finetuned(tmp_path / "net")
    assert loaded.bases
    before, after = result.model.network.state_dict(), loaded.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_binding_and_dream_are_one_task(store):
    with pytest.raises(UsageError, match="binding needs a store"):
        finetune("dream", toy_labels(store))
    result = finetune(
        "dream",
        toy_labels(store),
        settings=replace(BINS, store=store, **SHORT),
        size="tiny",
        say=lambda line: None,
    )
    assert result.model.about["task"] == "binding"
    assert json.dumps(result.model.about)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "--epochs: impossible value. Found 0"),
        ({"jitter": -1}, "--jitter: impossible value. Found -1; expected at least 0"),
        ({"negatives": 0}, "--negatives-per-positive"),
        ({"freeze": "half"}, "expected none, embeddings, encoder, or layers:N"),
        ({"metric": "f1"}, "auprc_dg, ap or auroc"),
        ({"positives_per_epoch": 0}, "--positives-per-epoch"),
        ({"signals": ("accessibility:median",)}, "not a signal"),
        ({"head_lr_multiplier": 0.0}, "--head-lr-multiplier"),
        ({"shortcut_lr_multiplier": -1.0}, "--shortcut-lr-multiplier"),
        ({"label_smoothing": 0.1}, "--label-smoothing: impossible value. Found 0.1"),
        ({"window_bp": 150}, "the window is narrower than a bin. Found 150; expected at least 200"),
    ],
)
def test_impossible_settings_of_binding_are_refused(store, change, words):
    with pytest.raises(UsageError) as error:
        quick_bins(store, **change)
    assert words in str(error.value)


def test_jitter_moves_what_is_learned_and_nothing_that_is_scored(store, monkeypatch):
    from epilm.finetuning.windows import AroundPlaces

    asked = []
    plain, block = AroundPlaces.windows, AroundPlaces.block

    def watched(self, rows, strands=None, shifts=None):
        asked.append((rows, shifts))
        return plain(self, rows, strands, shifts)

    def unmoved(self, rows, *, reverse=False):
        asked.append((rows, None))
        return block(self, rows, reverse=reverse)

    monkeypatch.setattr(AroundPlaces, "windows", watched)
    monkeypatch.setattr(AroundPlaces, "block", unmoved)
    result, _ = quick_bins(store, checkpoint="dbert", jitter=40, **SHORT)
    scored = set(result.lesson.valid.tolist())
    for rows, shifts in asked:
        if shifts is None:
            assert set(rows.tolist()) <= scored
        else:
            assert 0 < np.abs(shifts).max() <= 40
    assert sum(shifts is not None for _, shifts in asked) == result.history[0]["step"]


def test_jitter_is_no_option_of_sequences():
    with pytest.raises(UsageError, match="no such option. Found --jitter, an option of binding"):
        quick(planted(40), jitter=5)


# -- both kinds of task: what the one loop does for each


def learn_sequences(folder, say, **changes):
    """The same small run every time."""
    more = {"thaw_after": 1, "freeze": "layers:1"}  # learns in the epoch that is interrupted
    more |= {"ema": 0.9}
    settings = replace(QUICK, epochs=3, dropout=0.2, both_strands=True, **more | changes)
    own = {"checkpoint": "random", "size": "tiny", "k": 3, "settings": settings}
    return finetune("sequences", planted(60, ragged=True), folder / "run", say=say, **own)


def learn_bins(folder, say, **changes):
    store = toy_store(folder / "store")
    own = {"epochs": 3, "dropout": 0.2, "both_strands": True, "positives_per_epoch": 20}
    own |= FEW | {"jitter": 20}
    own |= {"layer_lr_decay": 0.7, "thaw_after": 2}  # the trunk is at rest when it is interrupted
    settings = replace(BINS, store=store, patience=0, **own | changes)
    own = {"checkpoint": "ebert", "size": "tiny", "settings": settings, "say": say}
    return finetune("binding", toy_labels(store), folder / "run", **own)


KINDS = pytest.mark.parametrize("learn", [learn_sequences, learn_bins])


def killed_in(folder, learn):
    """Die as of kill -9 when the second of three epochs has been learned and not yet written."""
    import os

    torch.set_num_threads(1)

    def say(line):
        if line.startswith("epoch 2/3"):
            os.kill(os.getpid(), signal.SIGKILL)

    learn(folder, say)


@KINDS
def test_killed_between_two_epochs_a_run_ends_with_the_same_weights(learn, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    process = CONTEXT.Process(target=killed_in, args=(tmp_path / "cut", learn))
    process.start()
    whole = learn(tmp_path / "whole", lambda line: None)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "run" / "model").exists()
    lines = []
    second = learn(tmp_path / "cut", lines.append)
    assert "going on after epoch 1 of 3" in lines
    one, other = (
        load_file(tmp_path / name / "run" / "model" / "model.safetensors")
        for name in ("whole", "cut")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    losses = [[row["loss"] for row in result.history] for result in (whole, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # the state keeps seven digits
    assert json.dumps(whole.tables) == json.dumps(second.tables)
    again = learn(tmp_path / "cut", lines.append)  # complete: nothing is done
    assert lines[-1].startswith("the run is complete: best epoch")
    assert again.best_epoch == second.best_epoch
    learn(tmp_path / "cut", lines.append, micro_batch=8)  # what running out of memory is cured with
    assert lines[-1].startswith("the run is complete: best epoch")
    with pytest.raises(
        TrainingError, match=r"another run. Found settings.lr was 0.00\d, is 0.1.*--overwrite"
    ):
        learn(tmp_path / "cut", lines.append, lr=0.1)


# What gives the logits, its windows last: of a trunk with a head, the head.
ANSWERS = ((SequenceClassifier, "forward"), (BindingModel, "head"))


@KINDS
def test_a_loss_that_is_no_number_stops_the_run_and_no_model_is_written(learn, tmp_path):
    with pytest.raises(
        TrainingError,
        match=(
            r"(epoch \d, step \d+: the loss or its gradient is not finite. Found loss .*in rows"
            r"|the model's scores are not finite. Found \d+ of \d+ rows).*Lower --lr"
        ),
    ):
        learn(tmp_path, lambda line: None, lr=1e30, clip=0.0, warmup=0.0)
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "metrics.json").exists()


@KINDS
def test_a_model_that_says_one_thing_is_called_collapsed(learn, tmp_path, monkeypatch):
    for network, name in ANSWERS:
        said = getattr(network, name)
        monkeypatch.setattr(network, name, lambda self, *a, said=said: said(self, *a) * 0)
    lines = []
    result = learn(tmp_path, lines.append)
    part = "train" if learn is learn_sequences else "valid"  # six rows are too few to say
    assert any(line.startswith(f"WARNING: COLLAPSE on {part}") for line in lines)
    kept = json.loads((tmp_path / "run" / "task.json").read_text())["notes"]
    assert any(f"COLLAPSE on {part}" in note for note in kept)
    assert all(table["collapse"] for table in result.tables[part].values())


@KINDS
def test_running_out_of_memory_names_the_largest_micro_batch_of_a_trial(
    learn, tmp_path, monkeypatch
):
    """Forward passes of more than 10 rows fail as a full machine does."""
    for network, name in ANSWERS:
        said = getattr(network, name)

        def full(self, *read, said=said):
            if len(read[-1].ids) > 10:
                raise MemoryError("cannot allocate memory")
            return said(self, *read)

        monkeypatch.setattr(network, name, full)
    with pytest.raises(
        TrainingError,
        match=r"epoch 1, step 1: out of memory. Found \d+ rows on cpu.*set --micro-batch to [78]\.",
    ):
        learn(tmp_path, lambda line: None)
    assert len(learn(tmp_path, lambda line: None, micro_batch=7).history) == 3


def test_micro_batches_make_the_same_step(store):
    one, _ = quick_bins(store, **SHORT | {"positives_per_epoch": 40})
    other, _ = quick_bins(store, **SHORT | {"positives_per_epoch": 40}, micro_batch=16)
    pairs = zip(one.model.network.parameters(), other.model.network.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=2e-4) for a, b in pairs)
    rows = planted(60)
    one, _ = quick(rows, settings=replace(QUICK, dropout=0.0))
    other, _ = quick(rows, settings=replace(QUICK, dropout=0.0, micro_batch=5))
    assert np.allclose(said_of_all(one), said_of_all(other), atol=2e-4)


def test_a_folder_that_is_no_run_is_not_written_over_unless_asked(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("all of it")
    with pytest.raises(
        TrainingError, match=r"not a run that can go on. Found thesis.tex.*--overwrite"
    ):
        quick(planted(60), tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="a file stands where the run's folder should be"):
        quick(planted(60), tmp_path / "file")
    quick(planted(60), tmp_path / "run", overwrite=True)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        [*FILES, "predictions.tsv"]
    )


# -- how far weights move


ONE_STEP = FEW | {
    "epochs": 1,
    "positives_per_epoch": 21,
    "batch_size": 64,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "decay": "constant",
    "lr": 1e-4,
    "eps": 1e-12,
}


def moved_by_one_step(store, **changes):
    """AdamW's first step moves a weight by its rate, whatever the gradient. Name -> how far."""
    from toy_binding import started

    settings = replace(BINS, **ONE_STEP, **changes)
    before = dict(started("ebert", store, settings)[0].network.named_parameters())
    result, _ = quick_bins(store, **ONE_STEP, **changes)
    assert result.history[0]["step"] == 1
    return {
        name: float((weight - before[name]).abs().max().detach())
        for name, weight in result.model.network.named_parameters()
    }


def test_the_head_takes_larger_steps_than_the_encoder(store):
    head = ("dense.weight", "convolutions.0.weight", "out.bias")
    for multiplier in (1.0, 10.0):
        moved = moved_by_one_step(store, head_lr_multiplier=multiplier)
        for name in head:
            assert moved[name] == pytest.approx(1e-4 * multiplier, rel=0.02)
        assert moved["trunk.encoder.blocks.0.up.weight"] == pytest.approx(1e-4, rel=0.02)
    with pytest.raises(UsageError, match="no head to learn at a rate of its own"):
        quick_bins(
            store, checkpoint="factornet", head_lr_multiplier=2.0, signals=("accessibility",)
        )


def test_lower_layers_take_smaller_steps(store):
    """Two layers: the top one at the rate, the lower at .5, embeddings and states at .25."""
    moved = moved_by_one_step(store, layer_lr_decay=0.5, head_lr_multiplier=3.0)
    assert moved["dense.weight"] == pytest.approx(3e-4, rel=0.02)
    assert moved["trunk.encoder.blocks.1.up.weight"] == pytest.approx(1e-4, rel=0.02)
    assert moved["trunk.encoder.blocks.0.up.weight"] == pytest.approx(5e-5, rel=0.02)
    assert moved["trunk.encoder.words.weight"] == pytest.approx(2.5e-5, rel=0.02)
    assert moved["trunk.states.weight"] == pytest.approx(2.5e-5, rel=0.02)
    with pytest.raises(
        UsageError, match=r"--layer-lr-decay: the model has no encoder whose layers"
    ):
        quick_bins(store, checkpoint="factornet", layer_lr_decay=0.5, signals=("accessibility",))


def test_a_run_from_before_an_option_was_there_goes_on(tmp_path):
    first, _ = quick(planted(60), tmp_path / "ft", epochs=1)
    run = tmp_path / "ft" / "run.json"
    before = json.loads(run.read_text())
    del before["settings"]["layer_lr_decay"], before["settings"]["thaw_after"]
    run.write_text(json.dumps(before))
    again, lines = quick(planted(60), tmp_path / "ft", epochs=1)
    assert lines[-1].startswith("the run is complete")
    assert again.best_epoch == first.best_epoch
    with pytest.raises(TrainingError, match=r"layer_lr_decay was 1.0, is 0.5"):
        quick(planted(60), tmp_path / "ft", epochs=1, layer_lr_decay=0.5)


def test_the_shortcut_takes_larger_steps_still(store):
    moved = moved_by_one_step(
        store,
        head_lr_multiplier=5.0,
        shortcut_lr_multiplier=2.0,
        signals=("accessibility",),
        shortcut="signals",
    )
    assert moved["shortcut.weight"] == pytest.approx(1e-3, rel=0.02)
    assert moved["dense.weight"] == pytest.approx(5e-4, rel=0.02)
    assert moved["trunk.encoder.blocks.0.up.weight"] == pytest.approx(1e-4, rel=0.02)
    with pytest.raises(UsageError, match="no shortcut to learn at a rate of its own"):
        quick_bins(store, shortcut_lr_multiplier=2.0)


def test_a_baseline_that_is_not_known_is_refused_before_anything_is_learned(tmp_path):
    said = []
    with pytest.raises(UsageError, match="--beside: unknown baseline. Found kmers. Did you mean"):
        learn_sequences(tmp_path, said.append, beside=("kmers",))
    assert not [line for line in said if line.startswith("epoch")]


# -- where little is installed


def test_fine_tuning_needs_torch_transformers_and_numpy_alone(store, tmp_path):
    """From a table of sequences, and from a label file and a store that were made elsewhere."""
    table, fasta = tmp_path / "promoters.tsv", tmp_path / "promoters.fa"
    rows = planted(40)
    letters = [
        "".join("ACGTN"[code] for code in row[:n])
        for row, n in zip(rows.codes, rows.lengths, strict=True)
    ]
    lines = [f"{word}\t{label}" for word, label in zip(letters, rows.labels, strict=True)]
    fasta.write_text("".join(f">row\n{word}\n" for word in letters))
    table.write_text("sequence\tlabel\n" + "\n".join(lines) + "\n")
    write_labels(tmp_path / "TF.train.labels.tsv", toy_labels(store))
    program = f"""
import sys
for name in ("pandas", "sklearn", "numba", "anndata", "bioframe", "Bio", "pyfaidx", "scipy"):
    sys.modules[name] = None
from pathlib import Path
from epilm.finetuning.finetune import finetune
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.predict import predict
here = Path({str(tmp_path)!r})
finetune("promoter", here / "promoters.tsv", here / "sequences", checkpoint="cnn", epochs=1)
predict(here / "sequences", here / "promoters.fa", here / "said.tsv", device="cpu")
evaluate(here / "sequences")
finetune(
    "binding", here / "TF.train.labels.tsv", here / "bins", checkpoint="cnn",
    store={str(store.path)!r}, epochs=1, factor="TF", test_cells=("typeC",),
    valid_chroms=("chr2",), test_chroms=("chr3",), window_bp=600, valid_negatives=20,
    positives_per_epoch=20,
)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for run in ("sequences", "bins"):
        assert (tmp_path / run / "model" / "model.safetensors").is_file()
