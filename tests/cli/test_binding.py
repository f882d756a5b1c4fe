"""Binding from the command line: what is said of labels, parts, signals and regions."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.cli import main
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.track_arrays import SignalArrays, StateArrays
from epilm.tasks.binding import write_labels
from toy_binding import toy_labels, toy_store

PARTS = ["--valid", "chr2", "--test", "chr3", "--test-cells", "typeC"]
SHORT = ["--epochs", "1", "--positives-per-epoch", "16", "--window-bp", "400", "--device", "cpu"]
NEW = ["--checkpoint", "ebert", "--size", "tiny"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",))


@pytest.fixture(scope="module")
def chip(store, tmp_path_factory):
    """Peaks of TF: 200 bp wherever typeA, typeB or typeC is in state 1; none on chr3."""
    folder = tmp_path_factory.mktemp("chip")
    for cell in ("typeA", "typeB", "typeC"):
        codes = np.asarray(store.states.of(store.cell_types.index(cell)))
        lines = []
        for chrom, first, end in zip(
            store.chroms[:2], store.states.offsets, store.states.offsets[1:], strict=False
        ):
            starts = np.flatnonzero(codes[first:end] == 1) * 200
            lines += [f"{chrom}\t{start}\t{start + 200}\n" for start in starts.tolist()]
        (folder / f"{cell}.TF.conservative.narrowPeak").write_text("".join(lines))
    return folder


def finetune(store, data, out, capsys, *words):
    """Exit code, and all that was said, on one line."""
    call = ["finetune", "binding", "--data", data, "--store", store.path, "--out", out, *words]
    code = main([str(word) for word in (*call, *NEW)])
    return code, " ".join(" ".join(capsys.readouterr()).split())


def test_chromosomes_without_a_peak_and_short_runs_are_said(store, chip, tmp_path, capsys):
    words = ["--factor", "TF", *PARTS, *SHORT]
    # A peak of the test's cell type that is of another genome: nobody asked for it.
    (chip / "typeC.TF.conservative.narrowPeak").write_text("chr1\t990000\t999999\n")
    code, said = finetune(store, chip, tmp_path / "ft", capsys, *words)
    assert code == 0, said
    assert "typeA: no peak on chr3; the" in said
    assert (
        "neither learned from nor scored (if it was looked there: --without-peaks unbound)" in said
    )
    assert "typeC: no peak" not in said
    assert "WARNING: --lr" in said
    assert "too little to learn anything" in said
    # The same peaks, looked at: they stop the run.
    code, said = finetune(store, chip, tmp_path / "x", capsys, "--factor", "TF", *PARTS[:4], *SHORT)
    assert code == 1
    assert "the peak ends past its chromosome" in said
    assert "give the store of the genome they were called on (--store)" in said
    assert "past-end" not in said
    code, said = finetune(store, chip, tmp_path / "y", capsys, *words, "--without-peaks", "unbound")
    assert code == 0, said
    assert "typeA: no peak on chr3; all bins there count as not bound" in said


def test_what_says_how_peaks_become_labels_is_refused_for_labels(store, tmp_path, capsys):
    write_labels(tmp_path / "TF.train.labels.tsv", toy_labels(store))
    code, said = finetune(
        store, tmp_path, tmp_path / "ft", capsys, "--factor", "TF", "--without-peaks", "unbound"
    )
    assert code == 2, said
    assert "the labels are given: no peaks are read. Found --without-peaks unbound." in said


def test_cell_types_of_another_spelling_get_a_hint(store, tmp_path, capsys):
    labels = toy_labels(store)
    write_labels(tmp_path / "TF.train.labels.tsv", replace(labels, cells=("type-A", "B", "C")))
    words = ["--factor", "TF", "--valid", "chr2", "--test", "chr3"]
    code, said = finetune(store, tmp_path, tmp_path / "ft", capsys, *words)
    assert code == 1
    assert (
        "a cell type of the labels is not in the store. Found type-A. Did you mean typeA? Known:"
        " typeA, typeB, typeC, typeD. Call it in the labels as the store does" in said
    )
    code, said = finetune(
        store, tmp_path, tmp_path / "ft", capsys, *words, "--train-cells", "typeA"
    )
    assert code == 1
    assert "the labels have no such cell type. Found typeA. Did you mean type-A?" in said


def test_several_factors_say_their_own_share_of_unbound_rows(store, tmp_path, capsys):
    """TF binds in state 1, OTHER in state 2: an epoch of both has ten unbound rows a bound one of
    either, so that each alone has about 21.
    """
    for number, factor in enumerate(("TF", "OTHER"), 1):
        table = toy_labels(store, factor, state=number)
        write_labels(tmp_path / f"{factor}.train.labels.tsv", table)
    words = ["--factor", "TF", "OTHER", *PARTS, *SHORT, "--negatives-per-positive", "1"]
    code, said = finetune(store, tmp_path, tmp_path / "ft", capsys, *words)
    assert code == 0, said
    assert "bound to unbound rows of an epoch, factor by factor: TF 1:" in said
    assert "1:1 is that of rows which any of them binds" in said


def silent_store(folder):
    """Accessibility on chr1 alone, and in typeB none at all."""
    whole = toy_store(folder / "whole", signals=())
    n = sum(whole.sizes)
    values = np.zeros((2, n), np.float32)
    values[0, 5_000 : whole.sizes[0]] = 1.0
    states = whole.states
    path = write_store(
        folder / "silent",
        genome={
            name: np.asarray(whole.genome[first : first + size])
            for name, first, size in zip(whole.chroms, whole.offsets, whole.sizes, strict=False)
        },
        cell_types=list(whole.cell_types),
        states=StateArrays(
            codes=np.asarray(states.codes),
            cells={cell: row for row, cell in enumerate(whole.cell_types)},
            bin=states.bin,
            names=list(states.names),
            colours=list(states.colours),
        ),
        signals={
            "accessibility": SignalArrays(values, {"typeA": 0, "typeB": 1, "typeC": 0}, 1, "base")
        },
        assembly="invented",
    )
    return Store.open(path)


def test_a_signal_that_is_0_everywhere_is_refused_and_one_that_is_0_in_a_part_is_said(
    tmp_path, capsys
):
    store = silent_store(tmp_path)
    write_labels(tmp_path / "TF.train.labels.tsv", toy_labels(store))
    words = ["--factor", "TF", "--signals", "accessibility", *SHORT, "--test-cells", "typeC"]
    code, said = finetune(
        store,
        tmp_path,
        tmp_path / "x",
        capsys,
        *words,
        "--train",
        "chr2",
        "--valid",
        "chr1",
        "--test",
        "chr3",
    )
    assert code == 1
    assert (
        "the signal is 0 everywhere in the training part: nothing can be learned from it. Found"
        " accessibility on chr2." in said
    )
    out = tmp_path / "ft"
    code, said = finetune(
        store, tmp_path, out, capsys, *words, "--train", "chr1", "--valid", "chr2", "--test", "chr3"
    )
    assert code == 0, said
    assert "WARNING: accessibility of typeB is 0 on all of chr1, training:" in said
    assert "WARNING: accessibility of typeA is 0 on all of chr2, validation:" in said
    call = ["predict", out, "--store", store.path, "--cell", "typeA", "--device", "cpu"]
    call += ["--chroms", "chr3", "--out", tmp_path / "p.tab"]
    assert main([str(word) for word in call]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "WARNING: accessibility of typeA is 0 on all of chr3, predicted:" in said


def test_regions_say_which_bins_are_predicted(store, tmp_path, capsys):
    write_labels(tmp_path / "TF.train.labels.tsv", toy_labels(store))
    code, said = finetune(
        store, tmp_path, tmp_path / "ft", capsys, "--factor", "TF", *PARTS, *SHORT
    )
    assert code == 0, said
    bed, out = tmp_path / "regions.bed", tmp_path / "p.tab"
    bed.write_text("chr3\t1000\t1300\nchr3\t5000\t5100\nchr2\t400\t600\n")
    call = ["predict", tmp_path / "ft", "--store", store.path, "--cell", "typeC"]
    call = [str(word) for word in (*call, "--device", "cpu", "--out", out, "--regions", bed)]
    assert main(call) == 0
    assert "note: 1 of 3 regions hold no whole bin of 200 bp" in capsys.readouterr().err
    rows = [line.split("\t")[:3] for line in out.read_text().splitlines()]
    assert rows == [
        ["chr2", "400", "600"],
        *(["chr3", str(start), str(start + 200)] for start in (1000, 1050, 1100)),
    ] or rows == [
        *(["chr3", str(start), str(start + 200)] for start in (1000, 1050, 1100)),
        ["chr2", "400", "600"],
    ]
    out.unlink()
    assert main([*call, "--chroms", "chr2"]) == 0
    assert len(out.read_text().splitlines()) == 1
    assert main([*call, "--bins", str(bed)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--bins and --regions both say where the bins lie" in said
