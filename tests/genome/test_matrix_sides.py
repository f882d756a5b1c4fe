"""Labels of regions and cells, as their files have them."""

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import io as scipy_io
from scipy import sparse

from epilm.errors import InputError
from epilm.genome.counts import read_counts
from epilm.genome.matrix_sides import read_regions
from epilm.genome.peaks import read_peaks

from .count_files import CELLS, LABELS, PEAKS, C, h5ad, write

GRANGES = "seqnames\tstart\tend\twidth\tstrand\nchr1\t101\t400\t300\t*\nchr2\t901\t1200\t300\t-\n"


def rows(table):
    return table[["chrom", "start", "end"]].values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        GRANGES,
        GRANGES.replace("\t", ","),
        GRANGES.replace("\t", " "),
        # write.table and write.csv of R with their defaults
        '"seqnames" "start" "end" "width" "strand"\n"1" "chr1" 101 400 300 "*"\n'
        '"2" "chr2" 901 1200 300 "-"\n',
        '"","seqnames","start","end","width","strand"\n"1","chr1",101,400,300,"*"\n'
        '"2","chr2",901,1200,300,"-"\n',
        "seqnames\tstart\tend\nchr1\t101\t400\nchr2\t901\t1200\n",
        "chr\tstart\tend\twidth\nchr1\t101\t400\t300\nchr2\t901\t1200\t300\n",
        "chrom\tstart\tend\twidth\nchr1\t100\t400\t300\nchr2\t900\t1200\t300\n",
        "track name=a\n" + GRANGES,
    ],
)
@pytest.mark.parametrize("read", [read_peaks, lambda path: read_regions(path).table])
def test_granges_and_tables_with_widths_are_the_same_peaks(tmp_path, text, read):
    (tmp_path / "a.tsv").write_text(text)
    assert rows(read(tmp_path / "a.tsv")) == [["chr1", 100, 400], ["chr2", 900, 1200]]


@pytest.mark.parametrize("read", [read_peaks, read_regions])
def test_a_width_that_contradicts_is_refused_by_line(tmp_path, read):
    (tmp_path / "a.tsv").write_text(GRANGES.replace("901", "900"))
    with pytest.raises(InputError) as error:
        read(tmp_path / "a.tsv")
    for word in ["a.tsv, line 3", "the width contradicts start and end", "900 to 1200", "301"]:
        assert word in str(error.value)


def test_cell_tables_are_matched_by_name_where_the_matrix_has_names(tmp_path):
    arguments = write(tmp_path, "h5ad")
    (tmp_path / "other.csv").write_text(
        "barcode,cluster\n"
        + "".join(f"{c},k{i}\n" for i, c in enumerate(reversed([*CELLS, "extra"])))
    )
    counts = read_counts(**arguments, cells=tmp_path / "other.csv", label="cluster")
    assert counts.labels.tolist() == ["k4", "k3", "k2", "k1"]


def test_barcodes_beside_the_matrix_order_a_metadata_table(tmp_path):
    arguments = write(tmp_path, "mtx")
    (tmp_path / "cells.tsv").unlink()
    (tmp_path / "barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    (tmp_path / "meta.tsv").write_text(
        '"cell_type"\n'
        + "".join(f'"{c}"\t"{t}"\n' for c, t in reversed(list(zip(CELLS, LABELS, strict=True))))
    )
    counts = read_counts(**arguments, cells=tmp_path / "meta.tsv")
    assert counts.labels.tolist() == LABELS


def test_peak_lists_come_as_bed_names_or_ten_x_features(tmp_path):
    arguments = write(tmp_path, "npz")
    for text in [
        "chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n",
        "chr1:5-9\nchr1:20-30\nchr2:0-7\n",
        "peak\nchr1_5_9\nchr1_20_30\nchr2_0_7\n",
        "chr1:5-9\tchr1:5-9\tPeaks\tchr1\t5\t9\nchr1:20-30\tx\tPeaks\nchr2:0-7\tx\tPeaks\n",
        "chrom\tstart\tend\nchr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n",
    ]:
        (tmp_path / "peaks.tsv").write_text(text)
        assert read_counts(**arguments).regions["end"].tolist() == [9, 30, 7]


def test_barcodes_that_share_the_beginning_of_the_matrix_s_name_order_the_labels(tmp_path):
    scipy_io.mmwrite(tmp_path / "GSM1_matrix.mtx", sparse.coo_array(C))
    (tmp_path / "GSM1_peaks.bed").write_text("chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n")
    (tmp_path / "GSM1_barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(CELLS).encode()))
    (tmp_path / "GSM2_barcodes.tsv").write_text("\n".join(reversed(CELLS)))
    (tmp_path / "barcodes.tsv").write_text("\n".join(reversed(CELLS)))
    pairs = reversed(list(zip(CELLS, LABELS, strict=True)))
    (tmp_path / "meta.tsv").write_text(
        "barcode\tcell_type\n" + "".join(f"{c}\t{t}\n" for c, t in pairs)
    )
    counts = read_counts(tmp_path / "GSM1_matrix.mtx", cells=tmp_path / "meta.tsv")
    assert counts.labels.tolist() == LABELS
    assert [(role, path.name) for role, path in counts.beside] == [
        ("counts_peaks", "GSM1_peaks.bed"),
        ("counts_barcodes", "GSM1_barcodes.tsv.gz"),
    ]
    assert not any("by position" in note for note in counts.notes)


def test_labels_that_go_by_position_are_said_to(tmp_path):
    counts = read_counts(**write(tmp_path, "npz"))
    assert "cells.tsv: labels go by position" in " ".join(counts.notes)


@pytest.mark.parametrize("given", [True, False])
def test_barcodes_that_end_in_two_numbers_are_no_intervals(tmp_path, given):
    """As anndata's concatenation names them."""
    cells = ["AA-1-0", "CC-1-0", "AA-0-1", "CC-0-1"]
    obs = pd.DataFrame({"cell_type": LABELS}, index=cells)
    var = pd.DataFrame(index=["peak1", "peak2", "peak3"] if given else PEAKS)
    (tmp_path / "p.bed").write_text("chr1\t5\t9\nchr1\t20\t30\nchr2\t0\t7\n")
    counts = read_counts(h5ad(tmp_path, obs, var), peaks=tmp_path / "p.bed" if given else None)
    assert counts.cells.tolist() == cells
    assert counts.matrix.todense().tolist() == C.tolist()
    turned = h5ad(tmp_path, var, obs, X=C)
    counts = read_counts(turned, peaks=tmp_path / "p.bed" if given else None)
    assert counts.matrix.todense().tolist() == C.tolist()


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        # adata.obs.to_csv(): the unnamed first column is the key, whatever `barcode` holds
        (",barcode,cell_type\ns1#AA-1,AA-1,X\ns2#AA-1,AA-1,Y\n", ["s1#AA-1", "s2#AA-1"]),
        ('"","barcode","cell_type"\n"s1#AA-1","AA-1","X"\n"s2#AA-1","AA-1","Y"\n', None),
        ("\tbarcode\tcell_type\ns1#AA-1\tAA-1\tX\ns2#AA-1\tAA-1\tY\n", None),
        # row numbers are no cells
        (",barcode,cell_type\n0,s1#AA-1,X\n1,s2#AA-1,Y\n", None),
        ('"barcode","cell_type"\n"1","s1#AA-1","X"\n"2","s2#AA-1","Y"\n', None),
    ],
)
def test_the_key_of_a_cell_table_is_the_unnamed_first_column(tmp_path, text, cells):
    from epilm.genome.matrix_sides import read_cells

    (tmp_path / "t.csv").write_text(text)
    table = read_cells(tmp_path / "t.csv")
    assert table.index.tolist() == (cells or ["s1#AA-1", "s2#AA-1"])
    assert table["cell_type"].tolist() == ["X", "Y"]


def test_labels_are_words_without_blanks_and_without_a_point(tmp_path):
    obs = pd.DataFrame({"k": [1.0, np.nan, 2.0, 2.0]}, index=CELLS)
    obs["t"] = ["T cell", "T cell ", " T cell", "B"]
    path = h5ad(tmp_path, obs, pd.DataFrame(index=PEAKS))
    assert read_counts(path, label="k", missing="drop").labels.tolist() == ["1", "2", "2"]
    counts = read_counts(path, label="t")
    assert counts.labels.tolist() == ["T cell", "T cell", "T cell", "B"]
    assert any("blanks around t are left out" in note for note in counts.notes)
