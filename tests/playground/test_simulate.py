"""Every file of a playground is read back with a library that did not write it."""

import hashlib
from pathlib import Path

import pandas as pd

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
