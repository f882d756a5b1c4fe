"""Bad input of a build: one error before anything large is read, and nothing left behind."""

import gzip

import numpy as np
import pytest
from scipy import sparse

from epilm.errors import InputError, StoreError
from toy_raw import bed, from_counts, make


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
