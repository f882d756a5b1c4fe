import json
import os
from pathlib import Path

import numpy as np
import pytest

import epilm
from epilm.errors import StoreError
from epilm.genome.fasta import open_genome
from epilm.motifs.formats import read_motifs
from epilm.motifs.matrix import factor_matrix
from epilm.store.making.build import build
from epilm.store.reader import Store
from toy_raw import bed, command, from_counts, make


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


def test_cells_without_a_label_can_be_left_out(raw, counted, tmp_path):
    (tmp_path / "gap.tsv").write_text("cell\tkind\n1\tX\n2\t\n3\tY\n4\tY\n")
    store = from_counts(
        raw, counted, tmp_path / "s", counts_cells=tmp_path / "gap.tsv", unlabelled="drop"
    )
    assert np.asarray(store.counts).tolist() == [[0, 1], [0, 1], [1, 0]]
    assert any("have no kind" in note for note in store.info.notes)


# -- the command line
# --------------------------------------------------------------------------------


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
