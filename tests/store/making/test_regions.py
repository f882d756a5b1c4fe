"""Regions from the command line to the open store: past the end, twice, narrow, beside."""

import numpy as np
import pytest
from scipy import io as scipy_io
from scipy import sparse

from epilm.cli import main
from epilm.store.reader import Store

BUILD = ["build", "--genome", "g.fa", "--out", "s.store", "--json"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a build in a folder with a genome of 6,000 bp; give its code, messages and store."""
    monkeypatch.chdir(tmp_path)
    letters = np.array(list("ACGT"))[np.random.default_rng(0).integers(0, 4, 6000)]
    (tmp_path / "g.fa").write_text(f">chr1\n{''.join(letters)}\n>chr2\n{'ACGT' * 50}\n")

    def build(*words):
        code = main([*BUILD, *map(str, words)])
        err = " ".join(capsys.readouterr().err.split())
        return code, err, Store.open("s.store") if code == 0 else None

    return build


def intervals(store):
    return [(store.chroms[c], int(s), int(e)) for c, s, e in store.regions]


def counted(folder, peaks, matrix):
    (folder / "peaks.bed").write_text(peaks)
    sparse.save_npz(folder / "m.npz", sparse.csr_matrix(np.array(matrix)))
    (folder / "cells.tsv").write_text("cell\tcell_type\na\tX\nb\tY\n")
    return ["--counts", "m.npz"]


def test_peaks_a_little_past_the_end_are_cut_there_when_asked(run, tmp_path):
    (tmp_path / "A.narrowPeak").write_text(
        "chr1\t5900\t6021\tp\t15\t.\t3\t5\t4\t110\nchr1\t6001\t6020\tp\t15\t.\t3\t5\t4\t6\n"
    )
    code, err, _ = run("--peaks", "A.narrowPeak")
    assert code == 1
    for word in ["2 of 2 do", "at most 21 bp", "callers that extend reads", "--past-end cut"]:
        assert word in err
    code, _, store = run("--peaks", "A.narrowPeak", "--past-end", "cut")
    assert code == 0
    assert intervals(store) == [("chr1", 5900, 6000)]
    assert store.info.dropped == {
        "peaks cut at the end of their chromosome (kept)": 1,
        "peaks past the end of their chromosome": 1,
    }
    (tmp_path / "A.narrowPeak").write_text("chr1\t5900\t9000\n")
    code, err, _ = run("--peaks", "A.narrowPeak", "--overwrite")
    assert "belong to another assembly" in err


def test_regions_of_counts_past_the_end_are_cut_with_their_counts(run, tmp_path):
    words = counted(tmp_path, "chr1\t5900\t6021\nchr1\t100\t200\n", [[3, 0], [0, 5]])
    code, err, _ = run(*words)
    assert code == 1
    assert "--past-end cut" in err
    _, _, store = run(*words, "--past-end", "cut")
    assert intervals(store) == [("chr1", 100, 200), ("chr1", 5900, 6000)]
    assert np.asarray(store.counts).tolist() == [[0, 5], [3, 0]]
    assert store.info.dropped["regions cut at the end of their chromosome (kept)"] == 1


@pytest.mark.parametrize("how", ["merge", "keep"])
def test_counts_of_a_region_listed_twice_are_added(run, tmp_path, how):
    peaks = "chr1\t300\t400\nchr1\t100\t200\nchr1\t300\t400\n"
    _, _, store = run(*counted(tmp_path, peaks, [[3, 0], [0, 5], [1, 1]]), "--overlaps", how)
    assert np.asarray(store.counts).tolist() == [[0, 5], [4, 1]]
    assert store.info.dropped["duplicate regions (counts added)"] == 1
    assert any("their counts are added" in note for note in store.info.notes)


def test_regions_narrower_than_a_motif_are_warned_of(run, tmp_path):
    (tmp_path / "A_summits.bed").write_text("chr1\t220\t221\nchr1\t500\t700\n")
    (tmp_path / "m.jaspar").write_text(
        ">M1\tx\nA [ 9 0 9 ]\nC [ 0 9 0 ]\nG [ 0 0 0 ]\nT [ 0 0 0 ]\n"
    )
    _, _, store = run("--peaks", "A_summits.bed", "--motifs", "m.jaspar")
    notes = " ".join(store.info.notes)
    assert "1 of 2 regions are narrower than a motif (from 1 bp; 1 of 1 motifs, up to 3" in notes


def test_macs_is_read_from_the_command_line(run, tmp_path):
    (tmp_path / "macs").mkdir()
    (tmp_path / "macs" / "A_peaks.narrowPeak").write_text(
        "chr1\t100\t600\tp\t55\t.\t3\t5\t4\t120\n"
    )
    (tmp_path / "macs" / "A_summits.bed").write_text("chr1\t220\t221\tp\t4\n")
    (tmp_path / "macs" / "A_peaks.xls").write_text(
        "chr\tstart\tend\tlength\tabs_summit\nchr1\t101\t600\t500\t221\n"
    )
    _, _, store = run("--peaks", "macs")
    assert store.cell_types == ("A",)
    assert any("A_summits.bed left out" in note for note in store.info.notes)
    _, _, other = run("--peaks", "macs/A_peaks.xls", "--overwrite")
    assert other.cell_types == ("A",)
    assert intervals(other) == intervals(store) == [("chr1", 100, 600)]
    assert any("counts from 1" in note for note in other.info.notes)


def test_files_found_beside_the_matrix_are_sources_of_the_store(run, tmp_path):
    scipy_io.mmwrite(tmp_path / "GSM1_matrix.mtx", sparse.coo_matrix([[9, 0, 0], [0, 5, 0]]))
    (tmp_path / "GSM1_barcodes.tsv").write_text("AA-1\nCC-1\nGG-1\n")
    (tmp_path / "GSM1_peaks.bed").write_text("chr1\t100\t400\nchr1\t900\t1200\n")
    (tmp_path / "meta.tsv").write_text("barcode\tcell_type\nCC-1\tB\nGG-1\tB\nAA-1\tT\n")
    _, _, store = run("--counts", "GSM1_matrix.mtx", "--counts-cells", "meta.tsv")
    assert store.cell_types == ("B", "T")
    assert np.asarray(store.counts).tolist() == [[0, 9], [5, 0]]
    assert [(s["role"], s["name"]) for s in store.info.sources[1:]] == [
        ("counts", "GSM1_matrix.mtx"),
        ("counts_cells", "meta.tsv"),
        ("counts_peaks", "GSM1_peaks.bed"),
        ("counts_barcodes", "GSM1_barcodes.tsv"),
    ]


def test_a_peak_list_with_a_track_line_is_read(run, tmp_path):
    words = counted(tmp_path, "track name=x\nchr1\t100\t200\nchr1\t300\t400\n", [[3, 0], [0, 5]])
    _, _, store = run(*words)
    assert intervals(store) == [("chr1", 100, 200), ("chr1", 300, 400)]


def test_the_mitochondrion_beside_another_unknown_contig_is_counted(run, tmp_path):
    (tmp_path / "A.bed").write_text("chr1\t1\t90\nchrMT\t1\t90\nchrUn_7\t1\t90\n")
    with open(tmp_path / "g.fa", "a") as handle:
        handle.write(">chrM\nACGT\n")
    _, _, store = run("--peaks", "A.bed")
    assert store.info.dropped["peaks on chromosomes the genome lacks"] == 2


def test_no_unfinished_bar_stands_above_an_error(run, tmp_path):
    (tmp_path / "A.bed").write_text("chr1\t1\t9000\n")
    code, err, _ = run("--peaks", "A.bed")
    assert code == 1
    assert err.startswith("epilm: InputError: A.bed")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peaks", "g.fa", "--layer", "counts"], "--layer is about counts"),
        (["--counts", "m.npz", "--min-count", "-1"], "--min-count: the threshold is out of range"),
        (["--counts", "m.npz", "--top-n", "1.5"], "--top-n: not a whole number. Found 1.5"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_their_names(run, words, message):
    code, err, _ = run(*words)
    assert code in (1, 2)
    assert message in err


def test_more_contigs_than_sixteen_bits_number_keep_their_regions(tmp_path):
    from epilm.store.making.writer import write_store
    from epilm.store.schema import region_type

    n = 65_600
    rows = np.array([(4, 1, 3), (65_540, 0, 2)], region_type(n))
    genome = {f"ctg{i}": np.full(4, i % 4, np.uint8) for i in range(n)}
    store = Store.open(
        write_store(
            tmp_path / "s",
            genome=genome,
            regions=rows,
            accessible=np.ones((2, 1), bool),
            cell_types=["X"],
        )
    )
    assert intervals(store) == [("ctg4", 1, 3), ("ctg65540", 0, 2)]
    assert store.windows(store.flat_starts, 2).tolist() == [[0, 0], [0, 0]]
    assert (store.path / "regions.bed").read_text().endswith("ctg65540\t0\t2\n")
    store.verify()
