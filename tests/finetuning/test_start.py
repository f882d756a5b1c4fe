"""What fine-tuning starts from: weights, twins, positions, motifs, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.errors import CheckpointError, InputError, StoreError, UsageError
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.finetuning.start import prepare
from epilm.hub.checkpoint import save_model
from epilm.hub.export import export
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec
from epilm.motifs.motif import Motif
from epilm.tasks import TASKS
from toy_binding import QUICK as BINS
from toy_binding import quick as quick_bins
from toy_binding import started, toy_labels, toy_store
from toy_sequences import QUICK, planted, quick, said_of_all

ONE = replace(QUICK, epochs=1)
BOTH_STREAMS = ModelSpec(
    k=3,
    regions=2,
    factors=3,
    encoder=EncoderSpec(size="tiny"),
    tower=TowerSpec(name="native", patch=(1, 1), embed=8, depths=(1,), heads=(2,), window=2),
    projection_dim=8,
)
WITH_STATES = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=7,
    stride=7,
    states=4,
    cells=4,
    max_tokens=150,
    encoder=EncoderSpec(size="tiny"),
    next_segment="none",
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A checkpoint of both streams as pre-training leaves it, with three factors."""
    folder = tmp_path_factory.mktemp("pre") / "run" / "model"
    extra = {"store": "f00d", "factor_ids": ["M2", "M0", "M1"], "holdout_chroms": ["chr22"]}
    save_model(folder, build_model(BOTH_STREAMS, seed=3), BOTH_STREAMS, extra)
    return folder.parent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",))


@pytest.fixture(scope="module")
def checkpoint(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    extra = {
        "state_names": list(store.states.names),
        "state_bin": 200,
        "holdout_chroms": ["chr3"],
        "cell_types": ["typeA"],
    }
    save_model(folder, build_model(WITH_STATES, seed=9), WITH_STATES, extra)
    return folder


def begun(checkpoint, rows=None, **options):
    """What fine-tuning on sequences starts from, and the lines on it."""
    task = TASKS["sequences"]
    lesson = task.lesson(planted(40) if rows is None else rows, QUICK, lambda line: None)
    return prepare(task, lesson, QUICK, checkpoint, **{"size": "tiny"} | options)


def three_motifs():
    out = []
    for i, word in enumerate(("TGACTCA", "GGGCGG", "CACGTG")):
        matrix = np.ones((len(word), 4))
        matrix[np.arange(len(word)), ["ACGT".index(b) for b in word]] = 97
        out.append(Motif(id=f"M{i}", name=word, matrix=matrix, is_counts=True))
    return out


# -- sequences


def test_a_pretrained_run_gives_its_weights_and_its_random_twin_does_not(pretrained):
    trained, _ = begun(pretrained)
    twin, _ = begun(pretrained, init="random")
    source = build_model(BOTH_STREAMS, seed=3).encoder.words.weight
    one, other = trained.network.encoder.words.weight, twin.network.encoder.words.weight
    assert torch.equal(one, source)
    assert one.shape == other.shape
    assert not torch.allclose(one, other)
    assert trained.about["pretraining"]["holdout_chroms"] == ["chr22"]
    assert twin.about["pretraining"] is None
    assert trained.spec.regions == 2


@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_fusion_reads_the_motif_scores_of_the_input(pretrained, tmp_path, fusion):
    asked = {"checkpoint": pretrained, "fusion": fusion, "settings": ONE}
    result, _ = quick(planted(60), tmp_path / "ft", motifs=three_motifs(), **asked)
    assert [motif.id for motif in result.model.fusion_motifs] == ["M2", "M0", "M1"]
    loaded = load_finetuned(tmp_path / "ft")
    assert [motif.id for motif in loaded.fusion_motifs] == ["M2", "M0", "M1"]
    said = predict(loaded, result.lesson.examples, device="cpu").probabilities
    assert np.allclose(said, said_of_all(result), atol=1e-5)
    with pytest.raises(CheckpointError, match=r"lacks factors of the model. Found 1 missing, M2"):
        quick(planted(60), motifs=three_motifs()[:2], **asked)
    with pytest.raises(UsageError, match=r"--motifs: fusion reads .* Found no motifs"):
        quick(planted(60), **asked)


def test_a_dnabert_folder_is_a_checkpoint(pretrained, tmp_path):
    export(pretrained, tmp_path / "bert")
    assert begun(tmp_path / "bert")[0].spec.k == 3
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        begun(tmp_path / "none")


def test_sequences_longer_than_the_positions_are_cut_refused_or_given_more(tmp_path):
    spec = ModelSpec(
        name="dnabert",
        streams=("dna",),
        k=3,
        max_tokens=20,
        encoder=EncoderSpec(hidden=16, layers=1, heads=2, ffn=16, max_positions=20),
    )
    save_model(tmp_path / "m", build_model(spec, seed=0), spec)
    rows = planted(40, width=60)  # 58 k-mers, with [CLS] and [SEP] 60
    own = {"checkpoint": tmp_path / "m", "settings": ONE}
    _, lines = quick(rows, **own)
    assert "40 sequences are longer than the model reads: their centre was used" in lines
    with pytest.raises(
        InputError,
        match=r"longer than the model reads. Found 60 bp \(40 such\); expected at most 20",
    ):
        quick(rows, longer="refuse", **own)
    for more in ({}, {"lora": 2}):
        out = tmp_path / f"ft{len(more)}"
        result, lines = quick(rows, out, longer="positions", **own, **more)
        said = (
            "the longest sequence has 60 tokens (60 bp): the 20 positions of the model are repeated"
        )
        assert said in lines
        assert not any("centre was used" in line for line in lines)
        opened = load_finetuned(out)
        assert opened.widest == 60
        table = opened.network.encoder.positions.weight
        assert table.shape == (60, 16)
        assert not more or torch.equal(table[20:40], table[:20])
        probabilities = predict(opened, rows, device="cpu").probabilities
        assert np.allclose(probabilities, said_of_all(result), atol=1e-6)
    kept = quick(rows, longer="refuse", checkpoint="random", settings=ONE)[0].model
    with pytest.raises(InputError, match=r"expected at most 512 bp.*--longer cut, positions or"):
        predict(kept, planted(10, width=600), device="cpu")
    with pytest.raises(UsageError, match=r"--longer: cnn has no positions.*Found positions"):
        quick(rows, checkpoint="cnn", longer="positions", settings=ONE)


def test_positions_pretraining_never_used_repeat_those_it_did(tmp_path):
    spec = ModelSpec(
        name="dnabert", streams=("dna",), k=3, max_tokens=20, encoder=EncoderSpec(size="tiny")
    )
    save_model(tmp_path / "m", build_model(spec, seed=0), spec)
    made, notes = begun(tmp_path / "m", planted(10, width=60))
    table = made.network.encoder.positions.weight
    assert torch.equal(table[20:40], table[:20])
    assert "pre-training used 20 of 512 positions: the others repeat them" in notes


def test_states_that_sequences_have_not_are_said_to_be_unknown(checkpoint):
    made, told = begun(checkpoint)
    assert any("sequences have none: every state is unknown" in line for line in told)
    assert not made.reads.states


# -- binding


def same_weights(before, after):
    """But for the positions that pre-training never used."""
    used = WITH_STATES.max_tokens
    cut = {name: slice(0, used) if "positions" in name else slice(None) for name in before}
    return all(torch.equal(before[name][cut[name]], after[name][cut[name]]) for name in before)


def test_one_switch_between_pretrained_weights_and_their_random_twin(store, checkpoint):
    source = build_model(WITH_STATES, seed=9).encoder.state_dict()
    warm, told = started(checkpoint, store)
    cold, said = started(checkpoint, store, init="random")
    same, _ = started(checkpoint, store, init="random")
    trunk = warm.network.trunk.encoder
    assert same_weights(source, trunk.state_dict())
    assert warm.about["pretraining"]["holdout_chroms"] == ["chr3"]
    assert cold.about["pretraining"] is None
    shapes = [{n: t.shape for n, t in each.network.state_dict().items()} for each in (warm, cold)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(cold.network.trunk.encoder.words.weight, trunk.words.weight)
    pairs = zip(cold.network.parameters(), same.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert "random weights in the shape of" in said[0]
    assert "random" not in told[0]


def test_what_is_frozen_does_not_move(store, checkpoint):
    before = build_model(WITH_STATES, seed=9)
    settings = {"positives_per_epoch": 20, "epochs": 1}
    result, _ = quick_bins(store, checkpoint=checkpoint, freeze="encoder", **settings)
    encoder = result.model.network.trunk.encoder
    assert same_weights(before.encoder.state_dict(), encoder.state_dict())
    result, _ = quick_bins(store, checkpoint=checkpoint, freeze="embeddings", **settings)
    trunk = result.model.network.trunk
    assert torch.equal(trunk.states.weight, before.states.weight)
    assert torch.equal(trunk.encoder.words.weight, before.encoder.words.weight)
    assert not torch.equal(trunk.encoder.blocks[0].up.weight, before.encoder.blocks[0].up.weight)


def test_a_store_of_other_states_is_refused(store, checkpoint, tmp_path):
    other = toy_store(tmp_path, n_states=6)
    with pytest.raises(
        CheckpointError, match=r"not those of the pre-training. Found 6 states .*expected 4"
    ):
        started(checkpoint, other)
    wide = toy_store(tmp_path, bin=400, seed=1)
    with pytest.raises(CheckpointError, match=r"in bins of 400 bp .*; expected 4"):
        started(checkpoint, wide)
    bare = toy_store(tmp_path, n_states=0, seed=2)
    with pytest.raises(UsageError, match="EBERT reads states and the store has none"):
        started("ebert", bare)
    assert started("random", bare)[0].spec.name == "dbert"


def test_a_cell_type_without_a_track_names_the_cure(store, tmp_path):
    labels = replace(toy_labels(store), cells=("typeA", "typeB", "typeD"))
    with pytest.raises(
        StoreError,
        match=r"no track of states. Found typeD.*--states typeD=FILE.*--cell-map typeD=SOURCE",
    ):
        quick_bins(store, labels, test_cells=())
    with pytest.raises(
        StoreError, match=r"no accessibility. Found typeD.*--accessibility typeD=FILE"
    ):
        quick_bins(store, labels, checkpoint="dbert", test_cells=(), signals=("accessibility",))
    bare = toy_store(tmp_path, signals=())
    with pytest.raises(
        StoreError, match=r"no such signal. Found accessibility; expected none.*--signals"
    ):
        quick_bins(bare, signals=("accessibility",))


def test_a_head_or_network_that_reads_no_signals_says_so(store):
    with pytest.raises(UsageError, match=r"--signals: the linear head reads token vectors alone"):
        started("dbert", store, replace(BINS, signals=("accessibility",)), head="linear")
    with pytest.raises(UsageError, match=r"--signals: the small CNN reads bases alone"):
        started("cnn", store, replace(BINS, signals=("accessibility",)))


def test_the_pools_of_the_bin_see_it_and_twenty_bases_around(store):
    """Window 600, bin 200: bases 180 to 420; 7-mers side by side, [CLS] first: token 26 holds base
    180, token 60 base 419.
    """
    both = started("dbert", store, replace(BINS, pool="max+bin"))[0]
    assert both.about["head"]["around"] == (26, 61)
    assert both.network.dense.in_features == 2 * BINS.conv_channels[-1]
    narrow = started("dbert", store, replace(BINS, pool="bin", window_bp=210))[0]
    assert narrow.about["head"]["around"] == (1, 31)  # the whole window
    assert "around" not in started("dbert", store)[0].about["head"]


def test_a_model_with_a_pool_of_the_bin_opens_again(store, tmp_path):
    learned = {"positives_per_epoch": 20, "epochs": 1, "pool": "max+bin"}
    result, _ = quick_bins(store, out=tmp_path / "ft", checkpoint="dbert", **learned)
    before, opened = result.model.network.state_dict(), load_finetuned(tmp_path / "ft")
    after = opened.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert opened.network.around == result.model.network.around == slice(26, 61)


def test_a_pool_that_nothing_reads_is_refused(store):
    pooled = replace(BINS, pool="bin")
    with pytest.raises(
        UsageError,
        match=r"--pool: the head linear pools in its own way. Found bin; expected max. Leave",
    ):
        started("dbert", store, pooled, head="linear")
    with pytest.raises(UsageError, match=r"--pool: cnn pools in its own way"):
        started("cnn", store, pooled)


def test_a_window_longer_than_the_position_table_is_refused(store, tmp_path):
    encoder = replace(WITH_STATES.encoder, max_positions=50)
    spec = replace(WITH_STATES, max_tokens=50, encoder=encoder)
    save_model(tmp_path / "m", build_model(spec, seed=0), spec)
    with pytest.raises(
        InputError,
        match=r"longer than the model reads. Found 87 tokens \(600 bp\); expected at most 50 \(336",
    ):
        started(tmp_path / "m", store)
