"""Every file of a playground is read back with a library that did not write it."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from epilm.playground.simulate import simulate

PEAK = ["chrom", "start", "end", "name", "score", "strand", "signal", "p", "q", "summit"]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tiny, tmp_path):
    again = digests(simulate(tmp_path / "again", "tiny", seed=3))
    assert again == digests(tiny)
    other = digests(simulate(tmp_path / "other", "tiny", seed=4))
    assert other.keys() == again.keys()
    assert sorted(n for n in other if other[n] == again[n]) == [
        "chrom.sizes",
        "genome.fa.fai",
        "motifs.jaspar",
    ]


def test_genome_has_the_declared_lengths_soft_masked_repeats_and_gaps(tiny):
    from pyfaidx import Fasta

    sizes = dict(
        line.split("\t") for line in (tiny / "chrom.sizes").read_text().split("\n") if line
    )
    before = (tiny / "genome.fa.fai").read_bytes()
    genome = Fasta(str(tiny / "genome.fa"))
    assert {name: str(len(genome[name])) for name in genome.keys()} == sizes  # noqa: SIM118
    text = str(genome["chr1"])
    assert set(text) == set("ACGTNacgt")
    assert text[:800] == "N" * 800
    assert (tiny / "genome.fa.fai").read_bytes() == before
    assert "simulated" in (tiny / "genome.fa").read_text().split("\n")[0]


def test_fai_agrees_with_samtools(tiny, tmp_path):
    pysam = pytest.importorskip("pysam")
    copy = tmp_path / "genome.fa"
    copy.write_bytes((tiny / "genome.fa").read_bytes())
    pysam.faidx(str(copy))
    assert (tmp_path / "genome.fa.fai").read_text() == (tiny / "genome.fa.fai").read_text()


def test_counts_are_the_same_matrix_in_both_formats(tiny):
    import anndata
    from scipy.io import mmread

    table = anndata.read_h5ad(tiny / "counts.h5ad")
    with gzip.open(tiny / "counts/matrix.mtx.gz") as handle:
        matrix = mmread(handle).tocsr()
    peaks = pd.read_csv(
        tiny / "counts/peaks.tsv", sep="\t", header=None, names=["chrom", "start", "end"]
    )
    cells = pd.read_csv(tiny / "counts/cells.tsv", sep="\t")
    assert matrix.shape == (len(peaks), len(cells)) == table.shape[::-1]
    assert (matrix.T != table.X).nnz == 0
    assert table.obs["cell_type"].astype(str).tolist() == cells["cell_type"].tolist()
    assert (table.var["start"].to_numpy() == peaks["start"].to_numpy()).all()
    assert list(table.obs_names) == cells["cell"].tolist()
    assert bool(table.uns["simulated"])


def test_motifs_read_with_biopython(tiny):
    from Bio import motifs

    with open(tiny / "motifs.jaspar") as handle:
        read = motifs.parse(handle, "jaspar")
    assert len(read) == 36
    ctcf = next(m for m in read if m.matrix_id == "MA0139.1")
    assert (ctcf.name, len(ctcf)) == ("CTCF", 19)


def test_gtf_reads_with_bioframe_and_agrees_with_the_splice_table(tiny):
    import bioframe

    table = bioframe.read_table(str(tiny / "genes.gtf"), schema="gtf", comment="#")
    exons = table[table["feature"] == "exon"].copy()
    exons["gene"] = exons["attributes"].str.extract(r'gene_id "([^"]+)"')
    rows = pd.read_csv(tiny / "splice.tsv", sep="\t", header=None)
    rows.columns = ["gene", "paralog", "chrom", "strand", "tx_start", "tx_end", "left", "right"]
    assert len(rows) > 5
    for row in rows.itertuples():
        mine = exons[exons["gene"] == row.gene].sort_values("start")
        assert row.left == "".join(f"{end}," for end in mine["end"][:-1])
        assert row.right == "".join(f"{start}," for start in mine["start"][1:])
        assert (row.tx_start, row.tx_end) == (mine["start"].min(), mine["end"].max())


def test_introns_are_gt_ag_on_the_strand_of_the_gene(tiny):
    from pyfaidx import Fasta

    genome = Fasta(str(tiny / "genome.fa"), sequence_always_upper=True)
    rows = pd.read_csv(tiny / "splice.tsv", sep="\t", header=None)
    introns = 0
    for _, _, chrom, strand, _, _, left, right in rows.itertuples(index=False):
        for end, start in zip(left.rstrip(",").split(","), right.rstrip(",").split(",")):
            intron = genome[chrom][int(end) : int(start) - 1]
            word = str(intron if strand == "+" else intron.reverse.complement)
            assert (word[:2], word[-2:]) == ("GT", "AG")
            introns += 1
    assert introns > 20


def test_states_lie_on_the_grid_and_carry_numbered_names(tiny):
    sizes = pd.read_csv(tiny / "chrom.sizes", sep="\t", header=None, index_col=0)[1]
    for path in sorted((tiny / "states").iterdir()):
        table = pd.read_csv(path, sep="\t", header=None, names=["chrom", "start", "end", "state"])
        assert (table[["start", "end"]] % 200 == 0).all(axis=None)
        assert (table["end"] <= table["chrom"].map(sizes)).all()
        assert table["state"].str.match(r"^([1-9]|1[0-5])_").all()
        same = table["chrom"].eq(table["chrom"].shift())
        assert (table["start"] >= table["end"].shift())[same].all()
        touching = same & (table["start"] == table["end"].shift())
        assert not (touching & table["state"].eq(table["state"].shift())).any()


@pytest.mark.parametrize("library", ["pybigtools", "pyBigWig"])
def test_accessibility_is_high_where_peaks_are_and_absent_elsewhere(tiny, library):
    module = pytest.importorskip(library)
    peaks = pd.read_csv(tiny / "peaks/typeA.narrowPeak.gz", sep="\t", header=None, names=PEAK)
    path = str(tiny / "signals/typeA.accessibility.bw")
    signal = module.open(path)
    chroms = signal.chroms()
    lengths = {c: int(n) for c, n in chroms.items()}
    assert lengths == {"chr1": 240_000, "chr2": 100_000, "chr3": 60_000}
    values = {c: np.nan_to_num(np.asarray(signal.values(c, 0, n))) for c, n in lengths.items()}
    top = [values[row.chrom][row.start + row.summit] for row in peaks.itertuples()]
    assert min(top) > 3
    assert np.median(np.concatenate(list(values.values()))) == 0
    mapped = module.open(str(tiny / "signals/mappability.bw"))
    line = np.nan_to_num(np.asarray(mapped.values("chr1", 0, 240_000)))
    assert line[:800].max() == 0
    assert line.max() == 1
    assert 0.2 < np.unique(line)[1] < 0.4


def test_vcf_reads_with_pysam_and_its_references_are_the_genome(tiny):
    pysam = pytest.importorskip("pysam")
    from pyfaidx import Fasta

    genome = Fasta(str(tiny / "genome.fa"), sequence_always_upper=True)
    effects = set()
    with pysam.VariantFile(str(tiny / "variants.vcf.gz")) as handle:
        for record in handle:
            assert str(genome[record.chrom][record.pos - 1]) == record.ref
            assert record.alts[0] != record.ref
            effects.add(record.info["EFFECT"])
            assert ("CAUSAL" in record.info) == (
                record.info["EFFECT"] not in ("neutral", "spares_motif")
            )
            if record.info["EFFECT"] == "breaks_motif":
                assert record.info["DELTA"] < -1
    assert effects == {
        "breaks_motif",
        "spares_motif",
        "donor",
        "acceptor",
        "tata",
        "initiator",
        "neutral",
    }


def test_contacts_are_the_same_in_both_formats(tiny):
    cooler = pytest.importorskip("cooler")
    cool = cooler.Cooler(str(tiny / "contacts.cool"))
    assert (cool.binsize, cool.chromnames) == (5000, ["chr1", "chr2", "chr3"])
    dense = cool.matrix(balance=False).fetch("chr2")
    rows = pd.read_csv(tiny / "contacts/chr2.tsv.gz", sep="\t", header=None).to_numpy()
    assert (rows[:, 0] <= rows[:, 1]).all()
    other = np.zeros_like(dense)
    other[rows[:, 0] // 5000, rows[:, 1] // 5000] = rows[:, 2]
    assert (np.triu(dense) == other).all()
    assert dense.diagonal().mean() > dense.diagonal(10).mean() > 0


def test_promoter_tables_are_in_dnaberts_layout_and_split_by_chromosome(tiny):
    whole = pd.read_csv(tiny / "promoters.tsv", sep="\t")
    assert list(whole.columns) == ["sequence", "label"]
    assert whole["label"].mean() == pytest.approx(0.5, abs=0.02)
    words = whole["sequence"].str.split()
    assert set(words.map(len)) == {65}
    assert all(a[1:] == b[:-1] for a, b in zip(words[0], words[0][1:]))
    parts = [
        pd.read_csv(tiny / f"promoters/{name}.tsv", sep="\t") for name in ("train", "dev", "test")
    ]
    assert sum(map(len, parts)) == len(whole)
    starts = pd.read_csv(tiny / "promoters.bed", sep="\t", header=None)
    assert (starts[2] - starts[1] == 1).all()
    assert len(starts) == (whole["label"] == 1).sum()


def test_peaks_of_all_kinds_are_sorted_and_inside_their_chromosomes(tiny):
    sizes = pd.read_csv(tiny / "chrom.sizes", sep="\t", header=None, index_col=0)[1]
    paths = [*(tiny / "peaks").iterdir(), *(tiny / "chip").iterdir()]
    assert len(paths) == 3 + 3 * 3 * 2
    for path in paths:
        table = pd.read_csv(path, sep="\t", header=None, names=PEAK)
        assert len(table) > 0
        assert (table["start"] >= 0).all()
        assert (table["end"] <= table["chrom"].map(sizes)).all()
        assert table["summit"].between(0, table["end"] - table["start"] - 1).all()
        assert table.groupby("chrom")["start"].is_monotonic_increasing.all()


def test_it_says_that_it_is_simulated(tiny):
    assert json.loads((tiny / "truth.json").read_text())["simulated"] is True
    assert "SIMULATED" in (tiny / "README.md").read_text().split("\n")[0]
    for name in ("genes.gtf", "blacklist.bed"):
        assert "simulated" in (tiny / name).read_text()
