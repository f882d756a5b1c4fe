"""What a model says: the same numbers in any batch and order, letters, intervals and bins, files,
what is refused.
"""

import gzip
from dataclasses import replace

import numpy as np
import pybigtools
import pytest
import torch

from epilm.batches.window_reader import WindowReader
from epilm.device import Place, choose_place
from epilm.errors import CheckpointError, InputError, StoreError, UsageError
from epilm.finetuning.predict import predict
from epilm.finetuning.scorer import ModelScorer, logits_of_windows, open_scorer
from epilm.models.classifier import SequenceClassifier
from epilm.tasks.base import labelled
from epilm.tasks.binding import Bins, grid
from epilm.tasks.binding.dream.submission import read_submission
from epilm.tasks.binding.rows import CellBins
from toy_binding import QUICK, started, toy_store
from toy_sequences import QUICK as SHORT
from toy_sequences import planted, quick, said_of_all

SIGNALS = ("accessibility", "mappability")
CPU = Place(torch.device("cpu"), False, ())


# -- sequences


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ft"
    result, _ = quick(planted(80, ragged=True), folder, settings=replace(SHORT, epochs=1))
    return result


def test_batch_sizes_agree(tuned):
    rows = tuned.lesson.examples
    one = predict(tuned.model, rows, device="cpu", batch_size=1).probabilities
    many = predict(tuned.model, rows, device="cpu", batch_size=64).probabilities
    assert np.allclose(one, many, atol=1e-6)


@pytest.mark.parametrize("learned", ["either strand", "one strand"])
def test_both_strands_give_the_same_answer_to_either(learned):
    """Also asked of a model that learned from one strand alone."""
    both = learned == "either strand"
    result, _ = quick(planted(80), settings=replace(SHORT, epochs=1, both_strands=both))
    rows = result.lesson.examples
    turned = labelled(list(3 - rows.codes[:, ::-1]), rows.labels)
    asked = {"device": "cpu"} if both else {"device": "cpu", "both_strands": True}
    there, back = (predict(result.model, each, **asked).probabilities for each in (rows, turned))
    assert np.allclose(there, back, atol=1e-5)
    alone = predict(result.model, rows, device="cpu", both_strands=False).probabilities
    assert not np.allclose(alone, there, atol=1e-5)


def test_letters_fasta_and_intervals_are_read(tmp_path):
    result, _ = quick(planted(80), tmp_path / "run", settings=replace(SHORT, epochs=1))
    texts = [result.lesson.examples.text(i) for i in range(5)]
    by_letters = predict(tmp_path / "run", texts, device="cpu")
    assert np.allclose(by_letters.probabilities, said_of_all(result)[:5], atol=1e-6)
    (tmp_path / "a.fa").write_text("".join(f">s{i}\n{t}\n" for i, t in enumerate(texts)))
    by_fasta = predict(result.model, tmp_path / "a.fa", device="cpu")
    assert by_fasta.names == [f"s{i}" for i in range(5)]
    assert np.allclose(by_fasta.probabilities, by_letters.probabilities)
    (tmp_path / "g.fa").write_text(">chr1\n" + "".join(texts) + "\n")
    (tmp_path / "a.bed").write_text(
        "".join(f"chr1\t{40 * i}\t{40 * i + 40}\tr{i}\n" for i in (3, 0, 1))
    )
    genome = {"genome": tmp_path / "g.fa", "device": "cpu"}
    by_bed = predict(result.model, tmp_path / "a.bed", tmp_path / "out.tsv", **genome)
    assert by_bed.names == ["r3", "r0", "r1"]
    assert np.allclose(by_bed.probabilities, by_letters.probabilities[[3, 0, 1]])
    assert (tmp_path / "out.tsv").read_text().splitlines()[1].startswith("r3\tchr1\t120\t160\t0.")
    (tmp_path / "b.bed").write_text("chr1\t190\t240\n")
    with pytest.raises(
        InputError, match=r"line 1: the interval reaches over its chromosome; 1 of 1 do"
    ):
        predict(result.model, tmp_path / "b.bed", **genome)
    with pytest.raises(InputError, match="intervals need the genome"):
        predict(result.model, tmp_path / "a.bed")
    with pytest.raises(CheckpointError, match="no fine-tuned model here"):
        predict(tmp_path, texts)


def test_what_cannot_be_predicted_is_named(tuned, tmp_path):
    with pytest.raises(UsageError, match="nothing to predict is named"):
        predict(tuned.model)
    with pytest.raises(InputError, match="there are no sequences to predict"):
        predict(tuned.model, [])
    with pytest.raises(UsageError, match=r"predict sequences: no such option. Found --cell, an op"):
        predict(tuned.model, ["ACGT"], cell="typeA")
    with pytest.raises(UsageError, match=r"--batch-size: impossible value. Found 0"):
        predict(tuned.model, ["ACGT"], batch_size=0)


def test_running_out_of_memory_names_what_fits(tuned, monkeypatch):
    """Passes of more than 10 sequences fail as a full card does."""
    plain = SequenceClassifier.forward

    def full(self, windows, *more):
        if len(windows.ids) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, windows, *more)

    monkeypatch.setattr(SequenceClassifier, "forward", full)
    texts = [tuned.lesson.examples.text(i) for i in range(40)]
    with pytest.raises(
        UsageError, match=r"out of memory. Found 40 rows on cpu.*set --batch-size to 10"
    ):
        predict(tuned.model, texts, device="cpu")
    fitting = predict(tuned.model, texts, device="cpu", batch_size=10)
    assert np.allclose(fitting.probabilities, said_of_all(tuned)[:40], atol=1e-6)


# -- bins


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), n_share=0.02)


@pytest.fixture(scope="module")
def model(store):
    """Untrained: what it says is a function of its seed."""
    settings = replace(QUICK, signals=SIGNALS)
    made, _ = started("ebert", store, settings, factors=("CTCF", "MAX"))
    made.network.eval()
    return made


@pytest.fixture(scope="module")
def bins(store):
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return grid(sizes, chroms=["chr2:600-4000", "chr3:0-6000"], margin=0)


def said(model, store, cell, bins, place=CPU, **options):
    """Probabilities (n, 2) of bins."""
    examples = CellBins(bins, store.cell_number(cell), tuple(store.chroms))
    return np.concatenate(list(ModelScorer(model, place, **options)(examples, store)))


def written(model, store, cell, bins, out, **options):
    """What `predict` writes."""
    options = {"device": "cpu", "precision": "fp32", "say": lambda line: None} | options
    return predict(model, out=out, store=store, cell=cell, bins=bins, **options)


def test_every_bin_is_its_window_read_alone_through_the_model(model, store, bins):
    whole = said(model, store, "typeB", bins)
    assert whole.shape == (len(bins), 2)
    reader = WindowReader(store, model.spec, 600, signals=model.reads.signals)
    for row in (0, 17, len(bins) - 1):
        chrom = store.chroms.index(bins.chroms[bins.chrom[row]])
        windows = reader([1], [chrom], [int(bins.start[row]) - 200])
        with torch.inference_mode():
            alone = model.network(windows).sigmoid().numpy()[0]
        assert np.allclose(whole[row], alone, atol=1e-5)


def test_neither_batch_nor_order_changes_a_prediction(model, store, bins):
    whole = said(model, store, "typeA", bins, batch=256)
    assert np.allclose(said(model, store, "typeA", bins, batch=37), whole, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(bins))[:50]
    mixed = Bins(bins.chroms, bins.chrom[order], bins.start[order])
    assert np.allclose(said(model, store, "typeA", mixed), whole[order], atol=1e-5)
    assert not np.allclose(said(model, store, "typeB", bins), whole, atol=1e-4)


def test_blocks_come_one_by_one_and_the_model_is_left_as_it_was(model, store, bins, monkeypatch):
    import epilm.finetuning.scorer as module

    monkeypatch.setattr(module, "PIECE", 10)
    calls, head = [], model.network.head
    model.network.train()
    model.network.head = lambda *a: calls.append(1) or head(*a)
    try:
        examples = CellBins(bins, 0, tuple(store.chroms))
        blocks = ModelScorer(model, CPU, batch=10)(examples, store)
        assert not calls
        assert next(blocks).shape == (10, 2)
        assert len(calls) == 1
        blocks.close()
        assert model.network.training
    finally:
        del model.network.head
        model.network.eval()


def test_both_strands_are_the_mean_of_their_logits(model, store, bins):
    few = bins.take(slice(0, 8))
    one = said(model, store, "typeA", few)
    both = said(model, store, "typeA", few, both_strands=True)
    chroms = np.array([store.chroms.index(few.chroms[c]) for c in few.chrom])
    windows = model.reads.reader(store)(0, chroms, few.start.astype(np.int64) - 200, reverse=True)
    with torch.inference_mode():
        turned = logits_of_windows(model.network, windows).numpy()
    logit = np.log(one / (1 - one))
    assert np.allclose(both, 1 / (1 + np.exp(-(logit + turned) / 2)), atol=1e-5)


def test_the_trunk_in_bf16_gives_logits_of_float32(model, store, bins):
    few = bins.take(slice(0, 40))
    coarse = said(model, store, "typeA", few, choose_place("cpu", "bf16"))
    assert np.allclose(coarse, said(model, store, "typeA", few), atol=0.02)
    exact = torch.from_numpy(coarse)
    assert not torch.equal(exact.to(torch.bfloat16).float(), exact)


def test_a_cell_type_without_states_is_refused_and_one_without_labels_is_not(
    model, store, bins, tmp_path
):
    out = tmp_path / "F.MAX.x.tab"
    asked = {"factor": "MAX", "out": out}
    with pytest.raises(StoreError, match=r"no track of states. Found typeD"):
        written(model, store, "typeD", bins, **asked)
    with pytest.raises(StoreError, match=r"no such cell type"):
        written(model, store, "liver", bins, **asked)
    wide = Bins(bins.chroms, bins.chrom, bins.start, 100)
    with pytest.raises(
        UsageError, match=r"not those the model was made for. Found 100 bp; expected 200 bp"
    ):
        written(model, store, "typeA", wide, **asked)
    other = Bins(("chr9",), np.zeros(1, np.int16), np.zeros(1, np.int32))
    with pytest.raises(StoreError, match=r"no such chromosome"):
        written(model, store, "typeA", other, **asked)
    past = Bins(store.chroms, np.array([0, 2], np.int16), np.array([0, store.sizes[2] - 150]), 200)
    with pytest.raises(
        InputError, match=r"a bin ends past its chromosome; 1 on chr3 do.*two assemblies"
    ):
        written(model, store, "typeA", past, **asked)
    names = replace(store.states, names=("a", "b", "c", "d"))
    with pytest.raises(
        CheckpointError, match=r"not those the model was made with. Found 4 states \(a, b, c"
    ):
        written(model, replace(store, states=names), "typeA", bins, **asked)
    assert not out.exists()


def test_what_bins_need_is_asked_for(model, store, bins, tmp_path):
    with pytest.raises(UsageError, match=r"bins need a store, a cell type and a file.*--cell"):
        predict(model, store=store)
    with pytest.raises(UsageError, match=r"no bins are named.*--chroms, --regions FILE, or --bins"):
        predict(model, out=tmp_path / "p.tab", store=store, cell="typeA", device="cpu")
    with pytest.raises(UsageError, match=r"sequences and bins do not go together. Found a.fa"):
        predict(model, "a.fa", tmp_path / "p.tab", store=store)
    with pytest.raises(UsageError, match=r"predict binding: no such option. Found --window, an op"):
        predict(model, window=100)


def test_a_declared_proxy_is_said(model, store, bins, tmp_path):
    declared = replace(store, states=replace(store.states, proxies={"typeA": "typeB"}))
    told = []
    out = tmp_path / "F.MAX.typeA.tab"
    few = bins.take(slice(4))
    written(model, declared, "typeA", few, out, factor="MAX", say=told.append)
    assert "WARNING: the states of typeA are those of typeB, a declared proxy" in told


def test_predictions_go_to_the_challenges_file_to_bigwig_and_to_parquet(
    model, store, bins, tmp_path
):
    import pyarrow.parquet

    expected = said(model, store, "typeA", bins)[:, 1]
    done = written(model, store, "typeA", bins, tmp_path / "F.MAX.typeA.tab.gz", factor="MAX")
    assert done.mean == pytest.approx(expected.mean(), rel=1e-4)
    assert (done.bins, done.cell) == (len(bins), "typeA")
    submission = read_submission(tmp_path / "F.MAX.typeA.tab.gz", bins)
    assert np.allclose(submission.scores, expected, atol=1e-6)
    with gzip.open(tmp_path / "F.MAX.typeA.tab.gz", "rt") as text:
        assert text.readline().split("\t")[:3] == ["chr2", "600", "800"]
    written(model, store, "typeA", bins, tmp_path / "p.bw", factor="MAX")
    track = pybigtools.open(str(tmp_path / "p.bw"))
    one_bin_alone = track.values("chr2", 600, 650)[0]
    assert one_bin_alone == pytest.approx(expected[0], abs=1e-5)
    written(model, store, "typeA", bins, tmp_path / "p.parquet", factor="MAX")
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert np.allclose(table["score"].to_numpy(), expected, atol=1e-6)
    with pytest.raises(UsageError, match=r"the factor is not named. Found CTCF, MAX"):
        written(model, store, "typeA", bins, tmp_path / "q.bw")
    with pytest.raises(UsageError, match=r"not made for this factor. Found MAXX. Did you mean MAX"):
        written(model, store, "typeA", bins, tmp_path / "q.bw", factor="MAXX")
    assert not (tmp_path / "q.bw").exists()


def test_progress_is_said_of_a_long_prediction(model, store, bins, monkeypatch):
    import epilm.finetuning.scorer as module

    clock = iter(range(0, 4000, 40))
    monkeypatch.setattr(module, "PIECE", 20)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    told = []
    scorer = open_scorer(model, device="cpu", say=told.append)
    list(scorer(CellBins(bins.take(slice(50)), 0, tuple(store.chroms)), store))
    assert [line for line in told if " of 50, " in line] == [
        "20 of 50, 0 a second",
        "40 of 50, 0 a second",
    ]
