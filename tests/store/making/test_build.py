import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import epilm
from epilm.atomic import atomic_folder
from epilm.errors import EpilmError, InputError, StoreError
from epilm.genome.fasta import open_genome
from epilm.genome.intervals import make_table
from epilm.genome.peaks import write_bed
from epilm.motifs.formats import read_motifs, write_jaspar
from epilm.motifs.matrix import factor_matrix
from epilm.motifs.motif import Motif
from epilm.store.making.build import build
from epilm.store.reader import Store

LETTERS = np.array(list("ACGT"))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two chromosomes, two peak files, three motifs, a blacklist, a contact map."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    with open(folder / "g.fa", "w") as handle:
        for name, length in (("chr1", 6000), ("chr2", 4000)):
            letters = LETTERS[rng.integers(0, 4, length)]
            letters[1000:1100] = "N"
            handle.write(f">{name}\n{''.join(letters)}\n")
    (folder / "peaks").mkdir()
    bed(
        folder / "peaks" / "X.bed",
        ["chr1"] * 4 + ["chr2"] * 2,
        [100, 500, 1080, 3000, 50, 2000],
        [300, 700, 1200, 3300, 250, 2300],
    )
    bed(
        folder / "peaks" / "Y.bed",
        ["chr1"] * 3 + ["chr2"],
        [250, 3000, 5000, 3000],
        [400, 3300, 5200, 3200],
    )
    bed(folder / "black.bed", ["chr1"], [5100], [5110])
    write_jaspar(
        [
            Motif(f"MA000{i}.1", f"F{i}", rng.integers(1, 50, (w, 4)).astype(float), True)
            for i, w in enumerate((6, 9, 12))
        ],
        folder / "m.jaspar",
    )
    (folder / "chr1.tsv").write_text(
        "".join(f"{a * 1000}\t{b * 1000}\t{9 - b + a}\n" for a in range(6) for b in range(a, 6))
    )
    return folder


def bed(path, chrom, start, end):
    write_bed(path, make_table(chrom, start, end))


def make(raw, out, **more):
    given = {
        "genome": raw / "g.fa",
        "peaks": raw / "peaks",
        "motifs": raw / "m.jaspar",
        "threads": 1,
        **more,
    }
    return build(out=out, **{k: v for k, v in given.items() if v is not None})


def intervals(store):
    return [(store.chroms[c], int(s), int(e)) for c, s, e in store.regions]


def test_a_store_holds_what_the_files_say(raw, tmp_path):
    store = make(
        raw, tmp_path / "s", blacklist=raw / "black.bed", contacts=raw / "chr1.tsv", assembly="toy"
    )
    assert intervals(store) == [
        ("chr1", 100, 400),
        ("chr1", 500, 700),
        ("chr1", 3000, 3300),
        ("chr2", 50, 250),
        ("chr2", 2000, 2300),
        ("chr2", 3000, 3200),
    ]
    assert store.cell_types == ("X", "Y")
    assert store.accessible("X").tolist() == [True, True, True, True, True, False]
    assert store.accessible("Y").tolist() == [True, False, True, False, False, True]
    assert store.info.dropped == {
        "peaks merged into another": 2,
        "regions touching the blacklist": 1,
        "regions with more than 0.05 N": 1,
    }
    genome = open_genome(raw / "g.fa")
    for name, offset in zip(store.chroms, store.offsets, strict=True):
        assert np.array_equal(
            store.genome[offset : offset + genome.sizes[name]], genome.codes(name)
        )
    flat = store.flat_starts
    width = store.regions["end"] - store.regions["start"]
    expected, _ = factor_matrix(
        np.asarray(store.genome), flat, flat + width, read_motifs(raw / "m.jaspar")
    )
    assert np.array_equal(store.factors, expected)
    assert [m["id"] for m in store.motifs] == ["MA0000.1", "MA0001.1", "MA0002.1"]
    assert store.info.assembly == "toy"
    roles = [(s["role"], s["name"]) for s in store.info.sources]
    assert roles == [
        ("genome", "g.fa"),
        ("peaks", "X.bed"),
        ("peaks", "Y.bed"),
        ("blacklist", "black.bed"),
        ("contacts", "chr1.tsv"),
        ("motifs", "m.jaspar"),
    ]
    assert all(len(s["sha256"]) == 64 for s in store.info.sources)
    assert store.info.versions["epilm"] == epilm.__version__
    store.verify()


def test_other_tools_can_read_the_files(raw, tmp_path):
    store = make(raw, tmp_path / "s")
    lines = [line.split("\t") for line in (store.path / "regions.bed").read_text().splitlines()]
    assert [(c, int(s), int(e)) for c, s, e in lines] == intervals(store)
    assert json.loads((store.path / "store.json").read_text())["fingerprint"] == store.fingerprint
    assert np.load(store.path / "factors.f16.npy").shape == (store.n_regions, 3)
    assert all(os.stat(p).st_mode & 0o044 == 0o044 for p in store.path.iterdir())


def test_two_builds_are_equal_byte_for_byte(raw, tmp_path):
    a, b = make(raw, tmp_path / "a"), make(raw, tmp_path / "b")
    for path in a.path.iterdir():
        assert path.read_bytes() == (b.path / path.name).read_bytes(), path.name


def test_keep_leaves_overlapping_regions_apart(raw, tmp_path):
    store = make(raw, tmp_path / "s", overlaps="keep")
    assert ("chr1", 100, 300) in intervals(store)
    assert ("chr1", 250, 400) in intervals(store)
    row = intervals(store).index(("chr1", 3000, 3300))
    assert store.accessible("X")[row]
    assert store.accessible("Y")[row]
    assert store.info.dropped["peaks equal to another"] == 1


def test_regions_wider_than_the_width_are_cut_and_the_matrix_scores_the_pieces(raw, tmp_path):
    whole = make(raw, tmp_path / "whole")
    store = make(raw, tmp_path / "s", region_width=100)
    pieces = [
        (chrom, start + a * (end - start) // n, start + (a + 1) * (end - start) // n)
        for chrom, start, end in intervals(whole)
        for n in [-(-(end - start) // 100)]
        for a in range(n)
    ]
    # All but what the filter of N leaves out piece by piece, no longer the region that it is in.
    assert set(intervals(store)) >= set(pieces)
    assert max(end - start for _, start, end in intervals(store)) <= 100
    x = dict(zip(intervals(whole), whole.accessible("X"), strict=True))
    for (chrom, start, end), accessible in zip(
        intervals(store), store.accessible("X"), strict=True
    ):
        within = [r for r in x if r[0] == chrom and r[1] <= start and end <= r[2]]
        assert all(x[region] == accessible for region in within)
    width = store.regions["end"] - store.regions["start"]
    expected, _ = factor_matrix(
        np.asarray(store.genome),
        store.flat_starts,
        store.flat_starts + width,
        read_motifs(raw / "m.jaspar"),
    )
    assert np.array_equal(store.factors, expected)
    assert store.info.access["region_width"] == 100
    assert "region_width" not in whole.info.access
    assert any("regions wider than 100 bp cut into" in note for note in store.info.notes)


def test_contacts_are_observed_over_expected(raw, tmp_path):
    store = make(raw, tmp_path / "s", contacts=raw / "chr1.tsv")
    # Each distance has one value, so observed / expected is 1 everywhere.
    np.testing.assert_allclose(np.asarray(store.contacts.values), np.log(2), rtol=1e-6)
    assert store.contacts.resolution == 1000
    assert len(store.contacts.keys) == 21


def test_contacts_that_are_left_out_are_counted(raw, tmp_path):
    dump = tmp_path / "dump.txt"
    dump.write_text(
        "chr1\t0\t1000\tchr1\t2000\t3000\t7\nchr1\t0\t1000\tchr2\t0\t1000\t9\n"
        "chrUn_7\t0\t1000\tchrUn_7\t0\t1000\t9\n"
    )
    store = make(raw, tmp_path / "s", contacts=dump)
    assert store.contacts.resolution == 1000
    assert len(store.contacts.keys) == 1
    said = [note for note in store.info.notes if "dump.txt" in note]
    assert any("1 contacts between two chromosomes: left out" in note for note in said)
    assert any("1 of 2 contacts are on chromosomes the genome does not" in note for note in said)
    dump.write_text("1\t0\t1000\t1\t2000\t3000\t7\n")
    with pytest.raises(InputError, match="named differently than in the genome"):
        make(raw, tmp_path / "t", contacts=dump)


def test_juicers_names_of_chromosomes_are_those_of_the_genome(raw, tmp_path):
    hictkpy = pytest.importorskip("hictkpy")
    writer = hictkpy.hic.FileWriter(str(tmp_path / "a.hic"), {"1": 6000, "2": 4000}, [1000, 2000])
    rows = pd.DataFrame([(0, 2, 7), (6, 6, 3)], columns=["bin1_id", "bin2_id", "count"])
    writer.add_pixels(rows)
    writer.finalize()
    store = make(raw, tmp_path / "s", contacts=tmp_path / "a.hic", contacts_resolution=1000)
    low, high = divmod(np.asarray(store.contacts.keys), store.contacts.n_bins)
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [(0, 2), (6, 6)]
    assert any("named without chr: it was added" in note for note in store.info.notes)


def test_one_bin_of_text_is_as_wide_as_is_said(raw, tmp_path):
    one = tmp_path / "chr1.txt"
    one.write_text("1000\t1000\t7\n")
    with pytest.raises(InputError, match=r"width of the bins cannot be found.*--contacts-resol"):
        make(raw, tmp_path / "s", contacts=one)
    store = make(raw, tmp_path / "s", contacts=one, contacts_resolution=500)
    assert (store.contacts.resolution, len(store.contacts.keys)) == (500, 1)


def test_finer_contact_maps_are_joined_to_the_resolution_asked_for(raw, tmp_path):
    (tmp_path / "chr2.tsv").write_text(
        "0\t500\t3\n500\t500\t2\n0\t1000\t4\n500\t1500\t6\n1000\t1500\t2\n"
    )
    given = [raw / "chr1.tsv", tmp_path / "chr2.tsv"]
    store = make(raw, tmp_path / "s", contacts=given, contacts_resolution=1000)
    table = store.contacts
    low, high = (
        np.asarray(table.keys) // table.n_bins - 6,
        np.asarray(table.keys) % table.n_bins - 6,
    )
    held = {
        (int(i), int(j)): float(v)
        for i, j, v in zip(low, high, table.values, strict=True)
        if i >= 0
    }
    # counts 5, 10, 2 at (0, 0), (0, 1), (1, 1); expected 3.5 on the diagonal, 10 beside it
    assert held == pytest.approx(
        {(0, 0): np.log1p(5 / 3.5), (0, 1): np.log(2), (1, 1): np.log1p(2 / 3.5)}
    )
    with pytest.raises(InputError, match=r"do not have this resolution.*divisors of 1500 bp"):
        make(raw, tmp_path / "t", contacts=given, contacts_resolution=1500)


def test_switches_of_the_factor_matrix_reach_it(raw, tmp_path):
    usual = make(raw, tmp_path / "usual")
    for n, change in enumerate(
        (
            {"statistic": "binary", "p": 1e-3},
            {"statistic": "count", "p": 1e-2},
            {"statistic": "sum", "p": 1e-2},
            {"statistic": "occupancy"},
            {"statistic": "neglog10p"},
            {"background": "genome"},
            {"background": "gc_bins"},
            {"pseudocount": 5.0},
            {"statistic": "binary", "p": 1e-6, "short": "exact"},
        )
    ):
        other = make(raw, tmp_path / f"o{n}", **change)
        assert not np.array_equal(usual.factors, other.factors), change
        for key, value in change.items():
            assert other.info.factors[key] == value
        assert (
            other.fingerprint == usual.fingerprint
        )  # the same regions and motifs in the same order
    short = make(raw, tmp_path / "short", statistic="binary", p=1e-6)
    exact = make(raw, tmp_path / "exact", statistic="binary", p=1e-6, short="exact")
    assert "MA0000.1" in short.info.factors["unreachable"]
    assert np.asarray(exact.factors)[:, 0].sum() == 0


def test_max_n_fraction_decides_about_regions_with_n(raw, tmp_path):
    assert ("chr1", 1080, 1200) in intervals(make(raw, tmp_path / "s", max_n_fraction=0.2))
    assert ("chr1", 1080, 1200) not in intervals(make(raw, tmp_path / "t", max_n_fraction=0.1))


def test_further_statistics_are_further_matrices_of_the_same_store(raw, tmp_path):
    from epilm.store.inspect import inspect

    plain = make(raw, tmp_path / "plain", p=1e-2)
    store = make(raw, tmp_path / "s", p=1e-2, more_statistics=("count", "sum"))
    assert plain.statistics == ("best",)
    assert store.statistics == ("best", "count", "sum")
    assert store.fingerprint == plain.fingerprint  # a row and a column mean the same in both
    assert np.array_equal(store.factors, plain.factors)
    assert set(store.info.files) - set(plain.info.files) == {
        "factors.count.f16.npy",
        "factors.sum.f16.npy",
        "factor_sums.count.npy",
        "factor_sums.sum.npy",
    }
    for name in store.statistics:
        alone = make(raw, tmp_path / name, p=1e-2, statistic=name)
        assert np.array_equal(store.factors_of(name), alone.factors)
        for mine, theirs in zip(store.factor_stats((), name), alone.factor_stats(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert inspect(store)["factors"]["more_statistics"] == ["count", "sum"]
    store.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more_statistics": ("mean",)}, r"--more-statistics.*mean"),
        ({"more_statistics": ("best",)}, "a statistic stands twice. Found best, best"),
        ({"more_statistics": ("sum", "sum")}, "a statistic stands twice. Found best, sum, sum"),
        (
            {"more_statistics": ("sum",), "motifs": None},
            "factor matrices need motifs.*Give --motifs",
        ),
    ],
)
def test_impossible_further_statistics_are_refused_at_once(raw, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        make(raw, tmp_path / "s", **change)
    assert not (tmp_path / "s").exists()


def test_without_motifs_there_is_no_factor_matrix(raw, tmp_path):
    store = make(raw, tmp_path / "s", motifs=None)
    assert store.factors is None
    assert store.n_factors == 0
    with pytest.raises(StoreError, match="no factor matrix"):
        store.factor_stats()


def test_declared_sizes_lengthen_the_genome(raw, tmp_path):
    (tmp_path / "sizes").write_text("chr1\t7000\nchr2\t4000\n")
    store = make(raw, tmp_path / "s", sizes=tmp_path / "sizes")
    assert store.sizes == (7000, 4000)
    assert (store.genome[6000:7000] == 4).all()
    assert any("chr1 holds 6000 of the 7000" in note for note in store.info.notes)


# -- counts --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted(raw, tmp_path_factory):
    # protocols 3.1
    folder = tmp_path_factory.mktemp("counts")
    matrix = sparse.csr_array(np.array([[0, 2, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]))
    sparse.save_npz(folder / "m.npz", sparse.csr_matrix(matrix))
    bed(folder / "peaks.bed", ["chr1"] * 4, [100, 500, 2000, 3000], [300, 700, 2300, 3100])
    (folder / "cells.tsv").write_text("cell\tkind\n1\tX\n2\tX\n3\tY\n4\tY\n")
    return folder


def from_counts(raw, counted, out, **more):
    given = {
        "peaks": None,
        "motifs": None,
        "counts": counted / "m.npz",
        "counts_peaks": counted / "peaks.bed",
        "counts_cells": counted / "cells.tsv",
        "label": "kind",
    }
    return make(raw, out, **{**given, **more})


def test_pseudo_bulk_counts_become_accessible_regions(raw, counted, tmp_path):
    store = from_counts(raw, counted, tmp_path / "s")
    assert np.asarray(store.counts).tolist() == [[2, 1], [0, 1], [1, 0]]
    assert store.accessible("X").tolist() == [True, False, True]
    assert store.accessible("Y").tolist() == [True, True, False]
    assert store.info.dropped == {"regions accessible in no cell type": 1}
    assert store.info.access["label"] == "kind"


@pytest.mark.parametrize(
    ("switch", "open_x"), [({"min_count": 1}, [0]), ({"min_cpm": 4e5}, [0]), ({"top_n": 1}, [0])]
)
def test_thresholds_decide_what_is_accessible(raw, counted, tmp_path, switch, open_x):
    store = from_counts(raw, counted, tmp_path / "s", **switch)
    starts = store.regions["start"][store.accessible("X")].tolist()
    assert starts == [[100, 500, 2000][i] for i in open_x]
    assert store.info.access[next(iter(switch))] == next(iter(switch.values()))


def test_counts_of_merged_regions_are_added(raw, counted, tmp_path):
    bed(tmp_path / "p.bed", ["chr1"] * 4, [100, 250, 2000, 3000], [300, 700, 2300, 3100])
    store = from_counts(raw, counted, tmp_path / "s", counts_peaks=tmp_path / "p.bed")
    assert intervals(store)[0] == ("chr1", 100, 700)
    assert np.asarray(store.counts)[0].tolist() == [2, 2]
    kept = from_counts(
        raw, counted, tmp_path / "t", counts_peaks=tmp_path / "p.bed", overlaps="keep"
    )
    assert np.asarray(kept.counts).tolist() == [[2, 1], [0, 1], [1, 0]]


def test_unsorted_peak_lists_keep_their_counts(raw, counted, tmp_path):
    bed(tmp_path / "p.bed", ["chr1"] * 4, [2000, 500, 100, 3000], [2300, 700, 300, 3100])
    store = from_counts(raw, counted, tmp_path / "s", counts_peaks=tmp_path / "p.bed")
    assert np.asarray(store.counts).tolist() == [[1, 0], [0, 1], [2, 1]]


# -- bad input: one clear error, nothing left behind -----------------------------------------------


def broken(raw, folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def truncated_gzip(text):
    return gzip.compress(text.encode() * 2000)[:-30]


CASES = {
    "missing genome": (lambda raw, tmp: {"genome": tmp / "no.fa"}, "no.fa"),
    "empty genome": (lambda raw, tmp: {"genome": broken(raw, tmp, "e.fa", "")}, r"e\.fa.*empty"),
    "truncated gzip": (
        lambda raw, tmp: {
            "genome": broken(raw, tmp, "t.fa.gz", truncated_gzip(">chr1\n" + "ACGTTGCA" * 9 + "\n"))
        },
        r"t\.fa\.gz",
    ),
    "a BED as a genome": (lambda raw, tmp: {"genome": raw / "peaks" / "X.bed"}, r"X\.bed"),
    "a FASTA as peaks": (lambda raw, tmp: {"peaks": {"X": raw / "g.fa"}}, r"g\.fa"),
    "no such peaks": (lambda raw, tmp: {"peaks": tmp / "nothing.bed"}, "no such peak file"),
    "an empty folder of peaks": (lambda raw, tmp: {"peaks": tmp}, "the folder holds no peak file"),
    "a pattern without a match": (
        lambda raw, tmp: {"peaks": f"{tmp}/*.bed"},
        "the pattern matches no file",
    ),
    "an empty peak file": (lambda raw, tmp: {"peaks": broken(raw, tmp, "X.bed", "")}, r"X\.bed"),
    "chr1 against 1": (
        lambda raw, tmp: {"peaks": broken(raw, tmp, "X.bed", "1\t100\t200\n")},
        "named differently.*Found 1; expected chr1",
    ),
    "past the chromosome's end": (
        lambda raw, tmp: {"peaks": broken(raw, tmp, "X.bed", "chr1\t100\t200\nchr1\t5900\t6100\n")},
        r"X\.bed, line 2.*past its chromosome.*chr1:5900-6100.*at most 6000",
    ),
    "mostly N": (
        lambda raw, tmp: {
            "peaks": broken(raw, tmp, "X.bed", "chr1\t1000\t1090\nchr2\t1010\t1100\n")
        },
        "most regions are mostly N.*2 of 2 regions",
    ),
    "start behind end": (
        lambda raw, tmp: {"peaks": broken(raw, tmp, "X.bed", "chr1\t300\t200\n")},
        r"X\.bed, line 1.*chr1:300-200",
    ),
    "two files of one name": (
        lambda raw, tmp: {
            "peaks": [raw / "peaks" / "X.bed", broken(raw, tmp, "X.bed", "chr1\t1\t9\n")]
        },
        "two peak files give one cell type.*NAME=FILE",
    ),
    "unsorted, strict": (
        lambda raw, tmp: {
            "peaks": broken(raw, tmp, "X.bed", "chr1\t300\t400\nchr1\t100\t200\n"),
            "strict": True,
        },
        r"X\.bed, line 2.*not sorted",
    ),
    "twice, strict": (
        lambda raw, tmp: {
            "peaks": broken(raw, tmp, "X.bed", "chr1\t300\t400\nchr1\t300\t400\n"),
            "strict": True,
        },
        r"X\.bed, line 2.*twice",
    ),
    "all blacklisted": (
        lambda raw, tmp: {"peaks": {"X": raw / "black.bed"}, "blacklist": raw / "black.bed"},
        "no region is left after the blacklist",
    ),
    "peaks and counts": (
        lambda raw, tmp: {"counts": tmp / "m.npz"},
        "Found both.*--peaks and --counts",
    ),
    "neither": (
        lambda raw, tmp: {"peaks": None, "contacts": raw / "chr1.tsv"},
        "--contacts is about accessible regions, and there are none. Found neither",
    ),
    "thresholds for peaks": (lambda raw, tmp: {"top_n": 5}, "apply to counts, and peaks have none"),
    "unknown statistic": (
        lambda raw, tmp: {"statistic": "bst"},
        "statistic: unknown value. Found bst. Did you mean best",
    ),
    "unknown background": (lambda raw, tmp: {"background": "gc"}, "background: unknown value"),
    "unknown short": (lambda raw, tmp: {"short": "no"}, "short: unknown value"),
    "unknown overlaps": (lambda raw, tmp: {"overlaps": "mrge"}, "Did you mean merge"),
    "p of 0": (
        lambda raw, tmp: {"p": 0.0},
        "--p: the value is out of range. Found 0.0; expected between 0 and 1",
    ),
    "regions shorter than a motif": (
        lambda raw, tmp: {"region_width": 2},
        r"--region-width: the regions would be shorter than a motif\. Found 2; expected at least"
        r" \d+, the bases of MA",
    ),
    "a region width of 0": (
        lambda raw, tmp: {"region_width": 0, "motifs": None},
        "--region-width: the value is out of range. Found 0; expected at least 1",
    ),
    "a region width without regions": (
        lambda raw, tmp: {"region_width": 100, "peaks": None, "motifs": None},
        "--region-width is about accessible regions, and there are none",
    ),
    "two options without regions": (
        lambda raw, tmp: {"contacts": raw / "chr1.tsv", "region_width": 100, "peaks": None},
        "--contacts and --region-width are about accessible regions",
    ),
    "N fraction of 2": (
        lambda raw, tmp: {"max_n_fraction": 2.0},
        "--max-n-fraction: the value is out of range. Found 2.0; expected between 0 and 1",
    ),
    "negative pseudocount": (
        lambda raw, tmp: {"pseudocount": -1.0},
        "--pseudocount: the value is out of range. Found -1.0; expected >= 0",
    ),
    "a state bin of 0": (
        lambda raw, tmp: {"state_bin": 0},
        "--state-bin: the value is out of range. Found 0; expected at least 1",
    ),
    "a signal resolution of 0": (
        lambda raw, tmp: {"signal_resolution": 0},
        "--signal-resolution: the value is out of range. Found 0; expected at least 1",
    ),
    "a motif with a zero column": (
        lambda raw, tmp: {
            "motifs": broken(
                raw, tmp, "m.jaspar", ">M1\tx\nA [ 1 0 ]\nC [ 1 0 ]\nG [ 1 0 ]\nT [ 1 0 ]\n"
            )
        },
        r"m\.jaspar.*M1 has a column without any count",
    ),
    "a motif id twice": (
        lambda raw, tmp: {
            "motifs": broken(
                raw, tmp, "m.jaspar", ">M1\tx\nA [ 1 ]\nC [ 1 ]\nG [ 1 ]\nT [ 1 ]\n" * 2
            )
        },
        "two motifs have one id",
    ),
    "contacts of two resolutions": (
        lambda raw, tmp: {
            "contacts": [raw / "chr1.tsv", broken(raw, tmp, "chr2.tsv", "0\t500\t3\n0\t1000\t3\n")]
        },
        "different resolutions.*500 bp, 1000 bp.*--contacts-resolution 1000",
    ),
    "contacts past the end": (
        lambda raw, tmp: {
            "contacts": broken(raw, tmp, "chr1.tsv", "0\t1000\t3\n0\t9000\t3\n1000\t2000\t1\n")
        },
        "past the end of its chromosome.*chr1:9000",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_error_and_leaves_nothing(raw, tmp_path, case):
    change, message = CASES[case]
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    given = change(raw, inputs)
    with pytest.raises((InputError, StoreError), match=f"(?s){message}"):
        make(raw, out / "s", **given)
    assert not list(out.glob("*")) if out.exists() else True
    assert not list(out.glob(".*")) if out.exists() else True


COUNT_CASES = {
    "a label column that is not there": ({"label": "kindd"}, "kind"),
    "a threshold below 0": ({"min_count": -1}, "--min-count: the threshold is out of range"),
    "no region is accessible": ({"min_count": 100}, "no region is accessible in any cell type"),
    "a peak list of another length": ({"counts_peaks": "short.bed"}, "different lengths"),
    "negative counts": ({"counts": "negative.npz"}, "a count is negative"),
    "NaN counts": ({"counts": "nan.npz"}, "not a finite number"),
    "a cell without a label": ({"counts_cells": "gap.tsv"}, "gap.tsv"),
}


@pytest.mark.parametrize("case", COUNT_CASES)
def test_bad_counts_give_one_error_and_leave_nothing(raw, counted, tmp_path, case):
    change, message = COUNT_CASES[case]
    bed(tmp_path / "short.bed", ["chr1"] * 3, [100, 500, 2000], [300, 700, 2300])
    wrong = np.array([[0, 2, 1, 0], [0, 0, 0, -1], [1, 0, 0, 0], [0, 0, 0, 0]], float)
    sparse.save_npz(tmp_path / "negative.npz", sparse.csr_matrix(wrong))
    wrong[1, 3] = np.nan
    sparse.save_npz(tmp_path / "nan.npz", sparse.csr_matrix(wrong))
    (tmp_path / "gap.tsv").write_text("cell\tkind\n1\tX\n2\t\n3\tY\n4\tY\n")
    given = {k: tmp_path / v if isinstance(v, str) and "." in v else v for k, v in change.items()}
    with pytest.raises(InputError, match=message):
        from_counts(raw, counted, tmp_path / "out" / "s", **given)
    assert not any((tmp_path / "out").glob("*") if (tmp_path / "out").exists() else [])


def test_cells_without_a_label_can_be_left_out(raw, counted, tmp_path):
    (tmp_path / "gap.tsv").write_text("cell\tkind\n1\tX\n2\t\n3\tY\n4\tY\n")
    store = from_counts(
        raw, counted, tmp_path / "s", counts_cells=tmp_path / "gap.tsv", unlabelled="drop"
    )
    assert np.asarray(store.counts).tolist() == [[0, 1], [0, 1], [1, 0]]
    assert any("have no kind" in note for note in store.info.notes)


def test_an_existing_folder_is_not_touched(raw, tmp_path):
    store = make(raw, tmp_path / "s")
    before = (store.path / "store.json").read_bytes()
    with pytest.raises(EpilmError, match=r"exists already.*--overwrite"):
        make(raw, tmp_path / "s", overlaps="keep")
    assert (store.path / "store.json").read_bytes() == before
    with pytest.raises(InputError, match="no such peak file"):
        make(raw, tmp_path / "s", peaks=tmp_path / "no", overwrite=True)
    assert (store.path / "store.json").read_bytes() == before
    again = make(raw, tmp_path / "s", overlaps="keep", overwrite=True)
    assert again.fingerprint != store.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


def test_two_builds_into_one_folder_at_once_meet_at_the_lock(raw, tmp_path):
    with (
        atomic_folder(tmp_path / "s"),
        pytest.raises(EpilmError, match="another process is writing this folder"),
    ):
        make(raw, tmp_path / "s")


def test_a_full_disk_is_one_message_and_leaves_nothing(raw, tmp_path):
    """A limit on file sizes is what a test without root can do; the error takes the same way."""
    out = tmp_path / "out"
    code = f"""
import resource, sys
from pathlib import Path
from epilm.store.making.build import build
from epilm.errors import EpilmError
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
try:
    build(genome={str(raw / "g.fa")!r}, peaks={str(raw / "peaks")!r}, out={str(out / "s")!r})
except EpilmError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{out / 's'}: cannot write: a file may not grow that large here" in done.stdout
    assert list(out.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MB, where the machine allows to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk_says_so_before_any_damage(raw, tiny_disk):
    (tiny_disk / "filler").write_bytes(bytes(1_020_000))
    with pytest.raises(EpilmError, match="the disk is full; nothing was left half-written"):
        make(raw, tiny_disk / "s")
    assert [p.name for p in tiny_disk.iterdir()] == ["filler"]


# -- the command line
# --------------------------------------------------------------------------------


def command(capsys, *words):
    from epilm.cli import main

    code = main([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_build_and_inspect_from_the_command_line(raw, tmp_path, capsys):
    out = tmp_path / "s"
    words = [
        "build",
        "--genome",
        raw / "g.fa",
        "--peaks",
        raw / "peaks",
        "--motifs",
        raw / "m.jaspar",
        "--out",
        out,
    ]
    code, text, _ = command(capsys, *words, "--quiet", "--json")
    assert code == 0
    assert json.loads(text)["regions"] == Store.open(out).n_regions
    code, text, _ = command(capsys, "inspect", out, "--regions", "2")
    assert code == 0
    assert "3, statistic best" in text
    assert Store.open(out).fingerprint in text
    three = [
        *words[:-1],
        tmp_path / "three",
        "--more-statistics",
        "count",
        "--more-statistics",
        "sum",
    ]
    code, text, _ = command(capsys, *three, "--quiet")
    assert code == 0
    assert "3, statistic best, more_statistics count, sum" in text
    assert Store.open(tmp_path / "three").statistics == ("best", "count", "sum")
    code, _, err = command(capsys, *words, "--quiet")
    assert code == 1
    assert "exists already" in err
    assert "Traceback" not in err


def test_a_progress_bar_goes_to_stderr(raw, tmp_path, capsys):
    code, out, err = command(
        capsys,
        "build",
        "--genome",
        raw / "g.fa",
        "--peaks",
        raw / "peaks",
        "--motifs",
        raw / "m.jaspar",
        "--out",
        tmp_path / "s",
    )
    assert code == 0
    assert "motifs" in err
    assert "cell type" in out


def test_the_playground_builds_from_peaks_and_from_counts_alike(tmp_path):
    from epilm.playground.simulate import simulate

    folder = Path(simulate(tmp_path / "raw", "tiny", 0))
    given = {
        "genome": folder / "genome.fa",
        "motifs": folder / "motifs.jaspar",
        "blacklist": folder / "blacklist.bed",
    }
    peaks = build(
        out=tmp_path / "p", peaks=folder / "peaks", contacts=folder / "contacts.cool", **given
    )
    h5ad = build(out=tmp_path / "h", counts=folder / "counts.h5ad", **given)
    mtx = build(out=tmp_path / "m", counts=folder / "counts" / "matrix.mtx.gz", **given)
    assert h5ad.fingerprint == mtx.fingerprint
    assert np.array_equal(h5ad.counts, mtx.counts)
    assert set(peaks.cell_types) == set(h5ad.cell_types)
    assert peaks.contacts is not None


def test_the_real_slices_build(real_data, tmp_path):
    store = build(
        genome=sorted((real_data / "reference_hg19").glob("hg19*.fa.gz")),
        sizes=real_data / "reference_hg19" / "chrom.sizes",
        peaks=[real_data / "atac_blood_hg19", f"{real_data}/atac_brain_hg19/*.ATAC.bed.gz"],
        blacklist=real_data / "annotation_hg19" / "blacklist.bed.gz",
        out=tmp_path / "s",
    )
    assert store.sizes == (63_025_520, 51_304_566)
    assert len(store.cell_types) == 17
    assert "neuron_NeuN" in store.cell_types
    assert 2000 < store.n_regions < 4000
