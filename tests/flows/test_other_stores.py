"""A store of another genome, other states or another order is refused on every road, through the
command line.
"""

import numpy as np
import pytest

from epilm.cli import main
from epilm.store.reader import Store
from epilm.tasks.binding import write_labels
from toy_binding import CHROMS, toy_labels, toy_store
from toy_store import toy_store as region_store

LEARN = """--valid chr2 --test chr3 --window-bp 210 --epochs 1 --positives-per-epoch 4
--negatives-per-positive 1 --valid-negatives 8 --conv-channels 4 --dense 4 --batch-size 8
--device cpu"""
TRUNK = """model.k=3 model.stride=3 model.max_tokens=80 samples.window_bp=210
samples.holdout_chroms=[chr3] train.steps=1 train.batch_size=4 train.micro_batch=4
train.validate_samples=4 optim.warmup_steps=1 model.encoder.layers=1 model.encoder.hidden=16
model.encoder.heads=2 model.encoder.ffn=16 train.device=cpu"""
REGIONS = """samples.regions=3 train.steps=1 train.batch_size=4 train.micro_batch=4
train.validate_samples=0 optim.warmup_steps=1 samples.holdout_chroms=[]
train.device=cpu"""


def with_set(command, keys):
    """`--set` before each key."""
    return [*command, *(word for key in keys.split() for word in ("--set", key))]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two stores of one genome with other states, one of another genome, labels, a run, a model."""
    folder = tmp_path_factory.mktemp("world")
    store = toy_store(folder / "mine")
    toy_store(folder / "states", n_states=3)
    toy_store(folder / "genome", chroms={name: size + 200 for name, size in CHROMS.items()})
    labels = toy_labels(store)
    write_labels(folder / "TF.train.labels.tsv.gz", labels)
    recipe = with_set(["pretrain", "ebert_tiny"], TRUNK)
    words = [*recipe, "--store", str(store.path), "--out", str(folder / "trunk")]
    assert main(words) == 0
    words = ["finetune", "binding", "--data", str(folder / "TF.train.labels.tsv.gz")]
    words += ["--factor", "TF", "--checkpoint", str(folder / "trunk"), *LEARN.split()]
    out = ["--store", str(store.path), "--out", str(folder / "run")]
    assert main([*words, *out]) == 0
    stores = {name: next((folder / name).iterdir()) for name in ("mine", "states", "genome")}
    return folder, stores, words, recipe


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("genome", "the store is of another assembly than the one the model was made on"),
        ("states", "the states of the store are not those"),
    ],
)
@pytest.mark.parametrize("verb", ["finetune", "predict", "evaluate"])
def test_another_store_is_refused(world, capsys, tmp_path, verb, other, told):
    folder, stores, words, _ = world
    store = ["--store", str(stores[other])]
    run = str(folder / "run")
    where = ["--cell", "typeA", "--chroms"]
    predictions, labels = tmp_path / "F.TF.typeA.tab.gz", folder / "TF.train.labels.tsv.gz"
    typed = {
        "finetune": [*words, *store, "--out", str(tmp_path / "again")],
        "predict": ["predict", run, *store, *where, "chr1", "--out", str(predictions)],
        "evaluate": ["evaluate", run, *store, *where, "chr3", "--data", str(labels)],
    }
    assert main(typed[verb]) == 1
    said = capsys.readouterr().err
    assert told in said, said
    assert not predictions.exists()


def test_another_genome_may_be_meant(world, capsys, tmp_path):
    _, stores, words, _ = world
    again = ["--store", str(stores["genome"]), "--other-assembly", "--out", str(tmp_path / "again")]
    assert main([*words, *again]) == 0


def test_a_run_of_pretraining_does_not_go_on_with_another_store(world, capsys):
    folder, stores, _, recipe = world
    words = [*recipe, "--store", str(stores["genome"]), "--out", str(folder / "trunk")]
    assert main(words) == 1
    assert "store" in capsys.readouterr().err


def test_weights_of_other_states_do_not_start_a_pretraining(world, capsys, tmp_path):
    folder, stores, _, recipe = world
    words = [*recipe, "--set", f"model.encoder.init={folder / 'trunk'}"]
    words += ["--store", str(stores["states"]), "--out", str(tmp_path / "b")]
    assert main(words) == 1
    assert "the states of the store are not those of the weights it starts from" in (
        capsys.readouterr().err
    )


def test_regions_motifs_or_statistic_of_another_order_are_another_store(tmp_path, capsys):
    one = region_store(tmp_path / "one")
    path = one if isinstance(one, Store) else Store.open(one)
    words = with_set(["pretrain", "dnabert", "--size", "tiny"], REGIONS)
    out = ["--out", str(tmp_path / "run")]
    assert main([*words, "--store", str(path.path), *out]) == 0
    other = region_store(tmp_path / "two", seed=5)
    other = other if isinstance(other, Store) else Store.open(other)
    assert not np.array_equal(path.genome, other.genome)
    assert main([*words, "--store", str(other.path), *out]) == 1
    assert "another store" in capsys.readouterr().err
