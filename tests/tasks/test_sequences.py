"""Readers of labelled sequences: layouts that are met, and the message for each that is wrong."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.tasks import sequences
from epilm.tasks.base import labelled
from epilm.trials.manifest import read_manifest


def write(folder, name, text, packed=False):
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@given(st.text("ACGT", min_size=6, max_size=50), st.integers(3, 6))
def test_kmers_join_back_to_their_bases(text, k):
    words = " ".join(text[i : i + k] for i in range(len(text) - k + 1))
    assert sequences.join_kmers(words, "test") == text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_plain_and_kmer_rows_with_either_line_end(tmp_path, end, packed):
    text = end.join(["sequence\tlabel", "ACG CGT GTA\t1", "acgtn\t0", ""])
    rows = sequences.load(write(tmp_path, "set.tsv.gz", text, packed))
    assert [rows.text(i) for i in range(2)] == ["ACGTA", "ACGTN"]
    assert rows.labels.tolist() == [1, 0]
    assert rows.origin.tolist() == ["set.tsv.gz:2", "set.tsv.gz:3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("sequence\tlabel\n", "the table has a header and no rows"),
        (
            "seq\tlab\nACG\t1\n",
            r"line 1: the header is not that of a labelled table. Found 'seq\\tlab'",
        ),
        ("sequence1\tsequence2\tlabel\nA\tC\t1\n", "Pair tables"),
        ("sequence\tlabel\nACG\tyes\n", "line 2: the label is not a whole number. Found 'yes'"),
        ("sequence\tlabel\nACG\t1.0\n", "line 2: the label is not a whole number. Found '1.0'"),
        ("sequence\tlabel\nACG\t-1\n", "line 2: the label is not a whole number"),
        (
            "sequence\tlabel\nACG\t1\nA!G\t0\n",
            "set.tsv:3: the sequence has a letter that is no base. Found '!' at base 2",
        ),
        (
            "sequence\tlabel\nACG\t1\tx\n",
            "line 2: the row has another number of columns than the header. Found 3",
        ),
        ("sequence\tlabel\nACG TTT\t1\n", "line 2: neighbouring k-mers do not overlap"),
        ("sequence\tlabel\n\t1\nACG\t0\n", "set.tsv:2: the sequence is empty"),
        (
            "sequence\tlabel\nACG\t1\nACT\t1\n",
            "every sequence has the same label. Found label 1, 2 rows",
        ),
        ("sequence\tlabel\nACG\t0\nACT\t2\n", "the labels leave a gap. Found 0, 2"),
        ("ACGT\nACGT\n", "sequences without labels.*--negative FILE"),
    ],
)
def test_each_wrong_table_has_its_message(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        sequences.load(write(tmp_path, "set.tsv", text))


def test_missing_folder_and_damaged_files(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        sequences.load(tmp_path / "none.tsv")
    with pytest.raises(InputError, match=r"expected train.tsv and dev.tsv"):
        sequences.load(tmp_path)
    whole = gzip.compress(b"sequence\tlabel\n" + b"ACGT\t1\nAGGT\t0\n" * 500)
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short or damaged"):
        sequences.load(tmp_path / "cut.tsv.gz")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00\x80" * 20)
    with pytest.raises(InputError, match="the file is not text"):
        sequences.load(tmp_path / "binary.tsv")


def test_folder_of_dnabert_scores_on_dev(tmp_path):
    write(tmp_path, "train.tsv", "sequence\tlabel\nACG\t1\nTTT\t0\n")
    write(tmp_path, "dev.tsv", "sequence\tlabel\nGGG\t1\n")
    assert sequences.load(tmp_path).split.tolist() == ["train", "train", "test"]
    write(tmp_path, "test.tsv", "sequence\tlabel\nCCC\t0\n")
    assert sequences.load(tmp_path).split.tolist() == ["train", "train", "valid", "test"]


def test_fasta_pair_with_coordinates(tmp_path):
    positive = write(tmp_path, "p.fa", ">chr1:10-14 x\nAC\nGT\n>chr2:5-8\nTTT\n")
    negative = write(tmp_path, "n.fa", ">other\nGGGGG\n")
    rows = sequences.load(positive, negative=negative)
    assert rows.labels.tolist() == [1, 1, 0]
    assert rows.chrom.tolist() == ["chr1", "chr2", ""]
    assert rows.start.tolist() == [10, 5, -1]
    assert rows.codes.shape == (3, 5)
    with pytest.raises(InputError, match=r"line 1: the record has no sequence. Found >a"):
        sequences.load(write(tmp_path, "e.fa", ">a\n>b\nAC\n"), negative=negative)
    with pytest.raises(InputError, match="neither FASTA nor a plain sequence"):
        sequences.load(write(tmp_path, "t.fa", "chr1\t5\t6\n"), negative=negative)


def test_manifest_names_the_line_that_is_wrong(tmp_path):
    write(tmp_path, "a.bed", "chr1\t1\t2\n")
    head = "name\ttask\tdata\n"
    for text, message in [
        ("set\tdata\n", "not the header of a manifest"),
        (head, "names no sets"),
        (head + "A\ttfbz\ta.bed\n", "line 2: unknown task. Found tfbz. Did you mean tfbs"),
        (head + "A\ttfbs\ta.bed\nA\ttfbs\ta.bed\n", "line 3: the name is given twice"),
        (
            head[:-1] + "\tpublished\nA\ttfbs\ta.bed\tA549\n",
            "the paper has no such set.*A549-UW",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            read_manifest(write(tmp_path, "sets.tsv", text), ("tfbs", "promoter"))


def test_real_tables(real_data):
    rows = sequences.load(real_data / "promoters" / "DNABERT_prom-core_70bp.tsv.gz")
    assert rows.counts() == {"all": [2400, 2321]}
    assert set(rows.lengths.tolist()) == {70}
    kmers = sequences.load(real_data / "promoters" / "DNABERT_sample_ft_6mer_dev.tsv.gz")
    assert len(kmers) == 1000
    assert set(kmers.lengths.tolist()) == {101}
    pair = sequences.load(
        real_data / "tfbs_sequences" / "NFE2_GM12878.positive.fa.gz",
        negative=real_data / "tfbs_sequences" / "NFE2_GM12878.negative.fa.gz",
    )
    assert pair.counts() == {"all": [644, 644]}


def test_equal_sequences_have_equal_keys_whatever_the_padding():
    short, padded = labelled(["ACG", "AC"], [0, 1]), labelled(["AC", "ACGTT"], [0, 1])
    assert short.keys()[1] == padded.keys()[0]
    assert len(np.unique(np.append(short.keys(), padded.keys()))) == 3
