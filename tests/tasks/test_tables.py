"""Tables of anything a user has: columns, kinds of labels, one message for each wrong one."""

import numpy as np
import pandas as pd
import pytest

from epilm.errors import EpilmError
from epilm.tasks import sequences


def write(folder, name, text):
    (folder / name).write_bytes(text.encode())
    return folder / name


GENOME = ">chr1\nACGTTGCAACNNNNNNNNNNGGGTTTAAAC\n"
INTERVALS = "chrom\tstart\tend\tstrand\tlabel\nchr1\t0\t4\t+\t1\nchr1\t2\t8\t-\t0\n"


def test_spaces_line_ends_a_mark_and_quotes_change_nothing(tmp_path):
    plain = sequences.load(write(tmp_path, "a.csv", "sequence,label\nACGT,1\nTTGG,0\n"))
    text = '\ufeffName, Label ,SEQUENCE \r\n"x, y",1, ACGT \r\n\r\nz, 0,"TTGG"\r\n'
    odd = sequences.load(write(tmp_path, "b.csv", text))
    assert [odd.text(row) for row in range(2)] == [plain.text(row) for row in range(2)]
    assert odd.labels.tolist() == plain.labels.tolist() == [1, 0]
    assert odd.origin.tolist() == ["b.csv:2", "b.csv:4"]


def test_intervals_are_cut_from_the_strand_they_are_on(tmp_path):
    genome = write(tmp_path, "g.fa", GENOME)
    rows = sequences.load(write(tmp_path, "i.tsv", INTERVALS), genome=genome)
    assert [rows.text(row) for row in range(2)] == ["ACGT", "TGCAAC"]
    assert rows.chrom.tolist() == ["chr1", "chr1"]
    assert rows.start.tolist() == [0, 2]


def test_parquet_holds_what_the_text_holds(tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {"sequence": ["ACGT", "TTGG", "CCAA"], "a": [1, 0, 1], "b": [0.0, None, 1.0]}
    )
    table.to_parquet(tmp_path / "t.parquet")
    rows = sequences.load(tmp_path / "t.parquet", labels=("a", "b"), kind="multilabel")
    assert rows.labels.tolist() == [[1, 0], [0, -1], [1, 1]]
    assert rows.label_names == ("a", "b")
    assert rows.notes == ("b: 1 of 3 labels are not known",)


def test_class_names_are_kept_in_order_and_numbers_from_0_have_none(tmp_path):
    text = "sequence\tkind\nAC\tvein\nGT\tartery\nTT\tvein\n"
    rows = sequences.load(write(tmp_path, "n.tsv", text), labels=("kind",), kind="class")
    assert rows.label_names == ("artery", "vein")
    assert rows.labels.tolist() == [1, 0, 1]
    numbered = write(tmp_path, "m.tsv", "sequence\tlabel\nAC\t7\nGT\t5\n")
    assert sequences.load(numbered, kind="class").label_names == ("5", "7")
    plain = write(tmp_path, "p.tsv", "sequence\tlabel\nAC\t1\nGT\t0\n")
    assert sequences.load(plain, kind="class").label_names == ()


def test_what_is_not_known_is_left_out_and_counted(tmp_path):
    text = "sequence,x,y\nACGT,1.5,\nNNNN,2,3\nACNT,,-2e1\nGGGG,NA,\nCCCC,2.5,4\n"
    rows = sequences.load(write(tmp_path, "n.csv", text), labels="x,y", kind="number")
    assert rows.labels.dtype == np.float32
    np.testing.assert_array_equal(rows.labels, [[1.5, np.nan], [np.nan, -20], [2.5, 4]])
    assert rows.notes == (
        "x: 2 of 5 labels are not known",
        "y: 2 of 5 labels are not known",
        "1 rows without a known label left out",
        "1 sequences of N alone left out",
        "1 sequences hold N: a k-mer with N is read as unknown",
    )


def test_a_folder_of_csv_and_gz_is_one_set_with_its_names(tmp_path):
    write(tmp_path, "train.csv", "sequence,label\nACGT,donor\nTTTT,none of them\n")
    write(tmp_path, "dev.csv", "sequence,label\nACGG,acceptor\n")
    write(tmp_path, "test.csv", "sequence,label\nACGC,donor\n")
    rows = sequences.load(tmp_path, kind="class")
    assert rows.label_names == ("acceptor", "donor", "none of them")
    assert rows.split.tolist() == ["train", "train", "valid", "test"]
    assert rows.labels.tolist() == [1, 2, 0, 1]


def test_names_of_classes_may_be_numbers_that_no_array_holds(tmp_path):
    far = "9" * 20
    text = f"sequence,label\nACGT,{far}\nTTTT,7\nGGGG,{far}\n"
    rows = sequences.load(write(tmp_path, "n.csv", text), kind="class")
    assert rows.label_names == ("7", far)
    assert rows.labels.tolist() == [1, 0, 1]


TWO = "sequence\ta\tb\nACGT\t1\t0\nTTTT\t0\t1\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("sequence\tlabel\nAC\t1\nGT\t\n", {}, "line 3: the label is missing; 1 of 2 are"),
        ("sequence\tlabel\nAC\t1\nGT\tx\n", {}, "line 3: the label is not a whole.*--kind class"),
        (
            "sequence\tlabel\nAC\t1\nGT\t99999999999999999999\n",
            {},
            "line 3: the label is no class. Found '99999999999999999999'.*at most 18 digits",
        ),
        ("sequence\tlabel\nAC\ta\nGT\ta\n", {"kind": "class"}, "every sequence has the same label"),
        (
            TWO,
            {"labels": ("c",)},
            "line 1: there is no such column of labels. Found c. Known: a, b",
        ),
        (TWO, {}, "the header is not that of a labelled table.*--labels"),
        (TWO, {"labels": ("a", "b")}, "--labels: one column holds the class of a row"),
        (TWO, {"labels": ("a",), "kind": "clas"}, "--kind: unknown kind. Found clas. Did you mean"),
        (
            "sequence\ta\nAC\t1\nGT\t2\n",
            {"labels": ("a",), "kind": "multilabel"},
            "line 3, column a: the label is not yes, no or unknown. Found '2'",
        ),
        (
            "sequence\ta\nAC\t1\nGT\t\n",
            {"labels": ("a",), "kind": "multilabel"},
            "column a: every known label of a column is the same. Found 1, 1 rows",
        ),
        (
            "sequence\ta\nAC\t1\nGT\tinf\n",
            {"labels": ("a",), "kind": "number"},
            "line 3, column a: the label is not a number. Found 'inf'",
        ),
        (
            "sequence\ta\nAC\t1\nGT\t-2\n",
            {"labels": ("a",), "kind": "count"},
            "line 3, column a: the label is below 0. Found '-2'",
        ),
        ("sequence\tlabel\tlabel\nAC\t1\t1\n", {}, "line 1: two columns have one name"),
        ("sequence\tlabel\nNN\t1\nNNN\t0\n", {}, "no row is left. Found 2 sequences of N alone"),
        (INTERVALS, {}, "intervals need the genome they lie on. Pass --genome"),
    ],
)
def test_each_wrong_table_has_one_message(tmp_path, text, options, message):
    with pytest.raises(EpilmError, match=message):
        sequences.load(write(tmp_path, "set.tsv", text), **options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("chr1\t5\t40", "line 3: the interval is empty or reaches over its.*Found chr1:5-40"),
        ("chr1\t5\t5", "1 of 2 do. Found chr1:5-5"),
        ("chr1\t5.5\t9", "line 3: the start is not a whole number. Found '5.5'"),
        ("1\t5\t9", "the genome has not all chromosomes of the intervals. Found 1"),
    ],
)
def test_each_wrong_interval_has_one_message(tmp_path, row, message):
    text = f"chrom\tstart\tend\tlabel\nchr1\t0\t4\t1\n{row}\t0\n"
    with pytest.raises(EpilmError, match=message):
        sequences.load(write(tmp_path, "i.tsv", text), genome=write(tmp_path, "g.fa", GENOME))
